// Written by `UPDATE_PAGE=1 cargo test -p api --test it page_tables` from crates/ledger-core/src/entry_types.rs.

/**
 * @typedef {"ALIVE" | "DEAD" | "RETIRED"} Status
 * @typedef {{ amount: "positive" | "negative" | "zero" | "not positive", allowed: Status[], becomes: Status | null, total: "none" | "granted" | "fees" | "lookup fees", words: string }} Declaration
 * @typedef {"GRANT" | "HEARTBEAT" | "WAGER" | "PAYOUT" | "SLASH" | "FORFEIT" | "REFUND" | "MARKET_STAKE" | "MARKET_PAYOUT" | "RESEARCH_PAYOUT" | "RESEARCH_LOOKUP_FEE" | "LIQUIDATION" | "REVIVE" | "RETIRED"} EntryType
 */

/** @type {Record<EntryType, Declaration>} */
export const ENTRY_TYPES = {
  GRANT: { amount: "positive", allowed: ["ALIVE"], becomes: null, total: "granted", words: "grant" },
  HEARTBEAT: { amount: "negative", allowed: ["ALIVE"], becomes: null, total: "fees", words: "fee" },
  WAGER: { amount: "negative", allowed: ["ALIVE"], becomes: null, total: "none", words: "wager" },
  PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, total: "none", words: "win" },
  SLASH: { amount: "zero", allowed: ["ALIVE"], becomes: null, total: "none", words: "loss" },
  FORFEIT: { amount: "zero", allowed: ["DEAD", "RETIRED"], becomes: null, total: "none", words: "forfeit" },
  REFUND: { amount: "positive", allowed: ["ALIVE"], becomes: null, total: "none", words: "refund" },
  MARKET_STAKE: { amount: "negative", allowed: ["ALIVE"], becomes: null, total: "none", words: "bet" },
  MARKET_PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, total: "none", words: "market win" },
  RESEARCH_PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, total: "none", words: "research win" },
  RESEARCH_LOOKUP_FEE: { amount: "negative", allowed: ["ALIVE"], becomes: null, total: "lookup fees", words: "lookup fee" },
  LIQUIDATION: { amount: "not positive", allowed: ["ALIVE"], becomes: "DEAD", total: "none", words: "death" },
  REVIVE: { amount: "positive", allowed: ["DEAD"], becomes: "ALIVE", total: "granted", words: "revival" },
  RETIRED: { amount: "not positive", allowed: ["ALIVE", "DEAD"], becomes: "RETIRED", total: "none", words: "retired" },
};
