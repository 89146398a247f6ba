// Times in words. The server's clock counts: its times in answers and events show the difference to this machine's
// clock.

/** Milliseconds that the server is ahead; 0 while the two agree within what can be told. */
let ahead = 0;

/**
 * Learns from a moment that the server named just now.
 * @param {number} server milliseconds since 1970
 * @param {number} grain how coarse it is, in milliseconds
 */
export function learn(server, grain) {
  if (!Number.isFinite(server)) return;
  const difference = server + grain / 2 - Date.now();
  ahead = Math.abs(difference) > 1500 + grain ? difference : 0;
}

/** The server's time, in milliseconds since 1970. */
export const now = () => Date.now() + ahead;

/** @param {string | number} at */
export const millis = (at) => (typeof at === "number" ? at : Date.parse(at));

/**
 * A length of time in its two largest units.
 * @param {number} seconds
 */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`;
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes > 0) return minutes < 10 && whole % 60 > 0 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return `${whole} s`;
}

/**
 * A moment seen from now.
 * @param {number} at
 */
export function relative(at) {
  const seconds = (now() - at) / 1000;
  if (seconds >= 0) return seconds < 2 ? "just now" : `${coarse(seconds)} ago`;
  return `in ${span(-seconds + 0.999)}`;
}

/** @param {number} seconds */
function coarse(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/**
 * The exact moment, as the API writes it but easier to read.
 * @param {string | number} at
 */
export function exact(at) {
  const text = typeof at === "number" ? new Date(at).toISOString() : at;
  return text.replace("T", " ").replace("Z", " UTC");
}

/**
 * The time of day here, for "since 14:03:22".
 * @param {number} at
 */
export function ofDay(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

/**
 * Adds one to those who are told of something, until the answer is called.
 * @template T
 * @param {Set<T>} listeners
 * @param {T} listener
 */
export function among(listeners, listener) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** @type {Set<() => void>} */
const listeners = new Set();
let held = false;
let running = false;

/**
 * Calls once a second, until the answer is called.
 * @param {() => void} listener
 */
export function eachSecond(listener) {
  if (!running) {
    running = true;
    setInterval(() => {
      if (!held) for (const each of listeners) each();
    }, 1000);
  }
  return among(listeners, listener);
}

/** @param {boolean} wanted */
export function hold(wanted) {
  held = wanted;
}
