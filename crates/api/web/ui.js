// The parts that all pages are made of.

/** @import { ComponentChildren } from "preact" */
/** @import { Problem } from "./api.js" */

import { problemOf } from "./api.js";
import { eachSecond, exact, millis, now, relative, span } from "./clock.js";
import { parts, units } from "./numbers.js";
import { theBot, theOperator, onChange } from "./session.js";
import { known, watch } from "./state.js";

export const html = htm.bind(preact.h);
export const { useState, useEffect, useRef, useMemo, useCallback } = preactHooks;

// --- looking at what is known ----------------------------------------------------------------------

/** Draws a component again whenever something is different, at most four times a second. */
export function useKnown() {
  useTold(watch);
  return known;
}

/** @param {(listener: () => void) => () => void} listen draws a component again whenever the listener is called */
function useTold(listen) {
  const [, redraw] = useState(0);
  useEffect(() => {
    // Something may have come between the first drawing and now.
    redraw((n) => n + 1);
    return listen(() => redraw((n) => n + 1));
  }, []);
}

/** Whom the page acts for. */
export function useSession() {
  useTold(onChange);
  return { bot: theBot(), operator: theOperator() };
}

/** Draws a component again each second. */
export const useSeconds = () => useTold(eachSecond);

/**
 * A component that is drawn again only for other properties, or when its own state changes.
 * @template {object} P
 * @param {(props: P) => any} draw
 */
export function memo(draw) {
  return class extends preact.Component {
    /** @param {any} next */
    shouldComponentUpdate(next) {
      /** @type {any} */
      const have = this.props;
      const names = new Set([...Object.keys(have), ...Object.keys(next)]);
      for (const name of names) if (have[name] !== next[name]) return true;
      return false;
    }
    /** @param {any} props */
    render(props) {
      return preact.h(draw, props);
    }
  };
}

/**
 * Something that is read from the API when a page opens, and again on demand. What was read stays
 * while it is read again, and when that fails.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} read
 * @param {unknown[]} about read anew, from nothing, when one of these is different
 * @param {unknown} [as] read again when this is different
 * @returns {{ value: T | null, problem: Problem | null, again: () => void, set: (value: T) => void }}
 */
export function useRead(read, about, as) {
  const [value, setValue] = useState(/** @type {T | null} */ (null));
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const [turn, setTurn] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  const key = about.join("\n");
  const lastKey = useRef(key);
  useEffect(() => {
    if (lastKey.current !== key) {
      lastKey.current = key;
      setValue(null);
      setProblem(null);
    }
    const stop = new AbortController();
    latest.current(stop.signal).then(
      (read) => {
        if (stop.signal.aborted) return;
        setValue(/** @type {any} */ (() => read));
        setProblem(null);
      },
      (error) => {
        if (!stop.signal.aborted) setProblem(problemOf(error));
      },
    );
    return () => stop.abort();
  }, [key, turn, as]);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  const set = useCallback((/** @type {T} */ given) => setValue(/** @type {any} */ (() => given)), []);
  return { value: lastKey.current === key ? value : null, problem, again, set };
}

/**
 * What is called by a number or an id elsewhere, looked up once and kept for as long as the page is open.
 * @template T
 * @param {Map<T, string>} found
 * @param {T[]} wanted
 * @param {number} most so many are looked up at once
 * @param {(key: string, signal: AbortSignal) => Promise<unknown>} look puts one into `found`
 */
export function useLookup(found, wanted, most, look) {
  const [, redraw] = useState(0);
  const key = [...new Set(wanted.filter((one) => !found.has(one)))].slice(0, most).join();
  useEffect(() => {
    if (key === "") return;
    const stop = new AbortController();
    void Promise.allSettled(key.split(",").map((one) => look(one, stop.signal))).then(() => {
      if (!stop.signal.aborted) redraw((n) => n + 1);
    });
    return () => stop.abort();
  }, [key]);
  return found;
}

// --- numbers and times -----------------------------------------------------------------------------

/**
 * An amount, to the last digit: two digits after the point as usual, what is left of the others small.
 * @param {{ of: string | bigint, signed?: boolean, tone?: boolean, unit?: string }} props
 */
export function Money({ of, signed, tone, unit }) {
  const { sign, head, rest } = parts(of, signed);
  const mood = tone && sign === "\u2212" ? " bad" : tone && sign === "+" ? " good" : "";
  return html`<span class=${`money${mood}`}
    >${sign}${head}<span class="rest">${rest}</span>${unit ? html`<span class="unit"> ${unit}</span>` : null}</span
  >`;
}

/**
 * A moment, seen from now; the exact one when pointed at.
 * @param {{ at: string | number }} props
 */
export function Ago({ at }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const moment = millis(at);
  useEffect(
    () =>
      eachSecond(() => {
        const text = relative(moment);
        if (element.current && element.current.textContent !== text) element.current.textContent = text;
      }),
    [moment],
  );
  const iso = typeof at === "number" ? new Date(at).toISOString() : at;
  return html`<time ref=${element} dateTime=${iso} title=${exact(at)}>${relative(moment)}</time>`;
}

