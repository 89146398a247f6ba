// Written by `UPDATE_PAGE=1 cargo test -p api --test it page_tables` from crates/ledger-core/src/entry_types.rs.

/**
 * @typedef {"ALIVE" | "DEAD" | "RETIRED"} Status
 * @typedef {{ amount: "positive" | "negative" | "zero" | "not positive", allowed: Status[], becomes: Status | null, words: string }} Declaration
 * @typedef {"GRANT" | "HEARTBEAT" | "WAGER" | "PAYOUT" | "SLASH" | "FORFEIT" | "REFUND" | "MARKET_STAKE" | "MARKET_PAYOUT" | "RESEARCH_PAYOUT" | "RESEARCH_LOOKUP_FEE" | "LIQUIDATION" | "REVIVE" | "RETIRED"} EntryType
 */

/** @type {Record<EntryType, Declaration>} */
export const ENTRY_TYPES = {
  GRANT: { amount: "positive", allowed: ["ALIVE"], becomes: null, words: "grant" },
  HEARTBEAT: { amount: "negative", allowed: ["ALIVE"], becomes: null, words: "fee" },
  WAGER: { amount: "negative", allowed: ["ALIVE"], becomes: null, words: "wager" },
  PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, words: "win" },
  SLASH: { amount: "zero", allowed: ["ALIVE"], becomes: null, words: "loss" },
  FORFEIT: { amount: "zero", allowed: ["DEAD", "RETIRED"], becomes: null, words: "forfeit" },
  REFUND: { amount: "positive", allowed: ["ALIVE"], becomes: null, words: "refund" },
  MARKET_STAKE: { amount: "negative", allowed: ["ALIVE"], becomes: null, words: "bet" },
  MARKET_PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, words: "market win" },
  RESEARCH_PAYOUT: { amount: "positive", allowed: ["ALIVE"], becomes: null, words: "research win" },
  RESEARCH_LOOKUP_FEE: { amount: "negative", allowed: ["ALIVE"], becomes: null, words: "lookup fee" },
  LIQUIDATION: { amount: "not positive", allowed: ["ALIVE"], becomes: "DEAD", words: "death" },
  REVIVE: { amount: "positive", allowed: ["DEAD"], becomes: "ALIVE", words: "revival" },
  RETIRED: { amount: "not positive", allowed: ["ALIVE", "DEAD"], becomes: "RETIRED", words: "retired" },
};
