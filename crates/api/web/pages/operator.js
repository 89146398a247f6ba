// For whoever runs the arena: whether all is well, and what can be done about it. The token is held in
// memory; each act asks first, says what it will do, and shows the line it left in the audit log.

/** @import { AuditEntry, Bot, Economy, Market, Page, PriceSample, Readiness } from "../types" */
/** @import { Column } from "../ui.js" */

import { Problem, all, ask, newKey, problemOf, withQuery } from "../api.js";
import { millis, now, span } from "../clock.js";
import { count, money, units } from "../numbers.js";
import { actAsOperator } from "../session.js";
import { changed, known, readEconomy, sourceOf } from "../state.js";
import {
  Ago,
  BotLink,
  Confirm,
  Empty,
  Field,
  Pill,
  Section,
  Table,
  Trouble,
  Waiting,
  html,
  useEffect,
  useKnown,
  useMemo,
  useRead,
  useRef,
  useSeconds,
  useSession,
  useState,
} from "../ui.js";
import { PRICE_SOURCE, auditWords } from "../words.js";
import { useNames } from "./markets.js";

export function Operator() {
  const { operator } = useSession();
  return html`<div class="title">
      <h1 tabindex="-1">Operator</h1>
      <span class="lead">Health and emergency pause. Everybody may see health; acts need the operator’s token.</span>
    </div>
    <${Health} />
    ${operator ? html`<${Desk} key=${operator.name} />` : html`<${Enter} />`}`;
}

// --- health ----------------------------------------------------------------------------------------

/** @typedef {{ name: string, tone: "good" | "warn" | "bad", word: string, why: any }} Sign */