/**
 * How long until a moment; other words once it has passed.
 * @param {{ at: string | number, over: string }} props
 */
export function Until({ at, over }) {
  useSeconds();
  const left = (millis(at) - now()) / 1000;
  const iso = typeof at === "number" ? new Date(at).toISOString() : at;
  return html`<time dateTime=${iso} title=${exact(at)}>${left > 0 ? span(left + 0.999) : over}</time>`;
}

// --- small things ----------------------------------------------------------------------------------

/** @param {{ handle: string }} props */
export function BotLink({ handle }) {
  return html`<a class="handle" href=${`#/bots/${encodeURIComponent(handle)}`}><bdi>${handle}</bdi></a>`;
}

/** @param {{ tone?: string, children: ComponentChildren, title?: string }} props */
export function Pill({ tone, children, title }) {
  return html`<span class=${`pill ${tone ?? ""}`} title=${title}>${children}</span>`;
}

/** @param {{ problem: Problem | null, what?: string, again?: () => void }} props */
export function Trouble({ problem, what, again }) {
  if (!problem) return null;
  return html`<div class="trouble" role="alert">
    <p>
      <strong>${what ?? problem.title}.</strong> ${problem.detail}
      ${problem.requestId ? html` <small>Request <code>${problem.requestId}</code></small>` : null}
    </p>
    ${again ? html`<button type="button" class="quiet" onClick=${again}>Try again</button>` : null}
  </div>`;
}

/** @param {{ children: ComponentChildren }} props */
export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

/**
 * What stands in the place of something that is not read yet.
 * @param {{ what: string, problem?: Problem | null, again?: () => void }} props
 */
export function Reading({ what, problem, again }) {
  return problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<p class="empty waiting">Reading ${what}…</p>`;
}

/**
 * A section with its heading.
 * @param {{ title: string, id?: string, aside?: ComponentChildren, class?: string, children: ComponentChildren }} props
 */
export function Section({ title, id, aside, children, ...more }) {
  const anchor = id ?? title.toLowerCase().replace(/[^a-z]+/g, "-");
  return html`<section class=${`section ${more.class ?? ""}`} aria-labelledby=${`h-${anchor}`}>
    <div class="section-head">
      <h2 id=${`h-${anchor}`}>${title}</h2>
      ${aside}
    </div>
    ${children}
  </section>`;
}

/**
 * A figure with its name.
 * @param {{ name: string, children: ComponentChildren, note?: ComponentChildren, span?: boolean }} props
 */
export function Figure({ name, children, note, span: wide }) {
  return html`<div class=${wide ? "figure span" : "figure"}>
    <dt>${name}</dt>
    <dd>${children}${note ? html`<span class="note">${note}</span>` : null}</dd>
  </div>`;
}

/**
 * A list of names and values.
 * @param {{ rows: ([string, ComponentChildren] | null)[] }} props
 */
export function Facts({ rows }) {
  return html`<dl class="facts">
    ${rows.map((row) => (row ? html`<div><dt>${row[0]}</dt><dd>${row[1]}</dd></div>` : null))}
  </dl>`;
}

/**
 * An input with its name, and below it what to know.
 * @param {{ label: ComponentChildren, note?: string | null, value: string, set: (value: string) => void, help?: string, [attribute: string]: any }} props
 *   what else is given goes to the input
 */
export function Field({ label, note, value, set, help, ...more }) {
  return html`<label class="field"
    ><span>${label}${note ? html` <small>${note}</small>` : null}</span>
    <input autocomplete="off" ...${more} value=${value} onInput=${(/** @type {any} */ event) => set(event.currentTarget.value)} />
    ${help ? html`<small id=${more["aria-describedby"]}>${help}</small>` : null}
  </label>`;
}

/** @param {{ text: string, what: string }} props */
export function Copy({ text, what }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("Not allowed; select it and copy");
    }
  };
  useEffect(() => {
    if (said === "") return;
    const timer = setTimeout(() => say(""), 3000);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<span class="copy">
    <button type="button" class="quiet" onClick=${copy}>Copy<span class="sr"> ${what}</span></button>
    <span role="status">${said}</span>
  </span>`;
}

/**
 * What a form does when it is sent: once at a time; why it failed stands in `problem` afterwards.
 * @param {() => Promise<unknown>} work
 */
export function useSending(work) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      setProblem(problemOf(error));
    }
    setBusy(false);
  };
  return { busy, problem, send };
}

/**
 * Below a list: how much of it is shown, a button for more where there is more, and a hint.
 * @param {{ shown?: ComponentChildren, more: (() => void) | false, hint?: ComponentChildren }} props
 */
export function More({ shown, more, hint }) {
  return html`<div class="more">
    ${shown ? html`<span>${shown}</span>` : null}
    ${more ? html`<button type="button" class="quiet" onClick=${more}>Show more</button>` : null}
    ${hint}
  </div>`;
}

// --- tables ----------------------------------------------------------------------------------------

