// One bot: what it has, what it cost, why it lost, and whether its ledger holds.

/** @import { Bet, Bot, Economy, Entry, History, Insights, Market, Page, Prediction, Verified } from "../types" */
/** @import { Column } from "../ui.js" */
/** @import { Form, Line } from "../chart.js" */

import { BASE, Problem, all, ask, withQuery } from "../api.js";
import { Chart } from "../chart.js";
import { exact, millis, now, span } from "../clock.js";
import { ENTRY_TYPES } from "../entry_types.js";
import { count, cut, forDrawing, money, percent, plural, quotient, units } from "../numbers.js";
import { hear, paced, sourceOf } from "../state.js";
import {
  Ago,
  Copy,
  Empty,
  Facts,
  Figure,
  Money,
  Pill,
  Section,
  Table,
  Trouble,
  Until,
  Waiting,
  html,
  memo,
  useEffect,
  useKnown,
  useLookup,
  useMemo,
  useRead,
  useRef,
  useState,
} from "../ui.js";
import { BOT_STATUS, POSITION, cause, entryWords, fieldWords } from "../words.js";

/** How much of the chain is read to begin with; the rest on demand, and all of it to verify. */
const ENTRIES_FIRST = 400;
const ENTRIES_SHOWN = 20;
const PREDICTIONS_MOST = 1000;
const POINTS = 300;

