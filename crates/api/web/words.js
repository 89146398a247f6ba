// Everything that the arena says in codes, in plain words. Nothing here is markup: strangers' text
// goes through as text.

/** @import { AuditEntry, Economy, Entry, EntryType, MarketStatus, Prediction, PriceSource } from "./types" */

import { ENTRY_TYPES } from "./entry_types.js";
import { money, percent, units } from "./numbers.js";

/** @type {Record<PriceSource, string>} */
export const PRICE_SOURCE = { coingecko: "CoinGecko", kraken: "Kraken", replay: "a recording", simulated: "simulated" };

/** Whether a source's prices are those of a market.
 * @param {PriceSource} source */
export const isReal = (source) => source === "coingecko" || source === "kraken";

/** @type {Record<MarketStatus, { name: string, tone: string, about: string }>} */
export const MARKET_STATUS = {
  OPEN: { name: "Open", tone: "good", about: "It takes bets or answers." },
  LOCKED: { name: "Locked", tone: "warn", about: "Its deadline has passed; the oracle reads the source." },
  RESOLVED: { name: "Resolved", tone: "", about: "It is decided and paid." },
  VOID: { name: "Void", tone: "dim", about: "It was called off, and stakes went back." },
  EXPIRED: { name: "Expired", tone: "dim", about: "Nobody had the answer; stakes fell to the house." },
};

/** @type {Record<string, string>} */
export const POST_KIND = {
  WAGER: "wager",
  BET: "bet",
  RESEARCH: "research",
  SETTLEMENT: "settled",
  LIQUIDATION: "death",
  REVIVAL: "revival",
  RETIREMENT: "retired",
  ERROR: "error",
};

/**
 * The cause of an entry, by its kind: `TICK:7` is ["TICK", "7"].
 * @param {string} reference
 * @returns {[string, string]}
 */
export function cause(reference) {
  const colon = reference.indexOf(":");
  return colon < 0 ? [reference, ""] : [reference.slice(0, colon), reference.slice(colon + 1)];
}

/**
 * What an entry is about, in a sentence.
 * @param {Entry} entry
 * @param {Prediction | null} prediction where it is about one that is known
 */
export function entryWords(entry, prediction) {
  const [kind, id] = cause(entry.reference);
  const amount = money(units(entry.amount) < 0n ? -units(entry.amount) : units(entry.amount));
  const direction = prediction?.direction === "UP" ? "up" : "down";
  const story = prediction ? `that the price goes ${direction}` : "on the price";
  const prices =
    prediction?.start_price && prediction.end_price
      ? ` It went from ${money(prediction.start_price)} to ${money(prediction.end_price)}.`
      : "";
  const tick = kind === "TICK" ? `tick ${id}` : "a tick";
  const rest = `What was left, ${amount}, is taken.`;
  // A charge that is missing here gets a general sentence.
  /** @type {Partial<Record<EntryType, string>>} */
  const known = {
    GRANT: `Begins with a grant of ${amount} from the house.`,
    HEARTBEAT: `Pays ${amount} for ${tick}.`,
    WAGER: `Stakes ${amount} ${story}${prediction ? `, ${percent(prediction.confidence)} sure` : ""}.`,
    PAYOUT: `Is paid ${amount}: prediction ${id} was right.${prices}`,
    SLASH:
      kind === "PREDICTION"
        ? `Loses its stake of prediction ${id}, which left the balance when it was made.${prices}`
        : "Loses its stake in a market, which left the balance when it was placed.",
    FORFEIT: "Its open stake is forfeit, because it was not alive when this was settled.",
    REFUND: `Gets its ${amount} back: ${kind === "PREDICTION" ? `prediction ${id} is void, or the price was the same` : "the market is void, or nobody was right"}.`,
    MARKET_STAKE: `Stakes ${amount} in a market.`,
    MARKET_PAYOUT: `Is paid ${amount} of a market's pool: its side was right.`,
    RESEARCH_PAYOUT: `Is paid ${amount}, stake and bounty: it was first with the right answer.`,
    RESEARCH_LOOKUP_FEE: `Pays ${amount} because it looked the answer up.`,
    LIQUIDATION: `${kind === "REAPER" ? "Dies with nothing left and nothing open." : `Dies: it cannot pay for ${tick}.`} ${rest}`,
    REVIVE: `Is brought back by ${id || "an operator"} with ${amount}.`,
    RETIRED: `Is taken out for good by ${id || "an operator"}. ${rest}`,
  };
  const declared = ENTRY_TYPES[entry.entry_type];
  const charge = declared?.total === "fees" ? `Pays ${amount} for ${tick}: ${declared.words}.` : null;
  return known[entry.entry_type] ?? charge ?? `Something this page does not know: ${String(entry.entry_type)}.`;
}

/** @param {Economy["mode"]} mode */
export function modeWords(mode) {
  return mode === "enforce"
    ? "Each tick costs a fee. A bot that cannot pay it dies."
    : "Fees are recorded, not charged. The shadow balance is the balance if they were real.";
}

/** @type {Record<string, string>} */
const FIELD = {
  bot_id: "whose it is",
  sequence: "its place in the chain",
  entry_type: "its type",
  amount: "its amount",
  balance_after: "the balance after it",
  reference: "its cause",
  recorded_at: "its time",
  recorded_at_us: "its time",
  previous_hash: "the hash of the entry before it",
  hash: "its hash",
  row: "its form",
};

/** @param {string} field */
export const fieldWords = (field) => FIELD[field] ?? field;

/** What an action of the audit log did. @type {Record<string, (bot: string, market: string, reason: string) => string>} */
const ACTION = {
  PAUSE_ARENA: (_bot, _market, reason) => `paused the arena${reason}`,
  RESUME_ARENA: (_bot, _market, reason) => `let the arena go on${reason}`,
  PAUSE_BOT: (bot, _market, reason) => `paused ${bot}${reason}`,
  RESUME_BOT: (bot, _market, reason) => `let ${bot} go on${reason}`,
  PAUSE_MARKET: (_bot, market, reason) => `paused ${market}${reason}`,
  RESUME_MARKET: (_bot, market, reason) => `let ${market} go on${reason}`,
  REVIVE: (bot, _market, reason) => `brought ${bot} back${reason}`,
  RETIRE: (bot, _market, reason) => `retired ${bot}${reason}`,
  MARKET_OPEN: (_bot, market, reason) => `opened ${market}${reason}`,
  MARKET_VOID: (_bot, market, reason) => `called ${market} off${reason}`,
  REGISTER: (bot) => `registered ${bot}`,
  LOGIN: (bot) => `${bot} logged in`,
  LOGIN_REFUSED: (bot) => `a login of ${bot} was refused`,
  ROTATE_KEYS: (bot) => `gave ${bot} new keys`,
  SYNC_KEY: (bot) => `set the key of ${bot}`,
};
export const ACTIONS = Object.keys(ACTION);

/**
 * A line of the audit log in a sentence.
 * @param {AuditEntry} line
 * @param {Map<number, string>} names of bots
 */
export function auditWords(line, names) {
  const bot = line.bot_id === null ? "a bot" : (names.get(line.bot_id) ?? `bot ${line.bot_id}`);
  const reason = typeof line.detail.reason === "string" && line.detail.reason ? `: ${line.detail.reason}` : "";
  const market = typeof line.detail.market_id === "string" ? `market ${line.detail.market_id.slice(0, 8)}` : "a market";
  return ACTION[line.action]?.(bot, market, reason) ?? `${line.action.toLowerCase().replaceAll("_", " ")}${reason}`;
}
