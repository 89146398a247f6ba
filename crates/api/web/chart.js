// Lines over time. The library draws on a canvas; what it shows stands beside it in words, and what
// the pointer is on is shown to the last digit.

/** @import { AlignedData, Options, Series } from "uplot" */
/** @typedef {import("uplot")} Plot */

import { html, useEffect, useRef } from "./ui.js";

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @typedef {"dot" | "up" | "down" | "box"} Form of a mark */

/**
 * @typedef {{
 *   label: string,
 *   colour: string,
 *   value: (index: number) => string,
 *   rest?: string,
 *   width?: number,
 *   fill?: boolean,
 *   marks?: number,
 *   form?: Form,
 *   bars?: boolean,
 *   steps?: boolean,
 *   dash?: number[],
 *   scale?: string,
 * }} Line `colour` is the name of a variable of style.css, `value` the exact value for the legend,
 *   `rest` what it says while the pointer is elsewhere,
 *   `marks` the size of points without a line
 */

/**
 * @param {{
 *   xs: number[],
 *   lines: Line[],
 *   ys: (number | null)[][],
 *   label: string,
 *   height?: number,
 *   zero?: boolean,
 *   whole?: boolean,
 * }} props `xs` in seconds since 1970; `label` tells in words what is drawn
 */
export function Chart({ xs, lines, ys, label, height = 220, zero, whole }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {Plot | null} */ (null));
  const shape = lines.map((line) => `${line.label} ${line.colour} ${line.marks ?? ""}`).join("\n");
  const latest = useRef(lines);
  latest.current = lines;
  const data = /** @type {AlignedData} */ (/** @type {unknown} */ ([xs, ...ys]));

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element.clientWidth, height, latest, { zero, whole }), data, element);
    };
    make();
    const resize = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (plot.current && width > 0 && Math.abs(plot.current.width - width) > 1) plot.current.setSize({ width, height });
    });
    resize.observe(element);
    document.addEventListener("themechange", make);
    return () => {
      resize.disconnect();
      document.removeEventListener("themechange", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, height]);

  const drawn = useRef(data);
  useEffect(() => {
    if (plot.current && drawn.current !== data) plot.current.setData(data);
    drawn.current = data;
  });

  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}

/**
 * @param {number} width
 * @param {number} height
 * @param {{ current: Line[] }} lines
 * @param {{ zero?: boolean | undefined, whole?: boolean | undefined }} wants
 * @returns {Options}
 */
function options(width, height, lines, { zero, whole }) {
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--muted"), grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  /** @type {Series[]} */
  const series = lines.current.map((line, index) => {
    const stroke = colour(line.colour);
    return {
      label: line.label,
      stroke,
      width: line.width ?? 2,
      ...(line.dash ? { dash: line.dash } : {}),
      ...(line.fill ? { fill: `${stroke}1f` } : {}),
      ...(line.steps ? { paths: /** @type {any} */ (uPlot.paths.stepped)({ align: 1 }) } : {}),
      ...(line.bars ? { paths: /** @type {any} */ (uPlot.paths.bars)({ size: [0.9, 8] }), fill: stroke, points: { show: false } } : {}),
      ...(line.marks
        ? { paths: () => null, points: { show: true, size: line.marks, fill: stroke, stroke: line.marks < 6 ? stroke : colour("--surface"), width: line.marks < 6 ? 0 : 1.5, ...(line.form && line.form !== "dot" ? { paths: marksOf(line.form, line.marks) } : {}) } }
        : line.bars
          ? {}
          : { points: { show: false } }),
      spanGaps: !line.marks,
      value: (plot, value, _series, at) => shown(plot, value, at, lines.current[index]),
    };
  });
  return {
    width,
    height,
    padding: [12, 8, 0, 0],
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: {
      x: { time: true },
      y: {
        range: (_plot, low, high) => {
          if (low === null || high === null) return [0, 1];
          const bottom = zero ? Math.min(0, low) : low;
          const room = high - bottom || Math.abs(high) * 0.02 || 1;
          return [zero && bottom === 0 ? 0 : bottom - room * 0.08, high + room * 0.08];
        },
      },
    },
    axes: [
      { ...axis, space: 70, values: clockLabels },
      {
        ...axis,
        size: (_plot, values) => 14 + 7 * Math.max(2, ...(values ?? []).map((value) => value.length)),
        ...(whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] } : {}),
        values: (_plot, splits) => splits.map((split) => split.toLocaleString("en-US", { maximumFractionDigits: 8 })),
      },
    ],
    series: [{ label: "Time", value: (plot, at) => (at === null || plot.cursor.idx == null ? "latest" : new Date(at * 1000).toLocaleString("en-GB")) }, ...series],
  };
}

/**
 * Marks that are told apart without seeing their colour.
 * @param {Form} form
 * @param {number} size
 * @returns {any}
 */
function marksOf(form, size) {
  return (/** @type {Plot} */ plot, /** @type {number} */ series, /** @type {number} */ from, /** @type {number} */ to) => {
    const path = new Path2D();
    const reach = (size / 2) * devicePixelRatio * 1.15;
    const values = plot.data[series] ?? [];
    for (let at = from; at <= to; at++) {
      const value = values[at];
      const time = plot.data[0][at];
      if (value === null || value === undefined || time === undefined) continue;
      const x = plot.valToPos(time, "x", true);
      const y = plot.valToPos(value, "y", true);
      if (form === "box") path.rect(x - reach, y - reach, 2 * reach, 2 * reach);
      else {
        const tip = form === "up" ? -reach : reach;
        path.moveTo(x, y + tip);
        path.lineTo(x + reach, y - tip);
        path.lineTo(x - reach, y - tip);
        path.closePath();
      }
    }
    return { fill: path, stroke: path, clip: null, flags: 3 };
  };
}

/**
 * What the legend says of a line: where the pointer is, or the newest.
 * @param {Plot} plot
 * @param {number | null} value
 * @param {number | null | undefined} at
 * @param {Line | undefined} line
 */
function shown(plot, value, at, line) {
  if (!line) return "–";
  if (plot.cursor.idx === null || plot.cursor.idx === undefined || at === null || at === undefined) {
    const last = plot.data[0].length - 1;
    return last < 0 ? "–" : (line.rest ?? line.value(last));
  }
  return value === null ? "–" : line.value(at);
}

/**
 * @param {Plot} _plot
 * @param {number[]} splits
 * @param {number} _axis
 * @param {number} _space
 * @param {number} step
 */
function clockLabels(_plot, splits, _axis, _space, step) {
  let day = "";
  return splits.map((split) => {
    const date = new Date(split * 1000);
    const today = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    if (step >= 86400) return today;
    const time = date.toLocaleTimeString("en-GB", step < 60 ? {} : { hour: "2-digit", minute: "2-digit" });
    const text = day !== "" && day !== today ? today : time;
    day = today;
    return text;
  });
}
