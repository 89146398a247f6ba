// A bot's ledger in sentences.

/** @import { Entry, Market, Prediction } from "../types" */
/** @import { Problem } from "../api.js" */
/** @import { Column } from "../ui.js" */

import { ask } from "../api.js";
import { ENTRY_TYPES } from "../entry_types.js";
import { count } from "../numbers.js";
import { Ago, More, Reading, Section, Table, html, memo, useLookup, useMemo, useState } from "../ui.js";
import { cause, entryWords } from "../words.js";

const ENTRIES_SHOWN = 20;

export const Ledger = memo(LedgerSection);

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
  if (!entries) return html`<${Section} title="Ledger"><${Reading} what="the ledger" problem=${problem} again=${again} /><//>`;
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
  const showMore = () => {
    if (rows.length - most < 50 && more) onMore();
    setMost(most + 50);
  };
  return html`<${Section} title="Ledger" aside=${toggle} class="ledger">
    <${Table} cards caption="Entries of the ledger, newest first" columns=${columns} rows=${rows.slice(0, most)} id=${(/** @type {Entry} */ row) => row.sequence} />
    <${More} shown=${`${count(Math.min(most, rows.length))} of ${count(entries[0]?.sequence ?? 0)}`} more=${(rows.length > most || more) && showMore} />
  <//>`;
}

/** @param {Entry[]} entries @param {boolean} fees */
const shownEntries = (entries, fees) => (fees ? entries : entries.filter((entry) => ENTRY_TYPES[entry.entry_type]?.total !== "fees"));

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