function Health() {
  const { economy, tickAt, price } = useKnown();
  useSeconds();
  const read = useRead(async (signal) => {
    const began = performance.now();
    let ready;
    try {
      ready = /** @type {Readiness} */ (await ask("ready", { signal }));
    } catch (error) {
      const problem = problemOf(error);
      // 503 carries the same list; what says so is the text of the body, which is no problem.
      ready = problem.status === 503 ? await notReady(signal) : problem;
    }
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
  const signs = signsOf(read.value, read.problem, economy, tickAt, price);
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
      The API answers for itself. Of the other three this page sees only what they leave behind: their own answers are on ports of their own,
      which <code>./run_system.sh status</code> asks.
    </p>
  <//>`;
}

/** @param {AbortSignal} signal @returns {Promise<Readiness | Problem>} */
async function notReady(signal) {
  try {
    const response = await fetch(new URL("../../ready", import.meta.url), { cache: "no-store", signal });
    const told = await response.json();
    return Array.isArray(told.checks) ? told : new Problem("The API is not ready", "It does not say why.");
  } catch (error) {
    return problemOf(error);
  }
}

/**
 * @param {{ ready: Readiness | Problem, took: number, sample: PriceSample | null, hosted: number, acted: number | null } | null} read
 * @param {Problem | null} problem
 * @param {Economy | null} economy
 * @param {number | null} tickAt
 * @param {Economy["price"]} price
 * @returns {Sign[]}
 */
function signsOf(read, problem, economy, tickAt, price) {
  const age = (/** @type {number} */ at) => Math.max(0, (now() - at) / 1000);
  /** @type {Sign} */
  let api = { name: "api", tone: "warn", word: "asking", why: "…" };
  if (problem) api = { name: "api", tone: "bad", word: "no answer", why: problem.detail };
  else if (read && read.ready instanceof Problem) api = { name: "api", tone: "bad", word: "no answer", why: read.ready.detail };
  else if (read && !(read.ready instanceof Problem)) {
    const bad = read.ready.checks.filter(({ state }) => state !== "ok");
    api = {
      name: "api",
      tone: read.ready.status !== "ready" ? "bad" : bad.length > 0 ? "warn" : "good",
      word: read.ready.status === "ready" ? "ready" : "not ready",
      why: bad.length > 0 ? bad.map((check) => `${check.name}: ${check.detail ?? check.state}`).join("; ") : html`${read.ready.checks.map(({ name }) => name).join(", ")}: ok. It took ${Math.round(read.took)} ms to say so.`,
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
    why: sampleAge === null ? "There is no price at all." : `Its last price is ${span(sampleAge)} old${price ? `, ${PRICE_SOURCE[price.source]}` : ""}; wagers are refused beyond ${span(ttl)}.`,
  };
  const acted = read?.acted ?? null;
  const actedAge = acted === null ? null : age(acted);
  /** @type {Sign} */
  const runner = {
    name: "bot-runner",
    tone: read === null || read.hosted === 0 ? "warn" : actedAge !== null && actedAge < 900 ? "good" : "warn",
    word: read === null ? "asking" : read.hosted === 0 ? "no hosted bot lives" : actedAge === null ? "not seen to act" : actedAge < 900 ? "acting" : "quiet",
    why: actedAge === null ? "No hosted bot has acted yet, as far as can be seen." : `A hosted bot acted ${span(actedAge)} ago. A quiet one may just be waiting: personas choose their own pace.`,
  };
  return [api, ticker, oracle, runner];
}

// --- entering --------------------------------------------------------------------------------------

function Enter() {
  const [token, setToken] = useState("");
  const [name, setName] = useState("");
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(null);
    const who = { token: token.trim(), name: name.trim() || "admin" };
    try {
      await ask("audit?limit=1", { headers: { Authorization: `Bearer ${who.token}`, "X-Operator": who.name } });
      actAsOperator(who);
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  return html`<${Section} title="Enter" class="narrow">
    <form onSubmit=${submit}>
      <${Field}
        label="Operator’s token"
        type="password"
        required
        value=${token}
        set=${setToken}
        help="The ADMIN_TOKEN of this arena. It is kept in this tab’s memory: closing or reloading the tab forgets it."
      />
      <${Field} label="Your name" note="for the audit log" maxlength="64" pattern="[A-Za-z0-9_.@\\-]+" placeholder="admin" value=${name} set=${setName} help="Letters, digits and _ . @ -" />
      <${Trouble} problem=${problem} />
      <div class="buttons"><button class="primary" disabled=${busy}>${busy ? "Asking…" : "Enter"}</button></div>
    </form>
  <//>`;
}

// --- acts ------------------------------------------------------------------------------------------

/**
 * @typedef {{
 *   title: string,
 *   says: string[],
 *   yes: string,
 *   danger?: boolean,
 *   done: string,
 * }} Words what is asked for, and what it will do
 */

/** @typedef {Words & { method: "POST" | "DELETE", path: string, body: Record<string, string> }} Act with the request */

/**
 * @param {Words} words
 * @param {string} path
 * @param {string} reason none is sent where none is given
 * @param {Record<string, string>} [more] of the body
 * @returns {Act}
 */
function actOf(words, path, reason, more = {}) {
  const why = reason.trim();
  return { ...words, method: "POST", path, body: why ? { ...more, reason: why } : more };
}

/** @typedef {{ act: Act, state: "asked" | "busy" } | { act: Act, state: "failed", problem: Problem } | { act: Act, state: "done", line: AuditEntry | null }} Doing */

function Desk() {
  const { operator } = useSession();
  const { economy } = useKnown();
  const [doing, setDoing] = useState(/** @type {Doing | null} */ (null));
  const [turn, setTurn] = useState(0);
  const key = useRef({ act: /** @type {Act | null} */ (null), key: "" });
  const run = async (/** @type {Act} */ act) => {
    setDoing({ act, state: "busy" });
    // Sent again after a lost answer, it is done once.
    if (key.current.act !== act) key.current = { act, key: newKey() };
    try {
      const before = await newestLine();
      await ask(act.path, { method: act.method, body: act.body, as: "operator", headers: { "Idempotency-Key": key.current.key } });
      setDoing({ act, state: "done", line: await lineSince(before, operator?.name ?? "") });
      key.current = { act: null, key: "" };
    } catch (error) {
      setDoing({ act, state: "failed", problem: problemOf(error) });
    }
    readEconomy();
    setTurn((n) => n + 1);
    changed();
  };
  const propose = (/** @type {Act} */ act) => setDoing({ act, state: "asked" });
  return html`<${Outcome} doing=${doing} again=${() => doing && run(doing.act)} />
    <div class="columns thirds">
      <div><${ArenaActs} economy=${economy} propose=${propose} /></div>
      <div><${BotActs} turn=${turn} propose=${propose} /></div>
      <div><${MarketActs} turn=${turn} propose=${propose} /></div>
    </div>
    <${Audit} turn=${turn} />
    <p class="buttons">
      <button type="button" class="quiet" onClick=${() => actAsOperator(null)}>Forget the token</button>
      <span class="caption">Acting as <bdi>${operator?.name}</bdi>.</span>
    </p>
    ${doing?.state === "asked"
      ? html`<${Confirm} title=${doing.act.title} yes=${doing.act.yes} danger=${doing.act.danger} onYes=${() => run(doing.act)} onNo=${() => setDoing(null)}>
          ${doing.act.says.map((line) => html`<p dir="auto">${line}</p>`)}
          <p class="caption">It will stand in the audit log under ${operator?.name}${doing.act.body.reason ? html`, with the reason “<bdi>${doing.act.body.reason}</bdi>”` : ", without a reason"}.</p>
        <//>`
      : null}`;
}

/** The number of the newest line of the audit log. */
async function newestLine() {
  const page = /** @type {Page<AuditEntry>} */ (await ask("audit?limit=1", { as: "operator" }));
  return page.items[0]?.id ?? 0;
}

/**
 * The line that an act of ours left; null where it changed nothing and so left none.
 * @param {number} before
 * @param {string} name
 */
async function lineSince(before, name) {
  const page = /** @type {Page<AuditEntry>} */ (await ask("audit?limit=50", { as: "operator" }));
  return page.items.find((line) => line.id > before && line.actor === name) ?? null;
}

/** @param {{ doing: Doing | null, again: () => void }} props */
function Outcome({ doing, again }) {
  const names = useNames(doing?.state === "done" && doing.line?.bot_id ? [doing.line.bot_id] : []);
  return html`<div role="status" class="outcome">
    ${doing?.state === "busy" ? html`<p class="empty">${doing.act.title} …</p>` : null}
    ${doing?.state === "done"
      ? html`<div class="okay" data-act="done">
          <p><strong>${doing.act.done}</strong></p>
          ${doing.line
            ? html`<p class="caption" data-audit-line=${doing.line.id}>
                Audit line ${count(doing.line.id)}: <code>${doing.line.action}</code>, ${doing.line.actor} ${auditWords(doing.line, (id) => names.get(id) ?? `bot ${id}`)}
                (<${Ago} at=${doing.line.at} />)
              </p>`
            : html`<p class="caption">It was so already, and left no line in the audit log.</p>`}
        </div>`
      : null}
    ${doing?.state === "failed" ? html`<${Trouble} what=${`Not done: ${doing.act.title}`} problem=${doing.problem} again=${again} />` : null}
  </div>`;
}

/** @param {{ value: string, set: (value: string) => void, required?: boolean }} props */
function Reason({ value, set, required }) {
  const words = required ? { help: "Shown to whoever is refused, and in the audit log." } : { note: "optional" };
  return html`<${Field} label="Reason" maxlength="280" required=${required} value=${value} set=${set} ...${words} />`;
}

/** @type {Words} */
const PAUSE_ARENA = {
  title: "Pause the arena?",
  says: [
    "Registrations, wagers, bets and answers are refused, no tick begins, and nothing is settled or opened, until somebody lets it go on.",
    "Reading, live events and price samples go on, and so do operators’ acts.",
  ],
  yes: "Pause the arena",
  danger: true,
  done: "The arena is paused: nothing moves any more.",
};
/** @type {Words} */
const RESUME_ARENA = {
  title: "Let the arena go on?",
  says: ["Money moves again and the next tick begins. Ticks that did not begin meanwhile are not made up for; what fell due is settled by the samples of its time."],
  yes: "Let it go on",
  done: "The arena goes on.",
};

/** @param {{ economy: Economy | null, propose: (act: Act) => void }} props */
function ArenaActs({ economy, propose }) {
  const [reason, setReason] = useState("");
  if (!economy) return html`<${Section} title="The arena"><${Waiting} what="the economy" /><//>`;
  const { paused } = economy;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    propose(paused ? actOf(RESUME_ARENA, "arena/resume", reason) : actOf(PAUSE_ARENA, "arena/pause", reason));
    setReason("");
  };
  return html`<${Section} title="The arena" aside=${html`<${Pill} tone=${paused ? "bad" : "good"}>${paused ? "paused" : "running"}<//>`}>
    ${paused ? html`<p>Since <${Ago} at=${paused.since} />: <bdi>${paused.reason}</bdi></p>` : null}
    <form onSubmit=${submit}>
      <${Reason} value=${reason} set=${setReason} required=${!paused} />
      <div class="buttons"><button class=${paused ? "primary" : "danger"}>${paused ? "Let it go on…" : "Pause the arena…"}</button></div>
    </form>
  <//>`;
}

/** @param {{ turn: number, propose: (act: Act) => void }} props */
function BotActs({ turn, propose }) {
  const { economy } = useKnown();
  const [name, setName] = useState("");
  const [reason, setReason] = useState("");
  const [amount, setAmount] = useState("");
  const [looked, setLooked] = useState("");
  const bot = useRead((signal) => (looked ? /** @type {Promise<Bot>} */ (ask(`bots/${encodeURIComponent(looked)}`, { signal })) : Promise.resolve(null)), [looked, turn]);
  const look = (/** @type {Event} */ event) => {
    event.preventDefault();
    setLooked(name.trim());
    bot.again();
  };
  const it = bot.value;
  const why = reason.trim();
  const act = (/** @type {"pause" | "resume" | "retire" | "revive"} */ kind) => {
    if (!it) return;
    /** @type {Record<typeof kind, Words>} */
    const words = {
      pause: {
        title: `Pause ${it.handle}?`,
        says: ["Its wagers, bets and answers are refused, and it does not pay for time. It is still paid what its open positions win."],
        yes: "Pause it",
        danger: true,
        done: `${it.handle} is paused.`,
      },
      resume: {
        title: `Let ${it.handle} go on?`,
        says: ["It acts again, and pays for time from the next tick on."],
        yes: "Let it go on",
        done: `${it.handle} goes on.`,
      },
      retire: {
        title: `Retire ${it.handle} for good?`,
        says: [`Its balance of ${money(it.balance)} falls to the house and it never acts again. Nobody can undo this. Its ledger stays for all to read.`],
        yes: "Retire it for good",
        danger: true,
        done: `${it.handle} is retired.`,
      },
      revive: {
        title: `Bring ${it.handle} back?`,
        says: [`The house gives it ${kind === "revive" ? money(units(amount)) : ""}, and it acts again. Its chain goes on with an entry that names you.`],
        yes: "Bring it back",
        done: `${it.handle} is back.`,
      },
    };
    const path = `bots/${it.id}`;
    if (kind === "retire") propose({ ...actOf(words.retire, path, reason), method: "DELETE" });
    else propose(actOf(words[kind], `${path}/${kind}`, reason, kind === "revive" ? { amount: amount.trim() } : {}));
    setReason("");
  };
  const tone = it?.status === "ALIVE" ? "good" : "bad";
  return html`<${Section} title="A bot">
    <form onSubmit=${look} class="lookup">
      <${Field} label="Handle or number" required autocapitalize="none" spellcheck=${false} value=${name} set=${setName} />
      <button class="quiet">Look it up</button>
    </form>
    ${looked ? html`<${Trouble} problem=${bot.problem} />` : null}
    ${it
      ? html`<p class="found">
            <${BotLink} handle=${it.handle} /> <${Pill} tone=${tone}>${it.status.toLowerCase()}<//> ${it.paused ? html`<${Pill} tone="warn">paused<//>` : null}
            <span>balance ${money(it.balance)}</span>
          </p>
          ${it.paused ? html`<p class="caption">Held since <${Ago} at=${it.paused.since} />: <bdi>${it.paused.reason}</bdi></p>` : null}
          ${it.status === "RETIRED"
            ? html`<${Empty}>It is retired for good; there is nothing to do.<//>`
            : html`<${Reason} value=${reason} set=${setReason} />
                ${it.status === "DEAD"
                  ? html`<form onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), act("revive"))} class="lookup">
                      <${Field}
                        label="Credits to bring it back with"
                        required
                        inputmode="decimal"
                        pattern="(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?"
                        placeholder=${economy ? money(economy.parameters.genesis_grant).replaceAll(",", "") : ""}
                        value=${amount}
                        set=${setAmount}
                      />
                      <button class="primary" disabled=${why === ""}>Revive…</button>
                    </form>`
                  : null}
                <div class="buttons">
                  ${it.paused
                    ? html`<button type="button" class="primary" onClick=${() => act("resume")}>Let it go on…</button>`
                    : html`<button type="button" class="danger" disabled=${why === ""} onClick=${() => act("pause")}>Pause…</button>`}
                  <button type="button" class="danger" onClick=${() => act("retire")}>Retire…</button>
                  ${why === "" && (!it.paused || it.status === "DEAD") ? html`<small>${it.status === "DEAD" ? "Reviving and pausing need" : "Pausing needs"} a reason.</small>` : null}
                </div>`}`
      : html`<${Empty}>Pause, resume, revive or retire: look a bot up first.<//>`}
  <//>`;
}