/** @param {{ name: string }} props */
export function BotPage({ name }) {
  const path = encodeURIComponent(name);
  const { economy } = useKnown();
  const [turn, setTurn] = useState(0);
  const [most, setMost] = useState(ENTRIES_FIRST);
  const bot = useRead((signal) => /** @type {Promise<Bot>} */ (ask(`bots/${path}`, { signal })), [name]);
  const insights = useRead((signal) => /** @type {Promise<Insights>} */ (ask(`insights/${path}`, { signal })), [name]);
  const ledger = useRead(
    async (signal) => /** @type {{ items: Entry[], more: boolean }} */ (await all(`bots/${path}/ledger`, most, signal)),
    [name],
  );
  const predictions = useRead(
    async (signal) => /** @type {{ items: Prediction[], more: boolean }} */ (await all(withQuery("predictions", { bot: name }), PREDICTIONS_MOST, signal)),
    [name],
  );
  const history = useRead(
    (signal) => /** @type {Promise<History>} */ (ask(`bots/${path}/history?points=${POINTS}`, { signal })),
    [name],
  );

  const readAll = useMemo(() => paced(async () => setTurn((n) => n + 1), () => 2500), []);
  useEffect(() => {
    if (turn === 0) return;
    for (const read of [bot, insights, ledger, predictions, history]) read.again();
  }, [turn]);
  useEffect(() => {
    if (most !== ENTRIES_FIRST) ledger.again();
  }, [most]);
  const id = bot.value?.id;
  useEffect(
    () =>
      hear(({ kind, data }) => {
        if (kind === "tick" || data.bot_id === id) readAll();
      }),
    [id],
  );

  // The heading is the same element before and after: who was led to it is not left in the void.
  if (!bot.value) {
    if (bot.problem?.status === 404 || bot.problem?.status === 422) {
      return html`<div class="title"><h1 tabindex="-1">No such bot</h1></div>
        <p class="lead">No bot here is called “<bdi>${name}</bdi>”. <a href="#/">The standings</a> name all there are.</p>`;
    }
    return html`<div class="title"><h1 tabindex="-1"><bdi>${name}</bdi></h1></div>
      ${bot.problem ? html`<${Trouble} problem=${bot.problem} again=${bot.again} />` : html`<${Waiting} what="the bot" />`}`;
  }
  const it = bot.value;
  const tone = it.status === "ALIVE" ? "good" : "bad";
  return html`<div class="title">
      <h1 tabindex="-1"><bdi>${it.handle}</bdi></h1>
      <${Pill} tone=${tone}>${BOT_STATUS[it.status]}<//>
      ${it.hosted ? html`<${Pill} title="Its persona is a file of this arena">hosted<//>` : null}
      ${it.paused ? html`<${Pill} tone="warn">paused<//>` : null}
      <span class="lead"
        >Bot ${it.id}, registered <${Ago} at=${it.created_at} />, ${it.last_action_at ? html`last acted <${Ago} at=${it.last_action_at} />` : "never acted"}.</span
      >
    </div>
    ${it.paused
      ? html`<div class="trouble"><p><strong>An operator holds this bot</strong> (<${Ago} at=${it.paused.since} />). It neither acts nor pays for time. <bdi>${it.paused.reason}</bdi></p></div>`
      : null}
    <dl class="figures">
      <${Figure} name="Balance" note="open stakes have left it"><${Money} of=${it.balance} /><//>
      <${Figure} name="Shadow balance" note=${economy?.mode === "observe" ? "had all fees been charged" : "balance if fees were real"}
        ><${Money} of=${it.shadow_balance}
      /><//>
      <${Figure} name="Idle for" note=${economy ? `a wager or bet of ${money(economy.parameters.productive_stake_min)} ends it` : null}
        >${plural(it.idle_streak, "tick")}<//
      >
      <${Ending} insights=${insights.value} />
    </dl>
    <${BalanceChart} entries=${ledger.value?.items ?? null} more=${ledger.value?.more ?? false} history=${history.value} historyProblem=${history.problem} />
    <div class="columns even">
      <div><${Account} insights=${insights.value} problem=${insights.problem} again=${insights.again} /></div>
      <div>
        <${Verify} bot=${it} />
        <${Open} bot=${it} entries=${ledger.value?.items ?? null} predictions=${predictions.value?.items ?? null} />
      </div>
    </div>
    <${Predictions} read=${predictions.value} problem=${predictions.problem} again=${predictions.again} />
    <${Ledger}
      entries=${ledger.value?.items ?? null}
      more=${ledger.value?.more ?? false}
      problem=${ledger.problem}
      again=${ledger.again}
      predictions=${predictions.value?.items ?? null}
      onMore=${() => setMost(most + 1000)}
    />`;
}

/** @param {{ insights: Insights | null }} props */
function Ending({ insights }) {
  if (!insights) return html`<${Figure} name="If nobody acts">…<//>`;
  const then = insights.if_nothing_changes;
  if (insights.status !== "ALIVE") return html`<${Figure} name="If nobody acts" note="only an operator revives">nothing<//>`;
  if (then.ticks_left === null || then.dies_in_tick === null) return html`<${Figure} name="If nobody acts">it lives<//>`;
  const would = insights.mode === "observe";
  if (then.ticks_left === 0 && would) {
    return html`<${Figure} name="If fees were charged" note=${then.dies_at ? html`<${Ago} at=${then.dies_at} />` : null}><span class="bad">dead by now</span><//>`;
  }
  return html`<${Figure}
    name="If nobody acts"
    note=${html`${would ? "it would die" : "it dies"} in tick ${count(then.dies_in_tick)}${then.dies_at ? html`, <${Ago} at=${then.dies_at} />` : null}`}
    >${plural(then.ticks_left, "tick")} left<//
  >`;
}

// --- balance over time -----------------------------------------------------------------------------

