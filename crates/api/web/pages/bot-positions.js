// A bot's open stakes, and the results of its predictions.

/** @import { Bet, Bot, Entry, Market, Prediction } from "../types" */
/** @import { Problem } from "../api.js" */
/** @import { Column } from "../ui.js" */

import { all, ask } from "../api.js";
import { count, cut, money, percent, plural, quotient, units } from "../numbers.js";
import { sourceOf } from "../state.js";
import { Ago, Empty, More, Reading, Section, Table, Trouble, Until, html, memo, useMemo, useRead, useState } from "../ui.js";
import { cause } from "../words.js";

export const PREDICTIONS_MOST = 1000;

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
export function Open({ bot, entries, predictions }) {
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
    ${entries === null || predictions === null ? html`<${Reading} what="positions" />` : null}
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
  { key: "ended", name: "Result", cell: (row) => html`<span class=${row.status === "WON" ? "good" : row.status === "LOST" ? "bad" : "muted"}>${row.status.toLowerCase()}</span>` },
  { key: "paid", name: "Paid", number: true, amount: (row) => row.payout },
  { key: "brier", name: "Brier", number: true, cell: (row) => (row.brier === null ? html`<span class="none">–</span>` : html`<span title=${row.brier}>${cut(row.brier, 4)}</span>`) },
];

export const Predictions = memo(PredictionsSection);

/** @param {{ read: { items: Prediction[], more: boolean } | null, problem: Problem | null, again: () => void }} props */
function PredictionsSection({ read, problem, again }) {
  const [most, setMost] = useState(10);
  if (!read) return html`<${Section} title="Predictions"><${Reading} what="predictions" problem=${problem} again=${again} /><//>`;
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
          <${More}
            shown=${html`${Math.min(most, read.items.length)} of ${count(read.items.length)}${read.more ? " and more" : ""}`}
            more=${read.items.length > most && (() => setMost(most + 50))}
          />`
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
