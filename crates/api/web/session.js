// The credential of this page. It is only in this module: not in the address, not in storage, and lost when the tab is
// closed.

import { among } from "./clock.js";

/** @type {{ token: string, name: string } | null} */
let operator = null;
/** @type {{ id: number, handle: string, secret: string } | null} */
let bot = null;
/** @type {Set<() => void>} */
const listeners = new Set();

export const theOperator = () => operator;
export const theBot = () => bot;

/** @param {typeof operator} who */
export function actAsOperator(who) {
  operator = who;
  for (const listener of listeners) listener();
}

/** @param {typeof bot} who */
export function actAsBot(who) {
  bot = who;
  for (const listener of listeners) listener();
}

/** @param {() => void} listener */
export const onChange = (listener) => among(listeners, listener);

/**
 * What proves who asks, as headers.
 * @param {"operator" | "bot" | "anybody"} as
 * @returns {Record<string, string>}
 */
export function credentials(as) {
  if (as !== "bot" && operator) {
    return { Authorization: `Bearer ${operator.token}`, "X-Operator": operator.name };
  }
  if (as !== "operator" && bot) return { "X-Agent-Secret": bot.secret };
  return {};
}
