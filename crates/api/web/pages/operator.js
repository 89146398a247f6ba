// The operator's page: health, and acts. The token is held in memory; each act describes its effect, asks for a
// confirmation, and shows its line in the audit log.

/** @import { AuditEntry, Page } from "../types" */
/** @import { Problem } from "../api.js" */
/** @import { Column } from "../ui.js" */
/** @import { Act } from "./operator-acts.js" */

import { ask, newKey, problemOf, withQuery } from "../api.js";
import { count } from "../numbers.js";
import { actAsOperator } from "../session.js";
import { changed, readEconomy } from "../state.js";
import {
  Ago,
  Confirm,
  Empty,
  Field,
  More,
  Reading,
  Section,
  Table,
  Trouble,
  html,
  useKnown,
  useMemo,
  useRead,
  useRef,
  useSending,
  useSession,
  useState,
} from "../ui.js";
import { ACTIONS, auditWords } from "../words.js";
import { useNames } from "./markets.js";
import { ArenaActs, BotActs, MarketActs } from "./operator-acts.js";
import { Health } from "./operator-health.js";

export function Operator() {
  const { operator } = useSession();
  return html`<div class="title">
      <h1 tabindex="-1">Operator</h1>
      <span class="lead">Health and emergency pause. Everybody may see health; acts need the operator’s token.</span>
    </div>
    <${Health} />
    ${operator ? html`<${Desk} key=${operator.name} />` : html`<${Enter} />`}`;
}

function Enter() {
  const [token, setToken] = useState("");
  const [name, setName] = useState("");
  const { busy, problem, send } = useSending(async () => {
    const who = { token: token.trim(), name: name.trim() || "admin" };
    await ask("audit?limit=1", { headers: { Authorization: `Bearer ${who.token}`, "X-Operator": who.name } });
    actAsOperator(who);
  });
  return html`<${Section} title="Enter" class="narrow">
    <form onSubmit=${send}>
      <${Field}
        label="Operator’s token"
        type="password"
        required
        value=${token}
        set=${setToken}
        help="The ADMIN_TOKEN of this arena. It is kept only in this tab’s memory, until the tab is closed or reloaded."
      />
      <${Field} label="Your name" note="for the audit log" maxlength="64" pattern="[A-Za-z0-9_.@\\-]+" placeholder="admin" value=${name} set=${setName} help="Letters, digits and _ . @ -" />
      <${Trouble} problem=${problem} />
      <div class="buttons"><button class="primary" disabled=${busy}>${busy ? "Asking…" : "Enter"}</button></div>
    </form>
  <//>`;
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
                Audit line ${count(doing.line.id)}: <code>${doing.line.action}</code>, ${doing.line.actor} ${auditWords(doing.line, names)}
                (<${Ago} at=${doing.line.at} />)
              </p>`
            : html`<p class="caption">It was so already, and left no line in the audit log.</p>`}
        </div>`
      : null}
    ${doing?.state === "failed" ? html`<${Trouble} what=${`Not done: ${doing.act.title}`} problem=${doing.problem} again=${again} />` : null}
  </div>`;
}

/** @param {{ turn: number }} props */
function Audit({ turn }) {
  const [action, setAction] = useState("");
  const [most, setMost] = useState(25);
  const read = useRead(
    () => /** @type {Promise<Page<AuditEntry>>} */ (ask(withQuery("audit", { limit: most, action }), { as: "operator" })),
    [action, most],
    turn,
  );
  const rows = read.value?.items ?? [];
  const names = useNames(rows.flatMap((line) => (line.bot_id === null ? [] : [line.bot_id])));
  /** @type {Column<AuditEntry>[]} */
  const columns = useMemo(
    () => [
      { key: "id", name: "#", number: true, cell: (line) => count(line.id) },
      { key: "at", name: "When", cell: (line) => html`<${Ago} at=${line.at} />` },
      { key: "who", name: "Who", head: true, cell: (line) => html`<bdi>${line.actor}</bdi>` },
      { key: "action", name: "Action", cell: (line) => html`<code>${line.action}</code>` },
      { key: "what", name: "What", cell: (line) => html`<span class="story-cell" title=${JSON.stringify(line.detail)} dir="auto">${auditWords(line, names)}</span>` },
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
      <option value="">All except agents’ own actions</option>
      ${ACTIONS.map((name) => html`<option value=${name}>${name}</option>`)}
    </select>
  </label>`;
  return html`<${Section} title="Audit log" aside=${filter}>
    <${Trouble} problem=${read.problem} again=${read.again} />
    ${read.value && rows.length === 0 ? html`<${Empty}>Nothing of the kind has been done.<//>` : null}
    ${read.value === null && !read.problem ? html`<${Reading} what="the audit log" />` : null}
    ${rows.length > 0 ? html`<${Table} cards caption="Audit log, newest first" columns=${columns} rows=${rows} id=${(/** @type {AuditEntry} */ line) => line.id} />` : null}
    ${read.value?.next_cursor && most < 200
      ? html`<${More} more=${() => setMost(Math.min(200, most + 75))} hint=${html`<span>Older lines: <code>./scripts/audit</code></span>`} />`
      : null}
  <//>`;
}
