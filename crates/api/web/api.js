// Questions to the API. Every failure is a Problem with a sentence for people: the API's own if it sent one.

import { learn } from "./clock.js";
import { credentials } from "./session.js";

/** The place that the API is served from; the page lies in it. */
export const BASE = new URL("../", import.meta.url);

/** The options of every request: no cache, and no data besides the headers. @type {RequestInit} */
export const PLAINLY = { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" };

export class Problem extends Error {
  /**
   * @param {string} title
   * @param {string} detail
   * @param {{ type?: string, status?: number, field?: string, requestId?: string, retryAfter?: number | null, told?: any }} [more]
   */
  constructor(title, detail, more = {}) {
    super(detail);
    this.title = title;
    this.detail = detail;
    this.type = more.type ?? "";
    this.status = more.status ?? 0;
    this.field = more.field ?? "";
    this.requestId = more.requestId ?? "";
    this.retryAfter = more.retryAfter ?? null;
    /** The answer, if it was JSON. */
    this.told = more.told ?? null;
  }
}

/**
 * Anything that was thrown, as a Problem.
 * @param {unknown} error
 * @returns {Problem}
 */
export function problemOf(error) {
  if (error instanceof Problem) return error;
  return new Problem("Something went wrong on this page", error instanceof Error ? error.message : String(error));
}

/**
 * The problem of an answer.
 * @param {Response} response
 */
export async function readProblem(response) {
  const wait = Number(response.headers.get("Retry-After") ?? "x");
  const told = await response.json().catch(() => null);
  const more = {
    told,
    status: response.status,
    requestId: response.headers.get("X-Request-Id") ?? "",
    retryAfter: Number.isFinite(wait) ? wait : null,
  };
  if (typeof told?.detail === "string" && typeof told.title === "string") {
    const field = typeof told.field === "string" ? told.field : "";
    return new Problem(told.title, told.detail, { ...more, type: String(told.type ?? ""), field });
  }
  // Not the API's text; a proxy may have answered.
  return new Problem(
    "The answer is not the arena's",
    `Something answered with HTTP ${response.status} and nothing that can be read. Is a proxy in between?`,
    more,
  );
}

const SILENCE = "It may be restarting, or the network is down. The page shows the last known data.";
const PATIENCE_MILLIS = 15000;

/**
 * @param {string} path relative, without a slash at its beginning
 * @param {{ method?: string, body?: unknown, as?: "operator" | "bot" | "nobody", headers?: Record<string, string>, signal?: AbortSignal }} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, options = {}) {
  const response = await answerTo(path, options);
  try {
    return await response.json();
  } catch {
    throw cutOff(response);
  }
}

/**
 * An answer that is not JSON, as bytes.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function bytes(path, signal) {
  const response = await answerTo(path, { headers: { Accept: "application/octet-stream" }, ...(signal ? { signal } : {}) });
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch {
    throw cutOff(response);
  }
}

/** @param {Response} response */
function cutOff(response) {
  return new Problem("The answer was cut off", "The connection broke before all of it had come.", { status: response.status });
}

/**
 * @param {string} path
 * @param {{ method?: string, body?: unknown, as?: "operator" | "bot" | "nobody", headers?: Record<string, string>, signal?: AbortSignal }} options
 */
async function answerTo(path, options) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...options.headers };
  if (options.as === "operator" || options.as === "bot") Object.assign(headers, credentials(options.as));
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(PATIENCE_MILLIS);
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      ...PLAINLY,
      signal: options.signal ? AbortSignal.any([options.signal, patience]) : patience,
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    if (patience.aborted) throw new Problem("The arena takes too long", `It gave no answer within ${PATIENCE_MILLIS / 1000} seconds.`);
    throw new Problem("The arena does not answer", SILENCE);
  }
  learn(Date.parse(response.headers.get("Date") ?? ""), 1000);
  if (!response.ok) throw await readProblem(response);
  return response;
}

/**
 * Pages of a list, one after the other, up to so many items.
 * @template T
 * @param {string} path
 * @param {number} most
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ items: T[], more: boolean }>}
 */
export async function all(path, most, signal) {
  /** @type {T[]} */
  const items = [];
  let cursor = null;
  do {
    const limit = Math.min(200, most - items.length);
    /** @type {import("./types").Page<T>} */
    const page = await ask(withQuery(path, { limit, cursor }), signal ? { signal } : {});
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null && items.length < most);
  return { items, more: cursor !== null };
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} query
 */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&");
  return text ? `${path}${path.includes("?") ? "&" : "?"}${text}` : path;
}

/** A key for one request with effects: sent again, it has them once. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
