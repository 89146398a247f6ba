// A bot's balance over time, and its changes.

/** @import { Entry, History } from "../types" */
/** @import { Problem } from "../api.js" */
/** @import { Form, Line } from "../chart.js" */

import { Chart } from "../chart.js";
import { millis, now } from "../clock.js";
import { ENTRY_TYPES } from "../entry_types.js";
import { count, forDrawing, money, plural } from "../numbers.js";
import { Empty, Reading, Section, html, memo } from "../ui.js";

/** Told apart by their form as well as by their colour. @type {{ name: string, many: string, colour: string, size: number, form: Form, sign: string, of: (entry: Entry) => boolean }[]} */
const MARKS = [
  { name: "fee", many: "fees", colour: "--muted", size: 4, form: "dot", sign: "·", of: (e) => ENTRY_TYPES[e.entry_type]?.total.endsWith("fees") ?? false },
  { name: "wager or bet", many: "wagers or bets", colour: "--ink", size: 9, form: "dot", sign: "●", of: (e) => e.entry_type === "WAGER" || e.entry_type === "MARKET_STAKE" },
  { name: "win", many: "wins", colour: "--accent", size: 12, form: "up", sign: "▲", of: (e) => e.entry_type.endsWith("PAYOUT") },
  { name: "loss", many: "losses", colour: "--warn", size: 12, form: "down", sign: "▼", of: (e) => e.entry_type === "SLASH" || e.entry_type === "FORFEIT" },
  { name: "death or retirement", many: "deaths or retirements", colour: "--bad", size: 12, form: "box", sign: "■", of: (e) => e.entry_type === "LIQUIDATION" || e.entry_type === "RETIRED" },
];

export const BalanceChart = memo(
  /** @param {{ entries: Entry[] | null, more: boolean, history: History | null, historyProblem: Problem | null }} props */
  ({ entries, more, history, historyProblem }) => {
    if (!entries) return html`<${Section} title="Balance over time"><${Reading} what="the ledger" /><//>`;
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
    // The present balance extends to now.
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
