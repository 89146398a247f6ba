// Fetches and checks one chain away from the page, so that the page stays quick.

/** @import { Entry, Fault, Page } from "./types" */

import { canonical, chain, hex, malformed } from "./chain.js";
import { sha256 } from "./digest.js";

const PAGE = 200;
const BATCH = 256;

/** @param {unknown} message */
const tell = (message) => postMessage(message);

/**
 * All entries, oldest first. The list begins with the newest; what is appended meanwhile is not in it.
 * @param {string} base
 * @param {number} bot
 */
async function fetchAll(base, bot) {
  /** @type {Entry[]} */
  const entries = [];
  let cursor = "";
  for (;;) {
    const path = `bots/${bot}/ledger?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
    const response = await fetch(new URL(path, base), {
      headers: { Accept: "application/json" },
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
    if (response.status === 429 || response.status === 503) {
      const wait = Number(response.headers.get("Retry-After") ?? 2);
      tell({ kind: "waiting", seconds: wait });
      await new Promise((resolve) => setTimeout(resolve, Math.min(60, wait || 2) * 1000));
      continue;
    }
    if (!response.ok) {
      const told = await response.json().catch(() => null);
      throw new Error(typeof told?.detail === "string" ? told.detail : `The ledger was answered with HTTP ${response.status}.`);
    }
    /** @type {Page<Entry>} */
    const page = await response.json();
    entries.push(...page.items);
    tell({ kind: "fetched", done: entries.length, all: Math.max(entries.length, entries[0]?.sequence ?? 0) });
    if (page.next_cursor === null || page.items.length === 0) return entries.reverse();
    cursor = page.next_cursor;
  }
}

/**
 * @param {string} base
 * @param {number} bot
 */
async function verify(base, bot) {
  const began = performance.now();
  const entries = await fetchAll(base, bot);
  const { engine, digest } = await sha256();
  const encoder = new TextEncoder();
  const link = chain(bot);
  /** @type {Fault | null} */
  let fault = entries.length === 0 ? { sequence: 1, field: "row", expected: "GRANT, the first entry of every chain", found: "no entry" } : null;
  for (let at = 0; at < entries.length && !fault; at += BATCH) {
    const batch = entries.slice(at, at + BATCH);
    const broken = batch.findIndex((entry) => malformed(entry) !== null);
    const sound = broken < 0 ? batch : batch.slice(0, broken);
    const hashes = await Promise.all(sound.map((entry) => digest(encoder.encode(canonical(entry)))));
    for (const [index, entry] of sound.entries()) {
      fault = link.check(entry, hex(/** @type {Uint8Array} */ (hashes[index])));
      if (fault) break;
    }
    fault ??= broken < 0 ? null : malformed(batch[broken]);
    tell({ kind: "checked", done: Math.min(at + BATCH, entries.length), all: entries.length });
  }
  tell({ kind: "result", result: { ...link.end(), fault, engine, seconds: (performance.now() - began) / 1000 } });
}

addEventListener("message", (/** @type {MessageEvent<{ base: string, bot: number }>} */ { data }) => {
  verify(data.base, data.bot).catch((error) => {
    const silent = error instanceof TypeError;
    tell({ kind: "failed", detail: silent ? "The arena did not answer, so the chain could not be fetched." : error.message });
  });
});