/** @param {{ turn: number, propose: (act: Act) => void }} props */
function MarketActs({ turn, propose }) {
  const [id, setId] = useState("");
  const [reason, setReason] = useState("");
  const read = useRead(async (signal) => {
    const [open, locked] = await Promise.all(["OPEN", "LOCKED"].map((status) => all(`markets?status=${status}`, 200, signal)));
    return /** @type {Market[]} */ ([...(open?.items ?? []), ...(locked?.items ?? [])]);
  }, []);
  // By itself: the list may be an answer of a moment ago, before the act.
  const chosen = useRead(async (signal) => (id === "" ? null : /** @type {Market} */ (await ask(`markets/${encodeURIComponent(id)}`, { signal }))), [id]);
  useEffect(() => {
    if (turn === 0) return;
    read.again();
    chosen.again();
  }, [turn]);
  const market = chosen.value && ["OPEN", "LOCKED"].includes(chosen.value.status) ? chosen.value : null;
  const why = reason.trim();
  const act = (/** @type {"pause" | "resume" | "void"} */ kind) => {
    if (!market) return;
    const question = `“${market.description}”`;
    /** @type {Record<typeof kind, Words>} */
    const words = {
      pause: {
        title: "Pause this market?",
        says: [question, "Bets and answers are refused, and it is not paid. It is locked at its deadline, and its source is read in time."],
        yes: "Pause it",
        danger: true,
        done: "The market is paused.",
      },
      resume: {
        title: "Let this market go on?",
        says: [question, "It takes bets again as long as they are taken, and is settled by what was read."],
        yes: "Let it go on",
        done: "The market goes on.",
      },
      void: {
        title: "Call this market off?",
        says: [question, "It is void for good: living bettors get their stakes back, and no bounty is paid."],
        yes: "Call it off",
        danger: true,
        done: "The market is void, and stakes went back.",
      },
    };
    propose(actOf(words[kind], `markets/${market.id}/${kind}`, reason));
    setReason("");
  };
  return html`<${Section} title="A market">
    <${Trouble} problem=${read.problem} again=${read.again} />
    <${Trouble} problem=${chosen.problem} again=${chosen.again} />
    ${read.value?.length === 0 ? html`<${Empty}>No market is open or locked.<//>` : null}
    ${read.value && read.value.length > 0
      ? html`<label class="field"
            ><span>Open and locked markets</span>
            <select value=${id} onChange=${(/** @type {any} */ event) => setId(event.currentTarget.value)}>
              <option value="">Choose one</option>
              ${read.value.map((one) => html`<option value=${one.id}>${sourceOf(one.source).name}: ${one.description}</option>`)}
            </select>
          </label>
          ${market
            ? html`<p class="caption"><a href=${`#/markets/${market.id}`}>Its page</a>, pool ${money(market.pool)}, deadline <${Ago} at=${market.deadline} /></p>
                <${Reason} value=${reason} set=${setReason} />
                <div class="buttons">
                  ${market.paused
                    ? html`<button type="button" class="primary" onClick=${() => act("resume")}>Let it go on…</button>`
                    : html`<button type="button" class="danger" disabled=${why === ""} onClick=${() => act("pause")}>Pause…</button>`}
                  <button type="button" class="danger" disabled=${why === ""} onClick=${() => act("void")}>Void…</button>
                  ${why === "" ? html`<small>Both need a reason.</small>` : null}
                </div>`
            : null}`
      : null}
  <//>`;
}

