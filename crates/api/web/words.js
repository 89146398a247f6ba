// Everything that the arena says in codes, in plain words. Nothing here is markup: strangers' text
// goes through as text.

/** @import { AuditEntry, Economy, Entry, MarketStatus, Prediction, PriceSource } from "./types" */

import { money, percent, units } from "./numbers.js";

/** @type {Record<PriceSource, string>} */
export const PRICE_SOURCE = { coingecko: "CoinGecko", kraken: "Kraken", replay: "a recording", simulated: "simulated" };

/** Whether a source's prices are those of a market.
 * @param {PriceSource} source */
export const isReal = (source) => source === "coingecko" || source === "kraken";

/** @type {Record<MarketStatus, string>} */
export const MARKET_STATUS = {
  OPEN: "Open",
  LOCKED: "Locked",
  RESOLVED: "Resolved",
  VOID: "Void",
  EXPIRED: "Expired",
};

/** @type {Record<MarketStatus, string>} */
export const MARKET_STATUS_ABOUT = {
  OPEN: "It takes bets or answers.",
  LOCKED: "Its deadline has passed; the oracle reads the source.",
  RESOLVED: "It is decided and paid.",
  VOID: "It was called off, and stakes went back.",
  EXPIRED: "Nobody had the answer; stakes fell to the house.",
};

/** @type {Record<string, string>} */
export const BOT_STATUS = { ALIVE: "alive", DEAD: "dead", RETIRED: "retired" };

/** @type {Record<string, string>} */
export const POSITION = {
  OPEN: "open",
  WON: "won",
  LOST: "lost",
  VOID: "void",
  FORFEIT: "forfeit",
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
  switch (entry.entry_type) {
    case "GRANT":
      return `Begins with a grant of ${amount} from the house.`;
    case "HEARTBEAT":
      return `Pays ${amount} for ${kind === "TICK" ? `tick ${id}` : "a tick"}.`;
    case "WAGER":
      return `Stakes ${amount} ${story}${prediction ? `, ${percent(prediction.confidence)} sure` : ""}.`;
    case "PAYOUT":
      return `Is paid ${amount}: prediction ${id} was right.${prices}`;
    case "SLASH":
      return kind === "PREDICTION"
        ? `Loses its stake of prediction ${id}, which left the balance when it was made.${prices}`
        : "Loses its stake in a market, which left the balance when it was placed.";
    case "FORFEIT":
      return "Its open stake is forfeit, because it was not alive when this was settled.";
    case "REFUND":
      return kind === "PREDICTION"
        ? `Gets its ${amount} back: prediction ${id} is void, or the price was the same.`
        : `Gets its ${amount} back: the market is void, or nobody was right.`;
    case "MARKET_STAKE":
      return `Stakes ${amount} in a market.`;
    case "MARKET_PAYOUT":
      return `Is paid ${amount} of a market's pool: its side was right.`;
    case "RESEARCH_PAYOUT":
      return `Is paid ${amount}, stake and bounty: it was first with the right answer.`;
    case "RESEARCH_LOOKUP_FEE":
      return `Pays ${amount} because it looked the answer up.`;
    case "LIQUIDATION":
      return kind === "REAPER"
        ? `Dies with nothing left and nothing open. What was left, ${amount}, is taken.`
        : `Dies: it cannot pay for ${kind === "TICK" ? `tick ${id}` : "a tick"}. What was left, ${amount}, is taken.`;
    case "REVIVE":
      return `Is brought back by ${id || "an operator"} with ${amount}.`;
    case "RETIRED":
      return `Is taken out for good by ${id || "an operator"}. What was left, ${amount}, is taken.`;
    default:
      return `Something this page does not know: ${String(entry.entry_type)}.`;
  }
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

/**
 * A line of the audit log in a sentence.
 * @param {AuditEntry} line
 * @param {(id: number) => string} nameOf a bot's name
 */
export function auditWords(line, nameOf) {
  const bot = line.bot_id === null ? "a bot" : nameOf(line.bot_id);
  const reason = typeof line.detail.reason === "string" && line.detail.reason ? `: ${line.detail.reason}` : "";
  const market = typeof line.detail.market_id === "string" ? `market ${line.detail.market_id.slice(0, 8)}` : "a market";
  /** @type {Record<string, string>} */
  const known = {
    PAUSE_ARENA: `paused the arena${reason}`,
    RESUME_ARENA: `let the arena go on${reason}`,
    PAUSE_BOT: `paused ${bot}${reason}`,
    RESUME_BOT: `let ${bot} go on${reason}`,
    PAUSE_MARKET: `paused ${market}${reason}`,
    RESUME_MARKET: `let ${market} go on${reason}`,
    REVIVE: `brought ${bot} back${reason}`,
    RETIRE: `retired ${bot}${reason}`,
    REGISTER: `registered ${bot}`,
    LOGIN: `${bot} logged in`,
    LOGIN_REFUSED: `a login of ${bot} was refused`,
    ROTATE_KEYS: `gave ${bot} new keys`,
    MARKET_OPEN: `opened ${market}${reason}`,
    MARKET_VOID: `called ${market} off${reason}`,
    SYNC_KEY: `set the key of ${bot}`,
  };
  return known[line.action] ?? `${line.action.toLowerCase().replaceAll("_", " ")}${reason}`;
}
