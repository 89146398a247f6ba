// The event stream, read by fetch: EventSource can neither send a credential nor distinguish a refusal from silence.
// This reader resumes by Last-Event-ID after an interruption, and shows its state.

/** @import { Badge, LiveEvent } from "./types" */

import { BASE, PLAINLY, Problem, problemOf, readProblem } from "./api.js";
import { credentials } from "./session.js";

/** The server says something every 15 seconds. Twice that without a word, and nobody is there. */
const SILENCE_MILLIS = 32000;
/** How long the beginning of an answer may take. */
const ANSWER_MILLIS = 10000;
/** A break this short is not worth a word about old figures. */
const STALE_MILLIS = 12000;
const WAIT_FIRST_MILLIS = 400;
const WAIT_MOST_MILLIS = 10000;

/**
 * Splits a stream of Server-Sent Events into its events, however it is cut into pieces.
 * @param {(event: { id: string | null, data: string }) => void} told
 */
export function sseReader(told) {
  let rest = "";
  /** @type {string | null} */
  let id = null;
  /** @type {string[]} */
  let data = [];
  return (/** @type {string} */ piece) => {
    rest += piece;
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (id !== null || data.length > 0) told({ id, data: data.join("\n") });
        id = null;
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") data.push(value);
      if (field === "id") id = value;
    }
  };
}

/**
 * Keeps a stream open for as long as the page lives.
 * @param {{
 *   event: (event: LiveEvent) => void,
 *   opened: (gap: boolean) => void,
 *   badge: (badge: Badge) => void,
 * }} hear `opened` is told whether something may have been missed, so that lists must be read
 */
export function listen(hear) {
  /** @type {string | null} */
  let position = null;
  /** @type {number | null} */
  let heard = null;
  /** @type {Badge["state"]} */
  let state = "connecting";
  /** @type {string | null} */
  let problem = null;
  let waits = WAIT_FIRST_MILLIS;
  /** @type {AbortController} */
  let open = new AbortController();
  /** @type {() => void} */
  let wake = () => {};
  /** Whether the next stream begins without what the last one knew. */
  let gap = true;

  const say = (/** @type {Badge["state"]} */ next) => {
    if (next === state && next !== "stale") return;
    state = next;
    hear.badge({ state, since: heard, problem });
  };

  const watch = setInterval(() => {
    const silent = heard === null ? 0 : Date.now() - heard;
    if (state === "live" && silent > SILENCE_MILLIS) open.abort();
    if (state === "reconnecting" && silent > STALE_MILLIS) say("stale");
  }, 1000);

  const once = async () => {
    open = new AbortController();
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream", ...credentials("anybody") };
    if (position !== null) headers["Last-Event-ID"] = position;
    const patience = setTimeout(() => open.abort(), ANSWER_MILLIS);
    const response = await fetch(new URL("events", BASE), {
      headers,
      ...PLAINLY,
      signal: open.signal,
    }).finally(() => clearTimeout(patience));
    if (!response.ok) throw await readProblem(response);
    if (!response.body) throw new Problem("The stream is empty", "This browser cannot read a stream.");
    heard = Date.now();
    waits = WAIT_FIRST_MILLIS;
    problem = null;
    say("live");
    hear.opened(gap);
    gap = false;
    const read = sseReader(({ id, data }) => {
      if (id !== null) position = id;
      if (data === "") return;
      /** @type {LiveEvent} */
      let event;
      try {
        event = JSON.parse(data);
      } catch {
        return;
      }
      hear.event(event);
    });
    const bytes = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await bytes.read();
      if (done) return;
      heard = Date.now();
      read(decoder.decode(value, { stream: true }));
    }
  };

  const forever = async () => {
    for (;;) {
      let wait = null;
      try {
        await once();
      } catch (error) {
        if (error instanceof Problem) {
          problem = error.detail;
          if (error.status === 401 || error.status === 403) {
            say("closed");
            await new Promise((resolve) => (wake = () => resolve(null)));
            continue;
          }
          // The position is no longer kept, or is of another arena: start again, and read the lists.
          if (error.status === 410 || error.status === 422 || error.status === 400) {
            position = null;
            gap = true;
          }
          wait = error.retryAfter === null ? null : error.retryAfter * 1000;
        } else {
          problem = problemOf(error).detail;
        }
      }
      const silent = heard === null ? 0 : Date.now() - heard;
      say(state === "stale" || silent > STALE_MILLIS ? "stale" : heard === null ? "connecting" : "reconnecting");
      // A random delay, so that not all pages reconnect at the same moment.
      const pause = Math.max(wait ?? 0, waits * (0.7 + Math.random() * 0.6));
      waits = Math.min(waits * 2, WAIT_MOST_MILLIS);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, pause);
        wake = () => {
          clearTimeout(timer);
          resolve(null);
        };
      });
    }
  };
  void forever();

  return {
    /** Tries at once, with what credentials there are now. */
    retry: () => wake(),
    stop: () => {
      clearInterval(watch);
      open.abort();
    },
  };
}