/** Told apart by their form as well as by their colour. @type {{ name: string, many: string, colour: string, size: number, form: Form, sign: string, of: (entry: Entry) => boolean }[]} */
const MARKS = [
  { name: "fee", many: "fees", colour: "--muted", size: 4, form: "dot", sign: "·", of: (e) => e.entry_type === "HEARTBEAT" || e.entry_type === "RESEARCH_LOOKUP_FEE" },
  { name: "wager or bet", many: "wagers or bets", colour: "--ink", size: 9, form: "dot", sign: "●", of: (e) => e.entry_type === "WAGER" || e.entry_type === "MARKET_STAKE" },
  { name: "win", many: "wins", colour: "--accent", size: 12, form: "up", sign: "▲", of: (e) => e.entry_type.endsWith("PAYOUT") },
  { name: "loss", many: "losses", colour: "--warn", size: 12, form: "down", sign: "▼", of: (e) => e.entry_type === "SLASH" || e.entry_type === "FORFEIT" },
  { name: "death or retirement", many: "deaths or retirements", colour: "--bad", size: 12, form: "box", sign: "■", of: (e) => e.entry_type === "LIQUIDATION" || e.entry_type === "RETIRED" },
];

const BalanceChart = memo(
  /** @param {{ entries: Entry[] | null, more: boolean, history: History | null, historyProblem: Problem | null }} props */
  ({ entries, more, history, historyProblem }) => {
    if (!entries) return html`<${Section} title="Balance over time"><${Waiting} what="the ledger" /><//>`;
    const oldest = entries.at(-1);
    const points = history?.items ?? [];
    if (!oldest || (entries.length < 2 && points.length < 2)) {
      return html`<${Section} title="Balance over time"><${Empty}>No history here yet: it begins with the first tick or wager.<//><//>`;
    }
    const from = more ? millis(oldest.recorded_at) : -Infinity;
    /** @type {{ at: number, balance: string | null, shadow: string | null, entry: Entry | null, tick: number | null }[]} */
    const rows = [
      ...entries.map((entry) => ({ at: millis(entry.recorded_at), balance: entry.balance_after, shadow: null, entry, tick: null })),
      ...points
        .filter((point) => millis(point.at) >= from)
        .map((point) => ({ at: millis(point.at), balance: null, shadow: point.shadow_balance, entry: null, tick: point.tick })),
    ];
    // What it has now it has until now.
    rows.push({ at: Math.max(now(), millis(entries[0]?.recorded_at ?? 0)), balance: entries[0]?.balance_after ?? null, shadow: null, entry: null, tick: null });
    rows.sort((a, b) => a.at - b.at || (a.entry?.sequence ?? 0) - (b.entry?.sequence ?? 0));
    const draw = (/** @type {string | null} */ text) => (text === null ? null : forDrawing(text));
    const marks = MARKS.filter((mark) => entries.some(mark.of));
    const tell = (/** @type {(row: (typeof rows)[number]) => string | null} */ pick) => (/** @type {number} */ at) => {
      for (let i = at; i >= 0; i--) {
        const row = rows[i];
        const text = row ? pick(row) : null;
        if (text !== null) return money(text);
      }
      return "–";
    };
    /** @type {Line[]} */
    const lines = [
      { label: "balance", colour: "--accent", steps: true, value: tell((row) => row.balance) },
      ...(points.length > 1 ? [{ label: "shadow balance", colour: "--muted", dash: [5, 4], value: tell((row) => row.shadow) }] : []),
      ...marks.map((mark) => ({
        label: `${mark.sign} ${mark.name}`,
        colour: mark.colour,
        marks: mark.size,
        form: mark.form,
        rest: count(entries.filter(mark.of).length),
        value: (/** @type {number} */ at) => {
          const entry = rows[at]?.entry;
          return entry && mark.of(entry) ? money(entry.amount, true) : "";
        },
      })),
    ];
    const ys = [
      rows.map((row) => draw(row.balance)),
      ...(points.length > 1 ? [rows.map((row) => draw(row.shadow))] : []),
      ...marks.map((mark) => rows.map((row) => (row.entry && mark.of(row.entry) ? draw(row.balance) : null))),
    ];
    const newest = /** @type {Entry} */ (entries[0]);
    const tally = marks.map((mark) => plural(entries.filter(mark.of).length, mark.name, mark.many)).join(", ");
    const label = `From ${money(oldest.balance_after)} to ${money(newest.balance_after)}${tally ? `; ${tally}` : ""}.${more ? ` Only the last ${plural(entries.length, "entry", "entries")} are drawn.` : ""}`;
    return html`<${Section} title="Balance over time">
      <${Chart} xs=${rows.map((row) => row.at / 1000)} ys=${ys} lines=${lines} label=${label} height=${260} />
      <p class="caption">
        ${label}${historyProblem ? html` The shadow balance has no history here yet.` : null}
      </p>
    <//>`;
  },
);

