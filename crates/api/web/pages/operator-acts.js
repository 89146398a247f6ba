// The operator's acts, each with its texts.

/** @import { Bot, Economy, Market } from "../types" */

import { all, ask } from "../api.js";
import { money, units } from "../numbers.js";
import { sourceOf } from "../state.js";
import { Ago, BotLink, Empty, Field, Pill, Reading, Section, Trouble, html, useKnown, useRead, useState } from "../ui.js";

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

/** @param {{ value: string, set: (value: string) => void, required?: boolean }} props */
function Reason({ value, set, required }) {
  const words = required ? { help: "Shown to refused callers, and in the audit log." } : { note: "optional" };
  return html`<${Field} label="Reason" maxlength="280" required=${required} value=${value} set=${set} ...${words} />`;
}

/** @type {Words} */
const PAUSE_ARENA = {
  title: "Pause the arena?",
  says: [
    "Registrations, wagers, bets and answers are refused, no tick begins, and nothing is settled or opened, until an operator resumes it.",
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
export function ArenaActs({ economy, propose }) {
  const [reason, setReason] = useState("");
  if (!economy) return html`<${Section} title="The arena"><${Reading} what="the economy" /><//>`;
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
export function BotActs({ turn, propose }) {
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
            ? html`<${Empty}>It is retired; there is nothing to do.<//>`
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
export function MarketActs({ turn, propose }) {
  const [id, setId] = useState("");
  const [reason, setReason] = useState("");
  const read = useRead(
    async (signal) => {
      const lists = await Promise.all(["OPEN", "LOCKED"].map((status) => all(`markets?status=${status}`, 200, signal)));
      return /** @type {Market[]} */ (lists.flatMap(({ items }) => items));
    },
    [],
    turn,
  );
  // Read separately: the list may be an answer from before the act.
  const chosen = useRead(async (signal) => (id === "" ? null : /** @type {Market} */ (await ask(`markets/${encodeURIComponent(id)}`, { signal }))), [id], turn);
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
        says: [question, "This cannot be undone: living bettors get their stakes back, and no bounty is paid."],
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
