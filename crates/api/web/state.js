// The page's data. Events and answers change it as they come; views are notified at most four times a second, and not
// while live updates are paused.

/** @import { Badge, Economy, LiveEvent, Post, Standing, Tick } from "./types" */

import { all, ask, problemOf } from "./api.js";
import * as clock from "./clock.js";
import { listen } from "./live.js";
import { onChange } from "./session.js";

const REDRAW_MILLIS = 250;
const TICKS_MOST = 600;
const FEED_MOST = 300;
const KEPT_MOST = 1000;
const STANDINGS_MOST = 3000;

export const known = {
  /** @type {Badge} */
  badge: { state: "connecting", since: null, problem: null },
  held: false,
  /** @type {Economy | null} */
  economy: null,
  /** @type {string | null} */
  economyProblem: null,
  /** @type {Economy["price"]} */
  price: null,
  /** When the latest tick began, as well as is known. @type {number | null} */
  tickAt: null,
  /** Oldest first. @type {Tick[]} */
  ticks: [],
  /** Whether the server keeps ticks for us; null until it has said so. @type {boolean | null} */
  ticksKept: null,
  /** @type {Standing[] | null} */
  standings: null,
  /** @type {string | null} */
  standingsProblem: null,
  /** Newest first. @type {Post[] | null} */
  feed: null,
  /** @type {string | null} */
  feedProblem: null,
};

/**
 * What the arena says of a source of markets; before it has said so, its label.
 * @param {string} source
 */
export const sourceOf = (source) =>
  known.economy?.sources.find((one) => one.source === source) ?? { source, name: source, about: "" };

// --- telling ---------------------------------------------------------------------------------------

/** @type {Set<() => void>} */
const watchers = new Set();
/** @type {Set<(event: LiveEvent) => void>} */
const hearers = new Set();
/** @type {Set<() => void>} */
const badgeWatchers = new Set();
/** @type {ReturnType<typeof setTimeout> | null} */
let timer = null;
let told = 0;
/** What came while the page was held still, for those who follow events. @type {LiveEvent[]} */
let kept = [];

function tell() {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  told = performance.now();
  for (const watcher of watchers) watcher();
}

/** Says that something is different: soon everybody looks again. */
export function changed() {
  if (timer !== null || known.held) return;
  timer = setTimeout(tell, Math.max(0, REDRAW_MILLIS - (performance.now() - told)));
}

/** @param {() => void} watcher */
export const watch = (watcher) => clock.among(watchers, watcher);

/**
 * Only the badge, which is updated even while live updates are paused.
 * @param {() => void} watcher
 */
export const watchBadge = (watcher) => clock.among(badgeWatchers, watcher);

/**
 * Every event as it comes, for a page that follows something of its own.
 * @param {(event: LiveEvent) => void} hearer
 */
export const hear = (hearer) => clock.among(hearers, hearer);

/**
 * Pauses live updates: events are collected, and the page does not change.
 * @param {boolean} wanted
 */
export function hold(wanted) {
  known.held = wanted;
  clock.hold(wanted);
  const came = kept;
  kept = [];
  if (!wanted) for (const event of came) for (const hearer of hearers) hearer(event);
  tell();
}

// --- reading ---------------------------------------------------------------------------------------

/**
 * A reading that runs at most once in so long however often it is asked for, and never twice at once.
 * @param {() => Promise<void>} read
 * @param {() => number} millis
 */
export function paced(read, millis) {
  let last = -Infinity;
  let running = false;
  let wanted = false;
  /** @type {ReturnType<typeof setTimeout> | null} */
  let later = null;
  const run = async () => {
    later = null;
    running = true;
    wanted = false;
    try {
      await read();
    } finally {
      running = false;
      last = performance.now();
      if (wanted) ask();
    }
  };
  const ask = () => {
    if (running) {
      wanted = true;
      return;
    }
    if (later === null) later = setTimeout(() => void run(), Math.max(0, last + millis() - performance.now()));
  };
  return ask;
}

/**
 * Reads, keeps under that name why it failed if it did, and says that something is different.
 * @param {"economyProblem" | "standingsProblem" | "feedProblem"} problem
 * @param {() => Promise<void>} read
 */
const reading = (problem, read) => async () => {
  try {
    await read();
    known[problem] = null;
  } catch (error) {
    known[problem] = problemOf(error).detail;
  }
  changed();
};

export const readEconomy = paced(
  reading("economyProblem", async () => {
    /** @type {Economy} */
    const economy = await ask("economy");
    const newer = known.economy !== null && known.economy.tick > economy.tick;
    known.economy = newer ? { ...economy, tick: known.economy?.tick ?? economy.tick } : economy;
    if (!economy.price || !known.price || economy.price.at >= known.price.at) known.price = economy.price;
  }),
  () => 1500,
);

