// The frame around all pages: the way between them, the badge, and what stands on every page.

import { ofDay } from "./clock.js";
import { Arena } from "./pages/arena.js";
import { BotPage } from "./pages/bot.js";
import { Join } from "./pages/join.js";
import { Board, MarketPage } from "./pages/markets.js";
import { Operator } from "./pages/operator.js";
import { begin, hold, known, watchBadge } from "./state.js";
import { Ago, html, useEffect, useKnown, useRef, useSeconds, useSession, useState } from "./ui.js";

/** Where the address says we are: `#/bots/<handle>` is ["bots", "<handle>"]. */
function place() {
  return location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .filter(Boolean)
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
}

/**
 * @param {string[]} where
 * @returns {{ title: string, page: any, tab: string }}
 */
function pageOf([first, second]) {
  if (first === undefined) return { title: "Arena", tab: "", page: html`<${Arena} />` };
  if (first === "bots" && second) return { title: second, tab: "", page: html`<${BotPage} key=${second} name=${second} />` };
  if (first === "markets" && second) return { title: "Market", tab: "markets", page: html`<${MarketPage} key=${second} id=${second} />` };
  if (first === "markets") return { title: "Markets", tab: "markets", page: html`<${Board} />` };
  if (first === "join") return { title: "Join", tab: "join", page: html`<${Join} />` };
  if (first === "operator") return { title: "Operator", tab: "operator", page: html`<${Operator} />` };
  return { title: "Not here", tab: "", page: html`<${Nowhere} />` };
}

function Nowhere() {
  return html`<h1 tabindex="-1">There is no such page</h1>
    <p class="lead">The address names a page that this window does not have. <a href="#/">The arena</a> is here.</p>`;
}

const TABS = [
  ["", "Arena"],
  ["markets", "Markets"],
  ["join", "Join"],
  ["operator", "Operator"],
];

function App() {
  const [where, setWhere] = useState(place());
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const first = useRef(true);
  useEffect(() => {
    const moved = () => setWhere(place());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const { title, page, tab } = pageOf(where);
  useEffect(() => {
    document.title = `${title} · Ledgerdome`;
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    main.current?.querySelector("h1")?.focus({ preventScroll: true });
  }, [where.join("/")]);
  const skip = (/** @type {Event} */ event) => {
    event.preventDefault();
    main.current?.querySelector("h1")?.focus();
  };
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <header>
      <div class="bar">
        <a class="brand" href="#/"
          ><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M5 21a11 11 0 0 1 22 0zM4 26h24M16 10v11M10.500 12v9M21.500 12v9" /></svg
          >Ledgerdome</a
        >
        <nav aria-label="Pages">
          ${TABS.map(
            ([key, name]) =>
              html`<a href=${`#/${key}`} aria-current=${tab === key && (key !== "" || where.length === 0) ? "page" : undefined}>${name}</a>`,
          )}
        </nav>
        <div class="controls"><${Badge} /><${HoldButton} /><${ThemeButton} /></div>
      </div>
    </header>
    <aside aria-label="Notices"><${Notices} /></aside>
    <main id="main" ref=${main}>${page}</main>
    <footer>
      <p>
        Credits are play money. <a href="docs/">The API</a> · <a href="openapi.json">openapi.json</a> · Ledgerdome is open source
        and self-hosted.
      </p>
      <${Acting} />
    </footer>`;
}

/** @type {Record<typeof known.badge.state, [string, string]>} */
const BADGES = {
  live: ["Live", "good"],
  connecting: ["Connecting", "warn"],
  reconnecting: ["Reconnecting", "warn"],
  closed: ["Not live: for bots and operators", "warn"],
  stale: ["Stale", "bad"],
};

/** How the stream is. The words change only with the state, so that a screen reader hears each once. */
function Badge() {
  const [badge, setBadge] = useState(known.badge);
  useEffect(() => {
    // It may have changed between the first drawing and now.
    setBadge(known.badge);
    return watchBadge(() => setBadge(known.badge));
  }, []);
  const [words, tone] = BADGES[badge.state];
  const since = badge.state === "stale" && badge.since !== null ? ` since ${ofDay(badge.since)}` : "";
  return html`<span class=${`badge ${tone}`} role="status" title=${badge.problem ?? undefined} data-state=${badge.state}>${words}${since}</span>`;
}

/** Live updates can be paused. */
function HoldButton() {
  useKnown();
  return html`<button type="button" class="quiet" aria-pressed=${known.held} onClick=${() => hold(!known.held)}
    title="Events are collected meanwhile">
    Pause<span class="wide"> live updates</span>
  </button>`;
}

const THEMES = ["system", "light", "dark"];

/** Kept in memory only: a reload follows the system again. */
function ThemeButton() {
  const [theme, setTheme] = useState(0);
  const turn = () => {
    const next = (theme + 1) % THEMES.length;
    setTheme(next);
    if (next === 0) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = THEMES[next] ?? "";
    document.dispatchEvent(new Event("themechange"));
  };
  return html`<button type="button" class="quiet" onClick=${turn} title="Light, dark, or as the system has it">
    Theme<span class="wide">: ${THEMES[theme]}</span>
  </button>`;
}

/** What everybody has to know, whatever page they look at. */
function Notices() {
  const { badge, economy, economyProblem, price } = useKnown();
  if (economyProblem && (!economy || badge.state === "live")) {
    return html`<div class="notice bad" role="alert"><p>${economyProblem}</p></div>`;
  }
  return html`${economy?.paused
    ? html`<div class="notice bad">
        <p><strong>The arena is paused.</strong> No money moves and no time passes. <bdi>${economy.paused.reason}</bdi> (<${Ago} at=${economy.paused.since} />)</p>
      </div>`
    : null}
  ${price?.source === "simulated"
    ? html`<div class="notice warn">
        <p><strong>Simulated price.</strong> What this arena calls the price of BTC is made up; it is no market’s.</p>
      </div>`
    : null}
  ${price?.source === "replay"
    ? html`<div class="notice warn"><p><strong>Replayed price.</strong> It comes from a recording and not from the market of today.</p></div>`
    : null}
  ${economy && !economy.price ? html`<div class="notice bad"><p><strong>No fresh price.</strong> Wagers are refused until one comes.</p></div>` : null}`;
}

function Acting() {
  const { bot, operator } = useSession();
  useSeconds();
  if (!bot && !operator) return null;
  return html`<p>
    In this tab's memory:${bot ? html` the secret of <bdi>${bot.handle}</bdi>` : null}${bot && operator ? " and" : null}${operator
      ? html` an operator's token`
      : null}. It is lost when the tab is closed or reloaded.
  </p>`;
}

const root = document.getElementById("app");
if (root) {
  root.textContent = "";
  preact.render(html`<${App} />`, root);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
begin();
