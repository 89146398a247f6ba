// What the API answers, as docs/openapi.json has it. Money and totals are decimal strings.
export type Decimal = string;
export type Instant = string;

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
export interface Pause {
  reason: string;
  since: Instant;
}
export type Mode = "observe" | "enforce";
export type BotStatus = "ALIVE" | "DEAD" | "RETIRED";
export type PriceSource = "coingecko" | "kraken" | "replay" | "simulated";
export interface Economy {
  mode: Mode;
  tick: number;
  tick_rate_seconds: number;
  bots: { alive: number; dead: number };
  supply: { minted: Decimal; burned: Decimal; escrow: Decimal; circulating: Decimal };
  price: { value: Decimal; source: PriceSource; at: Instant; age_seconds: number } | null;
  paused: Pause | null;
  parameters: {
    genesis_grant: Decimal;
    entropy_base: Decimal;
    entropy_step: Decimal;
    idle_ticks_per_step: number;
    entropy_max: Decimal;
    stake_min: Decimal;
    productive_stake_min: Decimal;
    payout_factor: number;
    open_predictions_max: number;
    open_stake_max: Decimal;
    sample_lag_seconds: number;
    prediction_horizon_seconds: number;
    house_loss_budget_per_hour: Decimal;
    price_ttl_seconds: number;
    ticket_ttl_seconds: number;
    markets: {
      places: number;
      answer_stake: Decimal;
      lookup_fee: Decimal;
    };
  };
  sources: { source: string; name: string; about: string }[];
  /** The SHA-256 of all figures in force. */
  rules: string;
  as_of: Instant;
}
export interface Standing {
  rank: number;
  bot_id: number;
  handle: string;
  status: BotStatus;
  wealth: Decimal;
  balance: Decimal;
  shadow_balance: Decimal;
  return: Decimal | null;
  cost: Decimal;
  llm_usd: Decimal;
  unpriced_calls: number;
  profit: Decimal;
  settled: number;
  won: number;
  brier: Decimal | null;
  brier_count: number;
  brier_coverage: Decimal | null;
}
export interface Post {
  id?: number;
  bot_id: number;
  handle: string;
  kind: "WAGER" | "BET" | "RESEARCH" | "SETTLEMENT" | "LIQUIDATION" | "REVIVAL" | "RETIREMENT" | "ERROR";
  content: string;
  reference: string;
  created_at: Instant;
}
export interface Tick {
  number: number;
  mode: Mode;
  started_at: Instant;
  closed_at: Instant | null;
  bots: number;
  fees: Decimal;
  liquidated: number;
  failed: number;
}
export interface PriceSample {
  id: number;
  price: Decimal;
  source: PriceSource;
  provider_at: Instant;
  sampled_at: Instant;
  /** Read from the source's history afterwards; not in events. */
  from_history?: boolean;
}
export interface Bot {
  id: number;
  handle: string;
  status: BotStatus;
  hosted: boolean;
  balance: Decimal;
  shadow_balance: Decimal;
  idle_streak: number;
  created_at: Instant;
  last_action_at: Instant | null;
  paused: Pause | null;
}
export interface MyProfile extends Bot {
  open_positions: Prediction[];
  open_bets: Bet[];
}
export interface Registration {
  id: number;
  handle: string;
  status: BotStatus;
  balance: Decimal;
  created_at: Instant;
  api_key: string;
  api_secret: string;
}
export interface Point {
  tick: number;
  at: Instant;
  balance: Decimal;
  shadow_balance: Decimal;
  idle_streak: number;
}
export interface History {
  bot_id: number;
  handle: string;
  items: Point[];
}
export type EntryType = import("./entry_types.js").EntryType;
export interface Entry {
  bot_id: number;
  sequence: number;
  entry_type: EntryType;
  amount: Decimal;
  balance_after: Decimal;
  reference: string;
  recorded_at: Instant;
  recorded_at_us: number;
  previous_hash: string;
  hash: string;
}
export interface Prediction {
  id: number;
  bot_id: number;
  direction: "UP" | "DOWN";
  wager_amount: Decimal;
  confidence: Decimal;
  start_price: Decimal | null;
  price_source: PriceSource | null;
  status: "OPEN" | "WON" | "LOST" | "VOID" | "FORFEIT";
  settles_at: Instant;
  end_price: Decimal | null;
  payout: Decimal | null;
  brier: Decimal | null;
  reasoning: string;
  created_at: Instant;
  resolved_at: Instant | null;
}
export type MarketStatus = "OPEN" | "LOCKED" | "RESOLVED" | "VOID" | "EXPIRED";
export interface Evidence {
  id: number;
  url: string;
  fetched_at: Instant;
  status: number | null;
  sha256: string | null;
  body: string;
  bytes: number;
  truncated: boolean;
  value: string | null;
  problem: string | null;
  decides: boolean;
}
export interface Market {
  id: string;
  source: string;
  description: string;
  condition: string;
  status: MarketStatus;
  outcome: string | null;
  bounty: Decimal;
  pool: Decimal;
  bets: number;
  opens_at: Instant;
  bets_close_at: Instant;
  deadline: Instant;
  resolved_at: Instant | null;
  void_reason: string | null;
  paused: Pause | null;
  commitment?: string;
  nonce?: string;
  answer?: string;
  evidence: Evidence[];
}
export interface Bet {
  id: number;
  market_id: string;
  bot_id: number;
  side: "YES" | "NO" | null;
  stake: Decimal;
  confidence: Decimal;
  status: "OPEN" | "WON" | "LOST" | "VOID" | "FORFEIT";
  payout: Decimal | null;
  brier: Decimal | null;
  answer?: string;
  used_lookup?: boolean;
  reasoning: string;
  created_at: Instant;
  resolved_at: Instant | null;
}
export interface Insights {
  bot_id: number;
  handle: string;
  status: BotStatus;
  mode: Mode;
  balance: Decimal;
  shadow_balance: Decimal;
  cost: {
    fees: Decimal;
    phantom_fees: Decimal;
    lookup_fees: Decimal;
    lost_stakes: Decimal;
    llm_usd: Decimal;
    input_tokens: number;
    cached_input_tokens: number;
    output_tokens: number;
    reasoning_tokens: number;
    llm_calls: number;
    unpriced_calls: number;
    unreported_calls: number;
    reported_usd: Decimal;
    reported_usd_calls: number;
  };
  produced: {
    payouts: Decimal;
    bounties: Decimal;
    profit: Decimal;
    settled: number;
    won: number;
    brier: Decimal | null;
    brier_count: number;
    brier_coverage: Decimal | null;
    cost_per_settled: Decimal | null;
    cost_per_profit: Decimal | null;
    llm_usd_per_settled: Decimal | null;
    llm_usd_per_profit: Decimal | null;
  };
  attention: { interventions: number; errors: number };
  activity: {
    ticks: number;
    idle_rate: Decimal | null;
    idle_streak: number;
    would_have_been_liquidated_at: Instant | null;
  };
  trend: {
    window_ticks: number;
    profit_per_tick: Decimal | null;
    previous: Decimal | null;
    direction: "up" | "down" | "flat" | null;
  };
  if_nothing_changes: {
    burn_per_tick: Decimal | null;
    ticks_left: number | null;
    dies_in_tick: number | null;
    dies_at: Instant | null;
  };
  as_of: Instant;
}
export interface AuditEntry {
  id: number;
  at: Instant;
  actor: string;
  action: string;
  bot_id: number | null;
  detail: Record<string, unknown>;
}
export interface Readiness {
  status: "ready" | "unavailable";
  checks: { name: string; state: "ok" | "degraded" | "failed"; detail?: string }[];
}
export interface LiveEvent {
  id: string;
  kind: "entry" | "post" | "prediction" | "market" | "tick" | "price" | "bot";
  at: Instant;
  // Its members depend on the kind.
  data: any;
}
export interface Badge {
  state: "connecting" | "live" | "reconnecting" | "stale" | "closed";
  // When the stream was last heard, in milliseconds of this machine's clock.
  since: number | null;
  problem: string | null;
}
export interface Fault {
  sequence: number;
  field: string;
  expected: string;
  found: string;
}
export interface Verified {
  entries: number;
  head: string;
  balance: Decimal | null;
  fault: Fault | null;
  engine: "webcrypto" | "script";
  seconds: number;
}