// --- audit log -------------------------------------------------------------------------------------

const ACTIONS = [
  "PAUSE_ARENA",
  "RESUME_ARENA",
  "PAUSE_BOT",
  "RESUME_BOT",
  "PAUSE_MARKET",
  "RESUME_MARKET",
  "REVIVE",
  "RETIRE",
  "MARKET_OPEN",
  "MARKET_VOID",
  "REGISTER",
  "LOGIN",
  "LOGIN_REFUSED",
  "ROTATE_KEYS",
  "SYNC_KEY",
];

/** @param {{ turn: number }} props */
function Audit({ turn }) {
  const [action, setAction] = useState("");
  const [most, setMost] = useState(25);
  const read = useRead(
    async () => {
      const page = /** @type {Page<AuditEntry>} */ (await ask(withQuery("audit", { limit: most, action }), { as: "operator" }));
      return page;
    },
    [action, most],
  );
  useEffect(() => {
    if (turn > 0) read.again();
  }, [turn]);
  const rows = read.value?.items ?? [];
  const names = useNames(rows.flatMap((line) => (line.bot_id === null ? [] : [line.bot_id])));
  /** @type {Column<AuditEntry>[]} */
  const columns = useMemo(
    () => [
      { key: "id", name: "#", number: true, cell: (line) => count(line.id) },
      { key: "at", name: "When", cell: (line) => html`<${Ago} at=${line.at} />` },
      { key: "who", name: "Who", head: true, cell: (line) => html`<bdi>${line.actor}</bdi>` },
      { key: "action", name: "Action", cell: (line) => html`<code>${line.action}</code>` },
      { key: "what", name: "What", cell: (line) => html`<span class="story-cell" title=${JSON.stringify(line.detail)} dir="auto">${auditWords(line, (id) => names.get(id) ?? `bot ${id}`)}</span>` },
    ],
    [names.size, rows],
  );
  const filter = html`<label class="search"
    ><span class="sr">Only this action</span>
    <select
      value=${action}
      onChange=${(/** @type {any} */ event) => {
        setAction(event.currentTarget.value);
        setMost(25);
      }}
    >
      <option value="">All but what agents do</option>
      ${ACTIONS.map((name) => html`<option value=${name}>${name}</option>`)}
    </select>
  </label>`;
  return html`<${Section} title="Audit log" aside=${filter}>
    <${Trouble} problem=${read.problem} again=${read.again} />
    ${read.value && rows.length === 0 ? html`<${Empty}>Nothing of the kind has been done.<//>` : null}
    ${read.value === null && !read.problem ? html`<${Waiting} what="the audit log" />` : null}
    ${rows.length > 0 ? html`<${Table} cards caption="Audit log, newest first" columns=${columns} rows=${rows} id=${(/** @type {AuditEntry} */ line) => line.id} />` : null}
    ${read.value?.next_cursor && most < 200
      ? html`<div class="more">
          <button type="button" class="quiet" onClick=${() => setMost(Math.min(200, most + 75))}>Show more</button>
          <span>Older lines: <code>./scripts/audit</code></span>
        </div>`
      : null}
  <//>`;
}