/** How many parts of the page show the standings just now. */
let standingsWanted = 0;
let standingsDue = true;

const readStandingsPaced = paced(
  reading("standingsProblem", async () => {
    standingsDue = false;
    const read = await all("standings", STANDINGS_MOST).catch((error) => {
      standingsDue = true;
      throw error;
    });
    known.standings = /** @type {Standing[]} */ (read.items);
  }),
  () => ((known.standings?.length ?? 0) > 200 ? 12000 : 4000),
);

function readStandings() {
  if (standingsWanted === 0 || document.hidden) standingsDue = true;
  else readStandingsPaced();
}

/** Has the standings read from now on, until the answer is called. */
export function followStandings() {
  standingsWanted++;
  if (standingsDue) readStandings();
  return () => {
    standingsWanted--;
  };
}

const readFeed = paced(
  reading("feedProblem", async () => {
    const page = await ask("posts/feed?limit=100");
    known.feed = mergePosts(known.feed ?? [], page.items);
  }),
  () => 1000,
);

const readTicks = paced(
  async () => {
    try {
      const read = await all("ticks", TICKS_MOST);
      const found = /** @type {Tick[]} */ (read.items).reverse();
      // One that is not closed has not reached all bots yet.
      const ticks = found.filter((tick) => tick.closed_at !== null);
      const last = ticks.at(-1)?.number ?? 0;
      known.ticks = [...ticks, ...known.ticks.filter((tick) => tick.number > last)].slice(-TICKS_MOST);
      known.ticksKept = true;
      const begun = found.at(-1)?.started_at;
      if (begun) known.tickAt = Math.max(known.tickAt ?? 0, clock.millis(begun));
    } catch (error) {
      if (problemOf(error).status === 404) known.ticksKept = false;
    }
    changed();
  },
  () => 5000,
);

/** @param {Post} post */
const keyOf = (post) => `${post.bot_id} ${post.created_at} ${post.kind} ${post.reference}`;

/**
 * @param {Post[]} have newest first
 * @param {Post[]} came newest first
 */
function mergePosts(have, came) {
  const keys = new Set(came.map(keyOf));
  const merged = [...came, ...have.filter((post) => !keys.has(keyOf(post)))];
  merged.sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0));
  return merged.slice(0, FEED_MOST);
}

// --- events ----------------------------------------------------------------------------------------

/** Posts since the last redraw, oldest first: they are put in front in one go. @type {Post[]} */
let fresh = [];

function takeFresh() {
  if (fresh.length === 0) return;
  known.feed = mergePosts(known.feed ?? [], fresh.reverse());
  fresh = [];
}
watchers.add(takeFresh);

/** @param {LiveEvent} event */
function heard(event) {
  const { kind, data } = event;
  if (kind === "post") {
    fresh.push(data);
    if (fresh.length > FEED_MOST) fresh = fresh.slice(-FEED_MOST);
  } else if (kind === "tick") {
    const at = clock.millis(event.at);
    known.tickAt = at;
    if (known.economy) known.economy = { ...known.economy, tick: Math.max(data.tick, known.economy.tick) };
    const seen = known.ticks.at(-1)?.number ?? 0;
    if (data.tick > seen) {
      const tick = { ...data, number: data.tick, started_at: event.at, closed_at: event.at };
      known.ticks = [...known.ticks, tick].slice(-TICKS_MOST);
    }
    readEconomy();
    readStandings();
  } else if (kind === "price") {
    known.price = { value: data.price, source: data.source, at: data.provider_at, age_seconds: 0 };
  } else if (kind === "entry" || kind === "bot") {
    readEconomy();
    readStandings();
  }
  if (known.held) {
    kept.push(event);
    if (kept.length > 2 * KEPT_MOST) kept = kept.slice(-KEPT_MOST);
  } else for (const hearer of hearers) hearer(event);
  changed();
}

function readAll() {
  readEconomy();
  readFeed();
  readTicks();
  readStandings();
}

export function begin() {
  const stream = listen({
    event: heard,
    opened: (gap) => {
      if (!gap) return;
      readAll();
      // The API's answers may be half a second older than the stream's beginning.
      setTimeout(readAll, 1200);
    },
    badge: (badge) => {
      known.badge = badge;
      for (const watcher of badgeWatchers) watcher();
      changed();
    },
  });
  readAll();
  const again = () => stream.retry();
  onChange(again);
  addEventListener("online", again);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    again();
    if (standingsDue) readStandings();
  });
  // Without the stream, figures are still requested at intervals; a pause of the arena and the loss of its price are
  // not events.
  setInterval(() => {
    if (document.hidden) return;
    if (known.badge.state === "live") readEconomy();
    else readAll();
  }, 10000);
}