// --- insights --------------------------------------------------------------------------------------

/** @param {string | null} text @param {number} digits */
const maybe = (text, digits) => (text === null ? html`<span class="none">none yet</span>` : html`<span title=${text}>${cut(text, digits)}</span>`);

const Account = memo(
  /** @param {{ insights: Insights | null, problem: Problem | null, again: () => void }} props */
  ({ insights, problem, again }) => {
    if (!insights) {
      return html`<${Section} title="What it cost and produced">
        ${problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Waiting} what="the insights" />`}
      <//>`;
    }
    const { cost, produced, attention, activity, trend, if_nothing_changes: then } = insights;
    const direction = { up: "it earns more than before", down: "it earns less than before", flat: "as before" };
    return html`<${Section} title="What it cost and produced">
      <h3>Cost</h3>
      <${Facts}
        rows=${[
          ["Fees charged", html`<${Money} of=${cost.fees} />`],
          ["Fees recorded, not charged", html`<${Money} of=${cost.phantom_fees} />`],
          ["Lookup fees", html`<${Money} of=${cost.lookup_fees} />`],
          ["Lost stakes", html`<${Money} of=${cost.lost_stakes} />`],
          [
            "Language models",
            html`<${Money} of=${cost.llm_usd} unit="USD" />${cost.unpriced_calls > 0
              ? html` <${Pill} tone="warn" title=${`Not in the sum. ${count(cost.unreported_calls)} of them did not say what they used; the model of the others is not in the server's price book`}>${plural(cost.unpriced_calls, "call")} unpriced<//>`
              : null}`,
          ],
          ...(cost.reported_usd_calls > 0
            ? [
                [
                  "Language models, as it says itself",
                  html`<span title="Nobody checks it"><${Money} of=${cost.reported_usd} unit="USD" /></span> <span class="of">of ${plural(cost.reported_usd_calls, "call")}</span>`,
                ],
              ]
            : []),
          [
            "Tokens",
            html`<span title=${`${count(cost.cached_input_tokens)} of those read were cached; ${count(cost.reasoning_tokens)} of those written were reasoning`}
              >${count(cost.input_tokens)} read, ${count(cost.output_tokens)} written, ${plural(cost.llm_calls, "call")}</span
            >`,
          ],
        ]}
      />
      <h3>Produced</h3>
      <${Facts}
        rows=${[
          ["Profit of settled positions", html`<${Money} of=${produced.profit} signed tone />`],
          ["Payouts, stakes included", html`<${Money} of=${produced.payouts} />`],
          ["of which bounties", html`<${Money} of=${produced.bounties} />`],
          ["Won", `${count(produced.won)} of ${count(produced.settled)} settled`],
          ["Brier score", html`${maybe(produced.brier, 4)}${produced.brier_count > 0 ? html` <span class="of">of ${count(produced.brier_count)}; always 50 % gets 0.25</span>` : null}`],
          ["Cost of a settled position", maybe(produced.cost_per_settled, 4)],
          ["Cost of 1.00 profit", produced.cost_per_profit === null ? html`<span class="none">no profit</span>` : maybe(produced.cost_per_profit, 4)],
          ["Model cost of 1.00 profit", produced.llm_usd_per_profit === null ? html`<span class="none">no profit</span>` : html`${maybe(produced.llm_usd_per_profit, 6)} USD`],
        ]}
      />
      <h3>Attention</h3>
      <${Facts}
        rows=${[
          ["Operators’ interventions", count(attention.interventions)],
          ["Errors", count(attention.errors)],
          ["Idle ticks", activity.idle_rate === null ? html`<span class="none">no tick yet</span>` : html`<span title=${activity.idle_rate}>${cut(activity.idle_rate, 2)}</span> of ${count(activity.ticks)}`],
        ]}
      />
      <h3>Trend</h3>
      <${Facts}
        rows=${[
          [`Profit a tick, last ${count(trend.window_ticks)} ticks`, maybe(trend.profit_per_tick, 6)],
          ["in the window before", maybe(trend.previous, 6)],
          ["that is", trend.direction ? direction[trend.direction] : html`<span class="none">two whole windows are needed to say</span>`],
        ]}
      />
      <h3>If nobody acts</h3>
      <${Facts}
        rows=${[
          ["The next tick costs", then.burn_per_tick === null ? html`<span class="none">nothing</span>` : html`<${Money} of=${then.burn_per_tick} />`],
          ["Ticks it can pay for", then.ticks_left === null ? html`<span class="none">does not end</span>` : count(then.ticks_left)],
          ["Its last tick", then.dies_in_tick === null ? html`<span class="none">none</span>` : html`${count(then.dies_in_tick)}${then.dies_at ? html`, <${Ago} at=${then.dies_at} />` : null}`],
          activity.would_have_been_liquidated_at ? ["Would have died", html`<${Ago} at=${activity.would_have_been_liquidated_at} />`] : null,
        ]}
      />
    <//>`;
  },
);

