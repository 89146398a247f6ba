// Money is whole units of 0.00000001 in a BigInt, as in the ledger; nothing here is a float. What is
// shown may leave out zeros at the end, and nothing else.

const DIGITS = 8;
const UNIT = 100000000n;
const MINUS = "\u2212";

/**
 * A decimal string as whole units.
 * @param {string} text
 * @returns {bigint}
 */
export function units(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,8}))?$/.exec(text);
  if (!match) throw new RangeError(`${text} is no amount`);
  const value = BigInt(match[2] ?? "0") * UNIT + BigInt((match[3] ?? "").padEnd(DIGITS, "0"));
  return match[1] ? -value : value;
}

/**
 * Whole units as the ledger writes them: eight digits after the point.
 * @param {bigint} value
 */
export function decimal(value) {
  const all = (value < 0n ? -value : value).toString().padStart(DIGITS + 1, "0");
  return `${value < 0n ? "-" : ""}${all.slice(0, -DIGITS)}.${all.slice(-DIGITS)}`;
}

/** @param {string} digits */
const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/**
 * The parts of an amount: the sign, the whole with two digits, and what is left of the other six.
 * @param {string | bigint} amount
 * @param {boolean} [signed] whether a plus is written
 */
export function parts(amount, signed = false) {
  const value = typeof amount === "bigint" ? amount : units(amount);
  const text = decimal(value < 0n ? -value : value);
  const [whole = "0", fraction = ""] = text.split(".");
  return {
    sign: value < 0n ? MINUS : signed && value > 0n ? "+" : "",
    head: `${grouped(whole)}.${fraction.slice(0, 2)}`,
    rest: fraction.slice(2).replace(/0+$/, ""),
  };
}

/**
 * An amount for a sentence, exact.
 * @param {string | bigint} amount
 * @param {boolean} [signed]
 */
export function money(amount, signed = false) {
  const { sign, head, rest } = parts(amount, signed);
  return `${sign}${head}${rest}`;
}

/**
 * A probability such as 0.56000000 as 56 %, exact.
 * @param {string} text
 */
export function percent(text) {
  return `${decimal(units(text) * 100n).replace(/\.?0+$/, "")}\u00a0%`;
}

/**
 * A quotient cut off after some digits, with a sign that says so when something was cut.
 * @param {string} text
 * @param {number} digits
 */
export function cut(text, digits) {
  const [whole = "0", fraction = ""] = text.replace("-", MINUS).split(".");
  const lost = /[1-9]/.test(fraction.slice(digits));
  return `${whole}.${fraction.slice(0, digits).padEnd(digits, "0")}${lost ? "\u2026" : ""}`;
}

/**
 * a / b as a decimal string with some digits, rounded down; null for nothing to divide by.
 * @param {bigint} a
 * @param {bigint} b
 * @param {number} digits
 */
export function quotient(a, b, digits) {
  if (b === 0n) return null;
  const text = ((a * 10n ** BigInt(digits)) / b).toString().padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** @param {number | bigint} value */
export function count(value) {
  return value < 0 ? MINUS + grouped(String(-value)) : grouped(String(value));
}

/**
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/**
 * For drawing alone: where a point goes on a screen.
 * @param {string} text
 */
export function forDrawing(text) {
  return Number(text);
}
