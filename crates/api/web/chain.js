// Checks a bot's chain like the project's own auditor: first that each entry matches its hash, then that it continues
// the one before it. It does not use the server's verification.

/** @import { Entry, EntryType, Fault } from "./types" */

import { ENTRY_TYPES } from "./entry_types.js";
import { decimal, units } from "./numbers.js";

export const ZERO_HASH = "0".repeat(64);

/**
 * The canonical form, `ledger/v1`: nine lines, each ended by one line feed. An amount is written
 * anew from what was read of it, so that no other spelling of it can pass.
 * @param {Entry} entry
 */
export function canonical(entry) {
  const lines = [
    "ledger/v1",
    String(entry.bot_id),
    String(entry.sequence),
    entry.entry_type,
    decimal(units(entry.amount)),
    decimal(units(entry.balance_after)),
    entry.reference,
    String(entry.recorded_at_us),
    entry.previous_hash,
  ];
  return `${lines.join("\n")}\n`;
}

/**
 * What a research question's answer was committed to by.
 * @param {string} market
 * @param {string} nonce
 * @param {string} answer
 */
export function commitmentForm(market, nonce, answer) {
  const trimmed = answer.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "").normalize("NFC");
  return `research/v1\n${market.toLowerCase()}\n${nonce.toLowerCase()}\n${trimmed}\n`;
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/**
 * A microsecond count as it reads in an answer: 2026-11-24T22:31:25.663650Z.
 * @param {number} micros
 */
export function instant(micros) {
  const millis = Math.floor(micros / 1000);
  const rest = String(micros - millis * 1000).padStart(3, "0");
  return new Date(millis).toISOString().replace("Z", `${rest}Z`);
}

/**
 * Whether the fields are of such a form that an entry can be made of them at all.
 * @param {any} entry
 * @returns {Fault | null}
 */
export function malformed(entry) {
  const place = Number.isSafeInteger(entry?.sequence) ? entry.sequence : 0;
  const fault = (/** @type {string} */ field, /** @type {string} */ expected) => ({
    sequence: place,
    field,
    expected,
    found: String(entry?.[field]).slice(0, 100),
  });
  if (typeof entry !== "object" || entry === null) return fault("row", "an entry");
  for (const field of ["bot_id", "sequence", "recorded_at_us"]) {
    if (!Number.isSafeInteger(entry[field])) return fault(field, "a whole number below 2^53, which is all that is exact here");
  }
  for (const field of ["amount", "balance_after"]) {
    if (typeof entry[field] !== "string" || !/^-?(0|[1-9]\d*)\.\d{8}$/.test(entry[field]) || entry[field] === "-0.00000000") {
      return fault(field, "an amount with eight digits after the point");
    }
  }
  for (const field of ["hash", "previous_hash"]) {
    if (typeof entry[field] !== "string" || !/^[0-9a-f]{64}$/.test(entry[field])) return fault(field, "64 lower-case hex digits");
  }
  if (typeof entry.reference !== "string" || !/^[ -~]{1,200}$/.test(entry.reference)) {
    return fault("reference", "1 to 200 printable characters");
  }
  if (typeof entry.entry_type !== "string" || !Object.hasOwn(ENTRY_TYPES, entry.entry_type)) return fault("entry_type", "a type of entry that there is");
  return null;
}

/** @param {"ALIVE" | "DEAD" | "RETIRED"} status @param {EntryType} type */
function allowed(status, type) {
  return ENTRY_TYPES[type].allowed.includes(status);
}

/** @param {EntryType} type @param {bigint} amount */
function fits(type, amount) {
  const fit = { positive: amount > 0n, negative: amount < 0n, zero: amount === 0n, "not positive": amount <= 0n };
  return fit[ENTRY_TYPES[type].amount];
}

/**
 * Checks the entries of one bot from its first on, one at a time.
 * @param {number} bot
 */
export function chain(bot) {
  let sequence = 0;
  let head = ZERO_HASH;
  let balance = 0n;
  let last = -Infinity;
  /** @type {"ALIVE" | "DEAD" | "RETIRED"} */
  let status = "ALIVE";
  return {
    /**
     * @param {Entry} entry well-formed
     * @param {string} hash what its canonical form hashes to
     * @returns {Fault | null}
     */
    check(entry, hash) {
      const fault = (/** @type {string} */ field, /** @type {unknown} */ expected, /** @type {unknown} */ found) => ({
        sequence: entry.sequence,
        field,
        expected: String(expected),
        found: String(found),
      });
      const { entry_type: type } = entry;
      const amount = units(entry.amount);
      const after = balance + amount;
      if (entry.bot_id !== bot) return fault("bot_id", bot, entry.bot_id);
      if (entry.sequence !== sequence + 1) return fault("sequence", sequence + 1, entry.sequence);
      if (entry.hash !== hash) return fault("hash", hash, entry.hash);
      if (entry.previous_hash !== head) return fault("previous_hash", head, entry.previous_hash);
      if ((entry.sequence === 1) !== (type === "GRANT")) {
        return fault("entry_type", entry.sequence === 1 ? "GRANT" : "any type but GRANT", type);
      }
      if (!fits(type, amount)) return fault("amount", `${ENTRY_TYPES[type].amount} for ${type}`, entry.amount);
      if (after < 0n || units(entry.balance_after) !== after) {
        return fault("balance_after", after < 0n ? "a balance that is not below zero" : decimal(after), entry.balance_after);
      }
      if (ENTRY_TYPES[type].amount === "not positive" && after !== 0n) return fault("balance_after", decimal(0n), entry.balance_after);
      if (!allowed(status, type)) return fault("entry_type", `an entry that a bot that is ${status} may receive`, type);
      if (entry.recorded_at_us < last) return fault("recorded_at", `${instant(last)} or later`, entry.recorded_at);
      if (instant(entry.recorded_at_us) !== entry.recorded_at) {
        return fault("recorded_at", instant(entry.recorded_at_us), entry.recorded_at);
      }
      sequence = entry.sequence;
      head = entry.hash;
      balance = after;
      last = entry.recorded_at_us;
      status = ENTRY_TYPES[type].becomes ?? status;
      return null;
    },
    end: () => ({ entries: sequence, head, balance: sequence === 0 ? null : decimal(balance) }),
  };
}