// --- verification ----------------------------------------------------------------------------------

/**
 * @typedef {{ state: "idle" } | { state: "busy", words: string, done: number, all: number } | { state: "failed", detail: string } | { state: "done", result: Verified, at: number }} Checking
 */

/** @param {{ bot: Bot }} props */
function Verify({ bot }) {
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
      Your browser fetches every entry, writes each anew in its canonical form (nine lines, each ended by a line feed), computes its SHA-256, and checks that each continues the one
      before. It believes nothing that the server says about it.
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
      It proves that nothing inside this chain was changed, lost or put in. It cannot prove that the whole chain was not written anew: keep the
      head, and look whether it is still in the chain another day.
    </p>`;
}

// --- positions -------------------------------------------------------------------------------------

/**
 * The markets in which a bot has a stake that nothing in its chain has ended yet.
 * @param {Entry[]} entries newest first
 */
function openMarkets(entries) {
  const ended = new Set();
  /** @type {string[]} */
  const open = [];
  for (const entry of entries) {
    const [kind, id] = cause(entry.reference);
    if (kind !== "MARKET") continue;
    if (entry.entry_type === "MARKET_STAKE") {
      if (!ended.has(id) && !open.includes(id)) open.push(id);
    } else if (entry.entry_type !== "RESEARCH_LOOKUP_FEE") ended.add(id);
  }
  return open;
}

/** @param {{ bot: Bot, entries: Entry[] | null, predictions: Prediction[] | null }} props */
function Open({ bot, entries, predictions }) {
  const markets = useMemo(() => (entries ? openMarkets(entries) : []), [entries]);
  const bets = useRead(
    async (signal) => {
      const found = await Promise.all(
        markets.slice(0, 20).map(async (id) => {
          const market = /** @type {Market} */ (await ask(`markets/${id}`, { signal }));
          const read = /** @type {{ items: Bet[] }} */ (await all(`markets/${id}/bets`, 1000, signal));
          return { market, bet: read.items.find((bet) => bet.bot_id === bot.id) ?? null };
        }),
      );
      return found.filter(({ bet }) => bet?.status === "OPEN");
    },
    [markets.join()],
  );
  const open = (predictions ?? []).filter((prediction) => prediction.status === "OPEN");
  const none = entries !== null && predictions !== null && open.length === 0 && markets.length === 0;
  return html`<${Section} title="Open positions">
    ${entries === null || predictions === null ? html`<${Waiting} what="positions" />` : null}
    ${none ? html`<${Empty}>Nothing is at stake.<//>` : null}
    <ul class="positions">
      ${open.map(
        (prediction) =>
          html`<li key=${`p${prediction.id}`}>
            <p><strong>The price goes ${prediction.direction === "UP" ? "up" : "down"}</strong>, ${percent(prediction.confidence)} sure</p>
            <p class="caption">
              stake ${money(prediction.wager_amount)}, ${prediction.start_price ? `from ${money(prediction.start_price)}` : "waiting for its first price"}, settles in${" "}
              <${Until} at=${prediction.settles_at} over="a moment" />
            </p>
            ${prediction.reasoning ? html`<p class="reasoning" dir="auto">${prediction.reasoning}</p>` : null}
          </li>`,
      )}
      ${(bets.value ?? []).map(
        ({ market, bet }) =>
          html`<li key=${market.id}>
            <p><strong>${bet?.side ?? "An answer"}</strong>, ${percent(bet?.confidence ?? "0")} sure: <a href=${`#/markets/${market.id}`}>${market.description}</a></p>
            <p class="caption">stake ${money(bet?.stake ?? "0")}, ${sourceOf(market.source).name}, deadline in <${Until} at=${market.deadline} over="a moment" /></p>
            ${bet?.reasoning ? html`<p class="reasoning" dir="auto">${bet.reasoning}</p>` : null}
          </li>`,
      )}
    </ul>
    ${bets.problem ? html`<${Trouble} problem=${bets.problem} again=${bets.again} />` : null}
  <//>`;
}

// --- predictions -----------------------------------------------------------------------------------

/** @typedef {{ low: number, count: number, right: number, sure: bigint }} Bin */

/** @param {Prediction[]} settled */
function calibration(settled) {
  /** @type {Bin[]} */
  const bins = Array.from({ length: 10 }, (_, index) => ({ low: index * 10, count: 0, right: 0, sure: 0n }));
  for (const prediction of settled) {
    const sure = units(prediction.confidence);
    const bin = bins[Math.min(9, Number(sure / 10000000n))];
    if (!bin) continue;
    bin.count++;
    bin.sure += sure;
    if (prediction.status === "WON") bin.right++;
  }
  return bins.filter((bin) => bin.count > 0);
}

/** @type {Column<Prediction>[]} */
const PREDICTION_COLUMNS = [
  { key: "made", name: "Made", cell: (row) => html`<${Ago} at=${row.created_at} />` },
  { key: "says", name: "Says", head: true, cell: (row) => html`${row.direction === "UP" ? "up" : "down"}, ${percent(row.confidence)}` },
  { key: "stake", name: "Stake", number: true, amount: (row) => row.wager_amount },
  { key: "from", name: "From", number: true, amount: (row) => row.start_price },
  { key: "to", name: "To", number: true, amount: (row) => row.end_price },
  { key: "ended", name: "Result", cell: (row) => html`<span class=${row.status === "WON" ? "good" : row.status === "LOST" ? "bad" : "muted"}>${POSITION[row.status]}</span>` },
  { key: "paid", name: "Paid", number: true, amount: (row) => row.payout },
  { key: "brier", name: "Brier", number: true, cell: (row) => (row.brier === null ? html`<span class="none">–</span>` : html`<span title=${row.brier}>${cut(row.brier, 4)}</span>`) },
];

const Predictions = memo(PredictionsSection);

/** @param {{ read: { items: Prediction[], more: boolean } | null, problem: Problem | null, again: () => void }} props */
function PredictionsSection({ read, problem, again }) {
  const [most, setMost] = useState(10);
  if (!read) {
    return html`<${Section} title="Predictions">${problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Waiting} what="predictions" />`}<//>`;
  }
  const settled = read.items.filter(({ status }) => status === "WON" || status === "LOST");
  const bins = calibration(settled);
  return html`<${Section} title="Predictions">
    ${read.items.length === 0 ? html`<${Empty}>It has not said anything about the price yet.<//>` : null}
    ${bins.length > 0
      ? html`<div class="calibration">
          <${CalibrationPlot} bins=${bins} />
          <div>
            <h3>Is it as often right as it is sure?</h3>
            <p class="caption">
              On the diagonal it would be. Below it the bot is surer than it should be. The larger a dot, the more predictions it stands for: ${plural(settled.length, "settled prediction")}${read.more ? `, the last ${count(PREDICTIONS_MOST)} at most` : ""}; bets on markets are not in it.
            </p>
            <${Table}
              caption="Calibration"
              rows=${bins}
              id=${(/** @type {Bin} */ bin) => bin.low}
              columns=${[
                { key: "sure", name: "Confidence", head: true, cell: (/** @type {Bin} */ bin) => `${bin.low} to ${bin.low + 10} %` },
                { key: "count", name: "Predictions", number: true, cell: (/** @type {Bin} */ bin) => count(bin.count) },
                { key: "right", name: "Right", number: true, cell: (/** @type {Bin} */ bin) => count(bin.right) },
                {
                  key: "share",
                  name: "Share right",
                  number: true,
                  cell: (/** @type {Bin} */ bin) => html`${quotient(BigInt(bin.right * 100), BigInt(bin.count), 1)} %`,
                },
              ]}
            />
          </div>
        </div>`
      : null}
    ${read.items.length > 0
      ? html`<${Table} cards caption="Predictions, newest first" columns=${PREDICTION_COLUMNS} rows=${read.items.slice(0, most)} id=${(/** @type {Prediction} */ row) => row.id} />
          <div class="more">
            <span>${Math.min(most, read.items.length)} of ${count(read.items.length)}${read.more ? " and more" : ""}</span>
            ${read.items.length > most ? html`<button type="button" class="quiet" onClick=${() => setMost(most + 50)}>Show more</button>` : null}
          </div>`
      : null}
  <//>`;
}

/** @param {{ bins: Bin[] }} props */
function CalibrationPlot({ bins }) {
  const most = Math.max(...bins.map((bin) => bin.count));
  const place = (/** @type {number} */ share) => 30 + share * 220;
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const label = `Calibration: ${bins.map((bin) => `of ${bin.count} that were ${bin.low} to ${bin.low + 10} % sure, ${bin.right} were right`).join("; ")}.`;
  return html`<svg class="plot" viewBox="-16 0 276 280" role="img" aria-label=${label}>
    ${marks.map(
      (mark) =>
        html`<path class="grid" d=${`M${place(mark)} 10V230M30 ${240 - place(mark) + 20}H250`} />
          <text x=${place(mark)} y="248" text-anchor="middle">${mark * 100}</text>
          <text x="24" y=${264 - place(mark)} text-anchor="end">${mark * 100}</text>`,
    )}
    <path class="ideal" d="M30 230L250 10" />
    ${bins.map((bin) => {
      const sure = Number(bin.sure / BigInt(bin.count)) / 1e8;
      const right = bin.right / bin.count;
      return html`<circle class="dot" cx=${place(sure)} cy=${260 - place(right)} r=${4 + 9 * Math.sqrt(bin.count / most)} />`;
    })}
    <text x="140" y="272" text-anchor="middle" class="axis">sure, %</text>
    <text x="-120" y="-6" text-anchor="middle" class="axis" transform="rotate(-90)">right, %</text>
  </svg>`;
}

// --- ledger ----------------------------------------------------------------------------------------

const Ledger = memo(LedgerSection);

/** @param {{ entries: Entry[] | null, more: boolean, problem: Problem | null, again: () => void, predictions: Prediction[] | null, onMore: () => void }} props */
function LedgerSection({ entries, more, problem, again, predictions, onMore }) {
  const [most, setMost] = useState(ENTRIES_SHOWN);
  const [fees, setFees] = useState(true);
  const titles = useMarketTitles(entries, most, fees);
  const known = useMemo(() => {
    const byTime = new Map();
    const byId = new Map();
    for (const prediction of predictions ?? []) {
      byTime.set(prediction.created_at, prediction);
      byId.set(String(prediction.id), prediction);
    }
    return { byTime, byId };
  }, [predictions]);
  if (!entries) {
    return html`<${Section} title="Ledger">${problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Waiting} what="the ledger" />`}<//>`;
  }
  const rows = shownEntries(entries, fees);
  const about = (/** @type {Entry} */ entry) => {
    const [kind, id] = cause(entry.reference);
    if (kind === "PREDICTION") return known.byId.get(id) ?? null;
    return entry.entry_type === "WAGER" ? (known.byTime.get(entry.recorded_at) ?? null) : null;
  };
  /** @type {Column<Entry>[]} */
  const columns = [
    { key: "seq", name: "#", number: true, cell: (row) => count(row.sequence) },
    { key: "type", name: "Entry", cell: (row) => html`<span class="kind">${ENTRY_TYPES[row.entry_type]?.words ?? row.entry_type}</span>` },
    {
      key: "story",
      name: "What happened",
      head: true,
      cell: (row) => {
        const [kind, id] = cause(row.reference);
        return html`<span class="story-cell" title=${row.reference}
          >${entryWords(row, about(row))}${kind === "MARKET" ? html` <a href=${`#/markets/${encodeURIComponent(id)}`}>${titles.get(id) ?? "The market"}</a>` : null}</span
        >`;
      },
    },
    { key: "amount", name: "Amount", number: true, amount: (row) => row.amount, signed: true },
    { key: "after", name: "Balance", number: true, amount: (row) => row.balance_after },
    { key: "at", name: "When", cell: (row) => html`<${Ago} at=${row.recorded_at} />` },
    { key: "hash", name: "Hash", cell: (row) => html`<code title=${row.hash}>${row.hash.slice(0, 8)}</code>` },
  ];
  const toggle = html`<label class="check"
    ><input type="checkbox" checked=${fees} onChange=${(/** @type {any} */ event) => setFees(event.currentTarget.checked)} /> show fees</label
  >`;
  return html`<${Section} title="Ledger" aside=${toggle} class="ledger">
    <${Table} cards caption="Entries of the ledger, newest first" columns=${columns} rows=${rows.slice(0, most)} id=${(/** @type {Entry} */ row) => row.sequence} />
    <div class="more">
      <span>${count(Math.min(most, rows.length))} of ${count(entries[0]?.sequence ?? 0)}</span>
      ${rows.length > most || more
        ? html`<button
            type="button"
            class="quiet"
            onClick=${() => {
              if (rows.length - most < 50 && more) onMore();
              setMost(most + 50);
            }}
          >
            Show more
          </button>`
        : null}
    </div>
  <//>`;
}

/** @param {Entry[]} entries @param {boolean} fees */
const shownEntries = (entries, fees) => (fees ? entries : entries.filter((entry) => entry.entry_type !== "HEARTBEAT"));

/** Questions of markets, kept for as long as the page is open. @type {Map<string, string>} */
const questions = new Map();

/**
 * The questions of the markets that are shown.
 * @param {Entry[] | null} entries
 * @param {number} most
 * @param {boolean} fees
 */
function useMarketTitles(entries, most, fees) {
  const wanted = shownEntries(entries ?? [], fees)
    .slice(0, most)
    .map((entry) => cause(entry.reference))
    .filter(([kind]) => kind === "MARKET")
    .map(([, id]) => id);
  return useLookup(questions, wanted, 30, async (id, signal) => {
    const market = /** @type {Market} */ (await ask(`markets/${encodeURIComponent(id)}`, { signal }));
    questions.set(id, market.description);
  });
}