/**
 * @template T
 * @typedef {{
 *   name: string,
 *   key: string,
 *   number?: boolean,
 *   cell?: (row: T) => any,
 *   amount?: (row: T) => string | bigint | null,
 *   signed?: boolean,
 *   order?: (row: T) => string | number | bigint | null,
 *   head?: boolean,
 *   about?: string,
 * }} Column `order` makes it sortable, `head` names the row; an `amount` is a number that is shown to the last
 *   digit and sorted with the largest first, and the points of a column stand below each other
 */

/**
 * What a column is sorted by.
 * @template T
 * @param {Column<T> | undefined} column
 */
function orderOf(column) {
  const { order, amount } = column ?? {};
  const byAmount = (/** @type {T} */ row) => {
    const value = amount?.(row) ?? null;
    return typeof value === "string" ? units(value) : value;
  };
  return order ?? (amount && byAmount);
}

/**
 * A table that scrolls by itself when it is too wide, with buttons to sort by.
 * @template T
 * @param {{
 *   caption: string,
 *   columns: Column<T>[],
 *   rows: T[],
 *   id: (row: T) => string | number,
 *   sort?: { key: string, down: boolean },
 *   onSort?: (sort: { key: string, down: boolean }) => void,
 *   mark?: (row: T) => string,
 *   cards?: boolean,
 * }} props `cards`: on a narrow screen each row is a card that says the name of each value. Roles are
 *   spelled out because browsers forget those of a table that is laid out otherwise
 */
export function Table({ caption, columns, rows, id, sort, onSort, mark, cards }) {
  const title = (/** @type {Column<T>} */ column) => {
    if (!orderOf(column) || !onSort) return column.about ? html`<span title=${column.about}>${column.name}</span>` : column.name;
    const on = sort?.key === column.key;
    const turn = () => onSort({ key: column.key, down: on ? !sort.down : column.amount !== undefined });
    return html`<button type="button" onClick=${turn} title=${column.about}>
      ${column.name}<span class="arrow" aria-hidden="true">${on ? (sort.down ? "▾" : "▴") : ""}</span>
    </button>`;
  };
  const ariaSort = (/** @type {Column<T>} */ column) =>
    sort?.key === column.key && orderOf(column) ? (sort.down ? "descending" : "ascending") : undefined;
  const fine = new Set(
    columns.filter(({ amount }) => amount && rows.some((row) => (amount(row) ?? null) !== null && parts(amount(row) ?? 0n).rest !== "")),
  );
  const look = (/** @type {Column<T>} */ column) => `${column.number || column.amount ? "number" : ""}${fine.has(column) ? " fine" : ""}`;
  const cell = (/** @type {Column<T>} */ column, /** @type {T} */ row) => {
    if (column.cell) return column.cell(row);
    const amount = column.amount?.(row) ?? null;
    return amount === null ? html`<span class="none">–</span>` : html`<${Money} of=${amount} signed=${column.signed} tone=${column.signed} />`;
  };
  return html`<div class=${cards ? "table stacked" : "table"} role="group" aria-label=${caption} tabindex="0">
    <table role="table">
      <caption class="sr">
        ${caption}
      </caption>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(
            (column) =>
              html`<th key=${column.key} scope="col" role="columnheader" class=${look(column)} aria-sort=${ariaSort(column)}>
                ${title(column)}
              </th>`,
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(
          (row) =>
            html`<tr key=${id(row)} role="row" class=${mark ? mark(row) : ""}>
              ${columns.map((column) =>
                column.head
                  ? html`<th key=${column.key} scope="row" role="rowheader" class=${look(column)}>${cell(column, row)}</th>`
                  : html`<td key=${column.key} role="cell" class=${look(column)} data-name=${column.name}>${cell(column, row)}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/**
 * Rows in the order that a column gives; those without a value always last.
 * @template T
 * @param {T[]} rows
 * @param {Column<T>[]} columns
 * @param {{ key: string, down: boolean }} sort
 */
export function sorted(rows, columns, sort) {
  const order = orderOf(columns.find((column) => column.key === sort.key));
  if (!order) return rows;
  const keyed = rows.map((row) => ({ row, key: order(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return a.key === b.key ? 0 : a.key === null ? 1 : -1;
    const ascending = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
    return sort.down ? -ascending : ascending;
  });
  return keyed.map(({ row }) => row);
}

// --- asking first ----------------------------------------------------------------------------------

/**
 * Asks before something is done; the dialog is the browser's own, so that Escape and focus are right.
 * @param {{ title: string, children: ComponentChildren, yes: string, danger?: boolean, onYes: () => void, onNo: () => void }} props
 */
export function Confirm({ title, children, yes, danger, onYes, onNo }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const closed = (/** @type {Event} */ event) => {
    event.preventDefault();
    onNo();
  };
  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onCancel=${closed}>
    <h2 id="confirm-title">${title}</h2>
    ${children}
    <div class="buttons">
      <button type="button" class="quiet" onClick=${onNo}>No, leave it</button>
      <button type="button" class=${danger ? "danger" : "primary"} onClick=${onYes}>${yes}</button>
    </div>
  </dialog>`;
}
