// The arena's health, as far as the page can see it.

/** @import { Bot, Economy, Page, PriceSample, Readiness } from "../types" */

import { Problem, ask, problemOf } from "../api.js";
import { millis, now, span } from "../clock.js";
import { count } from "../numbers.js";
import { known } from "../state.js";
import { Pill, Section, html, useEffect, useKnown, useRead, useSeconds } from "../ui.js";
import { PRICE_SOURCE } from "../words.js";

/** @typedef {{ name: string, tone: "good" | "warn" | "bad", word: string, why: any }} Sign */

export function Health() {
  const { economy, tickAt, price } = useKnown();
  useSeconds();
  const read = useRead(async (signal) => {
    const began = performance.now();
    /** @type {Readiness | Problem} */
    const ready = await ask("ready", { signal }).catch((error) => {
      const problem = problemOf(error);
      // 503 carries the same list.
      return Array.isArray(problem.told?.checks) ? problem.told : problem;
    });
    const took = performance.now() - began;
    const [prices, bots] = await Promise.all([
      /** @type {Promise<Page<PriceSample>>} */ (ask("prices?limit=1", { signal })).catch(() => null),
      /** @type {Promise<Page<Bot>>} */ (ask("bots?limit=200", { signal })).catch(() => null),
    ]);
    const acted = (bots?.items ?? [])
      .filter((bot) => bot.hosted && bot.last_action_at)
      .map((bot) => millis(bot.last_action_at ?? 0));
    return { ready, took, sample: prices?.items[0] ?? null, hosted: (bots?.items ?? []).filter((bot) => bot.hosted && bot.status === "ALIVE").length, acted: acted.length > 0 ? Math.max(...acted) : null };
  }, []);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!known.held) read.again();
    }, 5000);
    return () => clearInterval(timer);
  }, []);
  const signs = signsOf(read.value, economy, tickAt, price);
  return html`<${Section} title="Health">
    <ul class="signs">
      ${signs.map(
        (sign) =>
          html`<li key=${sign.name}>
            <div><h3>${sign.name}</h3><${Pill} tone=${sign.tone}>${sign.word}<//></div>
            <p>${sign.why}</p>
          </li>`,
      )}
    </ul>
    <p class="caption">
      The API answers for itself. This page sees only the results of the other three services: their own health is on other ports, which <code>./run_system.sh status</code> reads.
    </p>
  <//>`;
}

/**
 * @param {{ ready: Readiness | Problem, took: number, sample: PriceSample | null, hosted: number, acted: number | null } | null} read
 * @param {Economy | null} economy
 * @param {number | null} tickAt
 * @param {Economy["price"]} price
 * @returns {Sign[]}
 */
function signsOf(read, economy, tickAt, price) {
  const age = (/** @type {number} */ at) => Math.max(0, (now() - at) / 1000);
  /** @type {Sign} */
  let api = { name: "api", tone: "warn", word: "asking", why: "…" };
  const ready = read?.ready;
  if (ready instanceof Problem) api = { name: "api", tone: "bad", word: "no answer", why: ready.detail };
  else if (ready) {
    const bad = ready.checks.filter(({ state }) => state !== "ok");
    api = {
      name: "api",
      tone: ready.status !== "ready" ? "bad" : bad.length > 0 ? "warn" : "good",
      word: ready.status === "ready" ? "ready" : "not ready",
      why: bad.length > 0 ? bad.map((check) => `${check.name}: ${check.detail ?? check.state}`).join("; ") : html`${ready.checks.map(({ name }) => name).join(", ")}: ok. It took ${Math.round(read?.took ?? 0)} ms to say so.`,
    };
  }
  const paused = economy?.paused ? " The arena is paused, so none is due." : "";
  const rate = economy?.tick_rate_seconds ?? 10;
  const tickAge = tickAt === null ? null : age(tickAt);
  const late = tickAge !== null && tickAge > 3 * rate;
  /** @type {Sign} */
  const ticker = {
    name: "ticker",
    tone: tickAge === null ? "warn" : late && !paused ? "bad" : "good",
    word: tickAge === null ? "no tick seen" : late ? (paused ? "waiting" : "late") : "ticking",
    why: tickAge === null ? "No tick has come since this page was opened." : `Tick ${count(economy?.tick ?? 0)} was ${span(tickAge)} ago; one is due each ${span(rate)}.${paused}`,
  };
  const sampleAge = price ? age(millis(price.at)) : read?.sample ? age(millis(read.sample.sampled_at)) : null;
  const ttl = economy?.parameters.price_ttl_seconds ?? 120;
  /** @type {Sign} */
  const oracle = {
    name: "oracle",
    tone: sampleAge === null ? "warn" : sampleAge > ttl ? "bad" : sampleAge > ttl / 2 ? "warn" : "good",
    word: sampleAge === null ? "no price seen" : sampleAge > ttl ? "silent" : "sampling",
    why: sampleAge === null ? "There is no price." : `Its last price is ${span(sampleAge)} old${price ? `, ${PRICE_SOURCE[price.source]}` : ""}; wagers are refused beyond ${span(ttl)}.`,
  };
  const acted = read?.acted ?? null;
  const actedAge = acted === null ? null : age(acted);
  /** @type {Sign} */
  const runner = {
    name: "bot-runner",
    tone: read === null || read.hosted === 0 ? "warn" : actedAge !== null && actedAge < 900 ? "good" : "warn",
    word: read === null ? "asking" : read.hosted === 0 ? "no hosted bot is alive" : actedAge === null ? "not seen to act" : actedAge < 900 ? "acting" : "quiet",
    why: actedAge === null ? "No hosted bot has acted yet, as far as can be seen." : `A hosted bot acted ${span(actedAge)} ago. A quiet one may just be waiting: personas choose their own pace.`,
  };
  return [api, ticker, oracle, runner];
}
