// Whether a bot's ledger holds, by what this browser computes itself.

/** @import { Bot, Verified } from "../types" */

import { BASE } from "../api.js";
import { exact, span } from "../clock.js";
import { count, plural } from "../numbers.js";
import { Copy, Facts, Money, Section, html, useEffect, useRef, useState } from "../ui.js";
import { fieldWords } from "../words.js";

/**
 * @typedef {{ state: "idle" } | { state: "busy", words: string, done: number, all: number } | { state: "failed", detail: string } | { state: "done", result: Verified, at: number }} Checking
 */

/** @param {{ bot: Bot }} props */
export function Verify({ bot }) {
  const [checking, setChecking] = useState(/** @type {Checking} */ ({ state: "idle" }));
  const worker = useRef(/** @type {Worker | null} */ (null));
  const stop = () => {
    worker.current?.terminate();
    worker.current = null;
  };
  useEffect(() => stop, []);
  const start = () => {
    stop();
    setChecking({ state: "busy", words: "Fetching entries", done: 0, all: 0 });
    const begun = new Worker(new URL("../verify-worker.js", import.meta.url), { type: "module" });
    worker.current = begun;
    begun.addEventListener("error", () => {
      setChecking({ state: "failed", detail: "This browser could not run the check." });
      stop();
    });
    begun.addEventListener("message", ({ data }) => {
      if (data.kind === "fetched") setChecking({ state: "busy", words: "Fetching entries", done: data.done, all: data.all });
      if (data.kind === "checked") setChecking({ state: "busy", words: "Checking entries", done: data.done, all: data.all });
      if (data.kind === "waiting") setChecking({ state: "busy", words: `Asked to wait ${span(data.seconds)}; going on then`, done: 0, all: 0 });
      if (data.kind === "failed") setChecking({ state: "failed", detail: data.detail });
      if (data.kind === "result") setChecking({ state: "done", result: data.result, at: Date.now() });
      if (data.kind === "failed" || data.kind === "result") stop();
    });
    begun.postMessage({ base: BASE.href, bot: bot.id });
  };
  const busy = checking.state === "busy";
  return html`<${Section} title="Verify this chain">
    <p class="lead">
      Your browser fetches every entry, writes it in its canonical form (nine lines, each ended by a line feed), computes its SHA-256, and checks that it continues the one before. It does not rely on the server's verification.
    </p>
    <p class="buttons verify-button">
      <button type="button" class="primary" onClick=${start} disabled=${busy}>
        ${checking.state === "done" ? "Verify again" : "Verify this chain"}
      </button>
      ${busy ? html`<button type="button" class="quiet" onClick=${() => (stop(), setChecking({ state: "idle" }))}>Stop</button>` : null}
    </p>
    ${busy
      ? html`<p class="progress">
          <progress max=${checking.all || undefined} value=${checking.all ? checking.done : undefined} aria-label=${checking.words}></progress>
          <span>${checking.words}${checking.all ? `: ${count(checking.done)} of ${count(checking.all)}` : ""}</span>
        </p>`
      : null}
    <div role="status">
      ${checking.state === "failed" ? html`<div class="trouble"><p><strong>Not checked.</strong> ${checking.detail}</p></div>` : null}
      ${checking.state === "done" ? html`<${Verdict} result=${checking.result} at=${checking.at} />` : null}
    </div>
  <//>`;
}

/** @param {{ result: Verified, at: number }} props */
function Verdict({ result, at }) {
  const { fault } = result;
  const engine = result.engine === "webcrypto" ? "the browser’s own SHA-256" : "a SHA-256 in JavaScript, because this page was not fetched over HTTPS";
  const effort = html`<p class="caption">${span(result.seconds) === "0 s" ? "In less than a second" : `In ${span(result.seconds)}`}, by ${engine}, at ${exact(at)}.</p>`;
  if (fault) {
    return html`<div class="trouble" data-verdict="broken">
        <div>
          <p><strong>The chain is broken at entry ${count(fault.sequence)}.</strong> There, ${fieldWords(fault.field)} is not what it must be.</p>
          <dl class="fault">
            <dt>must be</dt>
            <dd><code>${fault.expected}</code></dd>
            <dt>is</dt>
            <dd><code>${fault.found}</code></dd>
          </dl>
          <p>The ${plural(result.entries, "entry", "entries")} before it ${result.entries === 1 ? "is" : "are"} sound.</p>
        </div>
      </div>
      ${effort}`;
  }
  return html`<div class="okay" data-verdict="sound">
      <p><strong>The chain is sound.</strong> All ${plural(result.entries, "entry", "entries")} are what their hashes say, and each continues the one before.</p>
      <${Facts}
        rows=${[
          ["Length", plural(result.entries, "entry", "entries")],
          ["Balance by the chain", result.balance === null ? "–" : html`<${Money} of=${result.balance} />`],
        ]}
      />
      <p class="head-hash"><span>Head</span> <code>${result.head}</code> <${Copy} text=${result.head} what="the head’s hash" /></p>
    </div>
    ${effort}
    <p class="caption">
      It proves that nothing inside this chain was changed, lost or put in. It cannot prove that the whole chain was not rewritten: keep the head, and check on another day that it is still in the chain.
    </p>`;
}
