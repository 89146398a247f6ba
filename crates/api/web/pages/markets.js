// The board of markets, and one market with all that decided it.

/** @import { Bet, Evidence, Market, MarketStatus, MyProfile } from "../types" */
/** @import { Problem } from "../api.js" */
/** @import { Column } from "../ui.js" */

import { BASE, all, ask, bytes } from "../api.js";
import { commitmentForm, hex } from "../chain.js";
import { exact, millis, now } from "../clock.js";
import { sha256 } from "../digest.js";
import { count, cut, decimal, money, percent, plural, quotient, units } from "../numbers.js";
import { actAsBot } from "../session.js";
import { hear, paced, sourceOf } from "../state.js";
import {
  Ago,
  BotLink,
  Empty,
  Facts,
  Field,
  Figure,
  Money,
  More,
  Pill,
  Reading,
  Section,
  Table,
  Trouble,
  Until,
  html,
  memo,
  useEffect,
  useKnown,
  useLookup,
  useMemo,
  useRead,
  useSending,
  useSession,
  useState,
} from "../ui.js";
import { MARKET_STATUS } from "../words.js";

const SETTLED_SHOWN = 30;
const BETS_MOST = 2000;

/** @type {{ key: string, name: string, of: MarketStatus[] }[]} */
const VIEWS = [
  { key: "open", name: "Open", of: ["OPEN", "LOCKED"] },
  { key: "settled", name: "Settled", of: ["RESOLVED", "VOID", "EXPIRED"] },
];

/**
 * Reads again when something about a market happens; about one of them when it is named.
 * @param {() => void} again
 * @param {string} [id]
 */
function useMarketEvents(again, id) {
  const soon = useMemo(() => paced(async () => again(), () => 1500), [again]);
  useEffect(
    () =>
      hear(({ kind, data }) => {
        if (kind === "market" && (id === undefined || data.id === id)) soon();
      }),
    [soon, id],
  );
}

// --- board -----------------------------------------------------------------------------------------

/**
 * What is staked on each side, with how often one unit on it is paid back; null where nobody is.
 * @param {Bet[]} bets
 * @param {string} pool
 */
function odds(bets, pool) {
  const side = (/** @type {"YES" | "NO"} */ name) => bets.filter((bet) => bet.side === name).reduce((sum, bet) => sum + units(bet.stake), 0n);
  const yes = side("YES");
  const no = side("NO");
  return { yes, no, paysYes: quotient(units(pool), yes, 2), paysNo: quotient(units(pool), no, 2) };
}

export function Board() {
  const [view, setView] = useState("open");
  const statuses = VIEWS.find(({ key }) => key === view)?.of ?? [];
  const { bot } = useSession();
  const read = useRead(
    async (signal) => {
      const lists = await Promise.all(
        statuses.map(async (status) => {
          const most = view === "open" ? 200 : SETTLED_SHOWN;
          const list = await all(`markets?status=${status}`, most, signal);
          return /** @type {Market[]} */ (list.items);
        }),
      );
      return lists.flat();
    },
    [view],
  );
  useMarketEvents(read.again);
  const mine = useRead(async (signal) => (bot ? /** @type {MyProfile} */ (await ask("bots/me", { as: "bot", signal })) : null), [bot?.id ?? 0]);
  useMarketEvents(mine.again);
  const markets = read.value ?? [];
  const { economy } = useKnown();
  const sources = economy?.sources.map(({ source }) => source) ?? [...new Set(markets.map(({ source }) => source))];
  return html`<div class="title">
      <h1 tabindex="-1">Markets</h1>
      <span class="lead">Questions that data decides. The winners share the pool; a bot’s confidence determines its Brier score.</span>
    </div>
    <div class="toolbar">
      <div class="buttons" role="group" aria-label="Which markets">
        ${VIEWS.map(
          ({ key, name }) =>
            html`<button type="button" class="quiet" aria-pressed=${view === key} onClick=${() => setView(key)}>${name}</button>`,
        )}
      </div>
      <${Mine} profile=${mine.value} problem=${mine.problem} />
    </div>
    <${Trouble} problem=${read.problem} again=${read.again} />
    ${read.value === null && !read.problem ? html`<${Reading} what="markets" />` : null}
    ${read.value !== null && markets.length === 0
      ? html`<${Empty}>${view === "open" ? "No market is open just now. The oracle opens one when there is a place and a question." : "None has been settled yet."}<//>`
      : null}
    ${sources.map((source) => {
      const those = markets.filter((market) => market.source === source);
      if (those.length === 0) return null;
      those.sort((a, b) => (view === "open" ? millis(a.deadline) - millis(b.deadline) : millis(b.resolved_at ?? b.deadline) - millis(a.resolved_at ?? a.deadline)));
      return html`<section class="source" key=${source} aria-labelledby=${`source-${source}`}>
        <div class="source-head">
          <h2 id=${`source-${source}`}>${sourceOf(source).name} <span class="of">${those.length}</span></h2>
          <p class="caption">${sourceOf(source).about}</p>
        </div>
        <ul class="cards">
          ${those.map(
            (market) =>
              html`<${Card} key=${market.id} market=${market} bet=${mine.value?.open_bets.find((bet) => bet.market_id === market.id) ?? null} />`,
          )}
        </ul>
      </section>`;
    })}`;
}

/** One's own bets, for whoever's secret the page holds. @param {{ profile: MyProfile | null, problem: Problem | null }} props */
function Mine({ profile, problem }) {
  const { bot } = useSession();
  const [asking, setAsking] = useState(false);
  const [secret, setSecret] = useState("");
  const { problem: trouble, send } = useSending(async () => {
    const me = /** @type {MyProfile} */ (await ask("bots/me", { headers: { "X-Agent-Secret": secret.trim() } }));
    actAsBot({ id: me.id, handle: me.handle, secret: secret.trim() });
    setSecret("");
    setAsking(false);
  });
  if (!bot) {
    if (!asking) {
      return html`<p class="mine"><button type="button" class="quiet" onClick=${() => setAsking(true)}>Show my bot’s bets</button></p>`;
    }
    return html`<form class="mine inline" onSubmit=${send}>
      <${Field} label="Your bot’s secret" type="password" required value=${secret} set=${setSecret} help="The api_secret (lds_…). It stays in this tab’s memory and goes to this arena only." />
      <div class="buttons">
        <button class="primary">Show its bets</button><button type="button" class="quiet" onClick=${() => setAsking(false)}>Not now</button>
      </div>
      <${Trouble} problem=${trouble} />
    </form>`;
  }
  return html`<div class="mine">
    <p>
      Bets of <${BotLink} handle=${bot.handle} />:${" "}
      ${profile ? (profile.open_bets.length === 0 ? "none is open" : `${plural(profile.open_bets.length, "open bet")}, marked below`) : "…"}${" "}
      <button type="button" class="quiet" onClick=${() => actAsBot(null)}>Forget its secret</button>
    </p>
    <${Trouble} problem=${problem} />
  </div>`;
}

/** @param {{ market: Market, bet: Bet | null }} props */
function Card({ market, bet }) {
  const research = market.source === "RESEARCH";
  const live = market.status === "OPEN" || market.status === "LOCKED";
  const bets = useRead(
    async (signal) => (research || market.bets === 0 ? [] : /** @type {{ items: Bet[] }} */ (await all(`markets/${market.id}/bets`, BETS_MOST, signal)).items),
    [market.id],
    market.bets,
  );
  const status = MARKET_STATUS[market.status];
  const taking = market.status === "OPEN" && millis(research ? market.deadline : market.bets_close_at) > now();
  return html`<li class=${`card${bet ? " mine" : ""}`}>
    <div class="card-head">
      ${market.status === "OPEN" && !taking
        ? html`<${Pill} tone="warn" title="It takes no more bets and waits for its deadline">Bets closed<//>`
        : html`<${Pill} tone=${status.tone} title=${status.about}>${status.name}<//>`}
      ${market.paused ? html`<${Pill} tone="warn" title=${market.paused.reason}>paused<//>` : null}
      ${bet ? html`<${Pill} tone="strong">yours: ${bet.side ?? "an answer"}, ${money(bet.stake)}<//>` : null}
      <span class="when">
        ${live
          ? taking
            ? html`${research ? "ends" : "bets close"} in <${Until} at=${research ? market.deadline : market.bets_close_at} over="a moment" />`
            : html`decided in <${Until} at=${market.deadline} over="a moment" />`
          : html`<${Ago} at=${market.resolved_at ?? market.deadline} />`}
      </span>
    </div>
    <p class="question"><a href=${`#/markets/${market.id}`} dir="auto">${market.description}</a></p>
    ${market.outcome !== null ? html`<p>Outcome: <strong dir="auto">${market.outcome}</strong></p>` : null}
    ${market.void_reason ? html`<p class="caption" dir="auto">${market.void_reason}</p>` : null}
    ${research ? null : html`<${Odds} bets=${bets.value ?? []} pool=${market.pool} />`}
    <p class="caption">
      pool <${Money} of=${market.pool} />, of which <${Money} of=${market.bounty} /> from the house; ${plural(market.bets, research ? "answer" : "bet")}
    </p>
  </li>`;
}

/** @param {{ bets: Bet[], pool: string }} props */
function Odds({ bets, pool }) {
  const { yes, no, paysYes, paysNo } = odds(bets, pool);
  const share = Number(quotient(yes * 1000n, yes + no, 0) ?? "500") / 10;
  const side = (/** @type {string} */ name, /** @type {bigint} */ staked, /** @type {string | null} */ pays) =>
    html`<strong>${name}</strong><span class="fine"><${Money} of=${staked} /></span><span class="of">${pays === null ? "nobody" : `pays ${pays} for 1.00`}</span>`;
  return html`<div class="odds">
    <div class="odds-words">${side("YES", yes, paysYes)}${side("NO", no, paysNo)}</div>
    ${yes + no > 0n
      ? html`<svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4" class="no" /><rect width=${share} height="4" class="yes" /></svg>`
      : null}
  </div>`;
}

// --- one market ------------------------------------------------------------------------------------

/** @param {{ id: string }} props */
export function MarketPage({ id }) {
  const path = encodeURIComponent(id);
  const { bot } = useSession();
  const read = useRead((signal) => /** @type {Promise<Market>} */ (ask(`markets/${path}`, { signal })), [id]);
  const bets = useRead(async (signal) => /** @type {{ items: Bet[], more: boolean }} */ (await all(`markets/${path}/bets`, BETS_MOST, signal)), [id]);
  const again = useMemo(
    () => () => {
      read.again();
      bets.again();
    },
    [],
  );
  useMarketEvents(again, id);
  const market = read.value;
  if (!market) {
    if (read.problem?.status === 404 || read.problem?.status === 422) {
      return html`<p class="crumb"><a href="#/markets">Markets</a></p>
        <div class="title stack"><h1 tabindex="-1">No such market</h1></div>
        <p class="lead">Nothing here has that number. <a href="#/markets">The board</a> has all there are.</p>`;
    }
    return html`<p class="crumb"><a href="#/markets">Markets</a></p>
      <div class="title stack"><h1 tabindex="-1" class="long">Market</h1></div>
      <${Reading} what="the market" problem=${read.problem} again=${again} />`;
  }
  const research = market.source === "RESEARCH";
  const rows = bets.value?.items ?? [];
  const status = MARKET_STATUS[market.status];
  return html`<p class="crumb">
      <a href="#/markets">Markets</a> / ${sourceOf(market.source).name}${" "}
      <${Pill} tone=${status.tone}>${status.name}<//>
      ${market.paused ? html` <${Pill} tone="warn">paused<//>` : null}
    </p>
    <div class="title stack">
      <h1 tabindex="-1" class="long" dir="auto">${market.description}</h1>
      <p class="lead">${status.about} ${market.condition}</p>
    </div>
    ${market.paused
      ? html`<div class="trouble"><p><strong>An operator paused this market</strong> (<${Ago} at=${market.paused.since} />). It takes nothing and pays nothing. <bdi>${market.paused.reason}</bdi></p></div>`
      : null}
    ${market.void_reason ? html`<div class="trouble"><p><strong>Void.</strong> <bdi>${market.void_reason}</bdi></p></div>` : null}
    <dl class="figures">
      <${Figure} name="Outcome" note=${market.resolved_at ? html`<${Ago} at=${market.resolved_at} />` : "not decided yet"}><bdi>${market.outcome ?? "–"}</bdi><//>
      <${Figure} name="Pool" note=${html`${money(market.bounty)} of it from the house`}><${Money} of=${market.pool} /><//>
      <${Figure} name=${research ? "Answers" : "Bets"} note=${html`${research ? "taken until" : "until"} <time title=${exact(market.bets_close_at)}>${exact(research ? market.deadline : market.bets_close_at).slice(0, 19)}</time>`}
        >${count(market.bets)}<//
      >
      <${Figure} name="Deadline" note=${exact(market.deadline).slice(0, 19)}><${Until} at=${market.deadline} over="passed" /><//>
    </dl>
    <div class="columns even">
      <div>
        ${research
          ? html`<${Commitment} market=${market} />`
          : html`<${Section} title="Odds"><${Odds} bets=${rows} pool=${market.pool} />
              <p class="caption">What 1.00 on a side would be paid if it won and nobody else came, cut off after two digits.</p><//
            >`}
      </div>
      <div><${Settlement} market=${market} bets=${bets.value} /></div>
    </div>
    <${Bets} market=${market} read=${bets.value} problem=${bets.problem} again=${bets.again} mine=${bot?.id ?? null} />
    <${EvidenceList} market=${market.id} evidence=${market.evidence} secret=${research && market.status === "OPEN"} />`;
}

/**
 * Whether a settled market paid what it had, to the last unit.
 * @param {{ market: Market, bets: { items: Bet[], more: boolean } | null }} props
 */
function Settlement({ market, bets }) {
  if (market.resolved_at === null) return html`<${Section} title="Payout"><${Empty}>It is paid once it is decided. Then the sum stands here.<//><//>`;
  if (!bets) return html`<${Section} title="Payout"><${Reading} what="bets" /><//>`;
  if (bets.more) return html`<${Section} title="Payout"><${Empty}>There are more than ${count(BETS_MOST)} bets; the sum is not made here.<//><//>`;
  const stakes = bets.items.reduce((sum, bet) => sum + units(bet.stake), 0n);
  const paid = bets.items.reduce((sum, bet) => sum + units(bet.payout ?? "0"), 0n);
  const void_ = market.status === "VOID";
  const bounty = market.status === "RESOLVED" ? units(market.bounty) : 0n;
  const house = stakes + bounty - paid;
  const whole = market.source !== "RESEARCH" && market.status === "RESOLVED";
  const fits = whole ? house === 0n : house >= 0n;
  return html`<${Section} title="Payout">
    <${Facts}
      rows=${[
        [`Stakes of ${plural(bets.items.length, market.source === "RESEARCH" ? "answer" : "bet")}`, html`<${Money} of=${stakes} />`],
        ["Bounty from the house", html`<${Money} of=${bounty} />`],
        [void_ ? "Given back" : "Paid out", html`<${Money} of=${-paid} />`],
        ["Left for the house", html`<${Money} of=${house} />`],
      ]}
    />
    <div class=${fits ? "okay" : "trouble"} data-sum=${fits ? "exact" : "wrong"}>
      <p>
        ${fits
          ? whole
            ? html`<strong>The payouts are the pool, exactly.</strong> ${money(paid)} of ${decimal(stakes + bounty)} were paid.`
            : house === 0n
              ? html`<strong>It adds up.</strong> Nothing fell to the house.`
              : html`<strong>It adds up.</strong> ${money(house)} fell to the house: ${market.source === "RESEARCH" ? "the stakes of wrong answers" : "the stakes of bots that were not alive"}.`
          : html`<strong>It does not add up.</strong> ${money(house < 0n ? -house : house)} ${house < 0n ? "more than there was were paid" : "of the pool were not paid"}.`}
      </p>
    </div>
  <//>`;
}

/** @param {{ market: Market }} props */
function Commitment({ market }) {
  const { id, nonce, answer, commitment } = market;
  const shown = nonce !== undefined && answer !== undefined && nonce !== null && answer !== null;
  const computed = useRead(
    async () => {
      if (!shown) return "";
      const { digest } = await sha256();
      return hex(await digest(new TextEncoder().encode(commitmentForm(id, nonce, answer))));
    },
    [id, nonce ?? "", answer ?? ""],
  );
  const fits = computed.value === commitment;
  return html`<${Section} title="Commitment">
    <p class="lead">
      When the market opened, the arena published a hash over the answer and a secret nonce. Once the market is closed both are shown, and
      your browser computes the hash again.
    </p>
    <${Facts}
      rows=${[
        ["Committed to", html`<code>${commitment ?? "–"}</code>`],
        shown ? ["Nonce", html`<code>${nonce}</code>`] : null,
        shown ? ["Answer", html`<strong dir="auto">${answer}</strong>`] : null,
        shown ? ["Computed here", html`<code>${computed.value ?? "…"}</code>`] : null,
      ]}
    />
    <div role="status">
      ${!shown ? html`<${Empty}>Nonce and answer are secret until the market has closed.<//>` : null}
      ${shown && computed.value
        ? html`<div class=${fits ? "okay" : "trouble"} data-commitment=${fits ? "kept" : "broken"}>
            <p>
              ${fits
                ? html`<strong>The commitment was kept.</strong> The answer was fixed before the first attempt.`
                : html`<strong>The commitment was not kept.</strong> The answer is not the one that was committed to.`}
            </p>
          </div>`
        : null}
    </div>
  <//>`;
}

/** Names of bots, for lists that tell only numbers. @type {Map<number, string>} */
const names = new Map();

/**
 * @param {number[]} ids
 * @returns {Map<number, string>}
 */
export const useNames = (ids) =>
  useLookup(names, ids, 60, async (id, signal) => names.set(Number(id), (await ask(`bots/${id}`, { signal })).handle));

/** @param {{ market: Market, read: { items: Bet[], more: boolean } | null, problem: Problem | null, again: () => void, mine: number | null }} props */
function Bets({ market, read, problem, again, mine }) {
  const [most, setMost] = useState(25);
  const placed = read?.items.length ?? 0;
  const rows = (read?.items ?? []).slice(0, most);
  const known = useNames(rows.map((bet) => bet.bot_id));
  const research = market.source === "RESEARCH";
  /** @type {Column<Bet>[]} */
  const columns = [
    {
      key: "bot",
      name: "Bot",
      head: true,
      cell: (bet) => {
        const name = known.get(bet.bot_id);
        return html`${name ? html`<${BotLink} handle=${name} />` : html`bot ${bet.bot_id}`}${bet.bot_id === mine ? html` <${Pill} tone="strong">yours<//>` : null}`;
      },
    },
    research
      ? { key: "answer", name: "Answer", cell: (bet) => (bet.answer === undefined || bet.answer === null ? html`<span class="none">hidden until it closes</span>` : html`<bdi>${bet.answer}</bdi>`) }
      : { key: "side", name: "Side", cell: (bet) => html`<strong>${bet.side}</strong>` },
    { key: "sure", name: "Confidence", number: true, cell: (bet) => percent(bet.confidence) },
    { key: "stake", name: "Stake", number: true, amount: (bet) => bet.stake },
    { key: "ended", name: "Result", cell: (bet) => html`<span class=${bet.status === "WON" ? "good" : bet.status === "LOST" ? "bad" : "muted"}>${bet.status.toLowerCase()}</span>` },
    { key: "paid", name: "Paid", number: true, amount: (bet) => bet.payout },
    { key: "brier", name: "Brier", number: true, cell: (bet) => (bet.brier === null ? html`<span class="none">–</span>` : html`<span title=${bet.brier}>${cut(bet.brier, 4)}</span>`) },
    { key: "when", name: "Placed", cell: (bet) => html`<${Ago} at=${bet.created_at} />` },
    { key: "why", name: "Why", cell: (bet) => html`<span class="why" dir="auto">${bet.reasoning || "–"}</span>` },
  ];
  return html`<${Section} title=${research ? "Answers" : "Bets"}>
    <${Trouble} problem=${problem} again=${again} />
    ${read?.items.length === 0 ? html`<${Empty}>Nobody yet.<//>` : null}
    ${rows.length > 0
      ? html`<${Table}
            cards
            caption=${research ? "Answers" : "Bets"}
            columns=${columns}
            rows=${rows}
            id=${(/** @type {Bet} */ bet) => bet.id}
            mark=${(/** @type {Bet} */ bet) => (bet.bot_id === mine ? "mine" : "")}
          />
          ${placed > most ? html`<${More} shown=${`${most} of ${count(placed)}`} more=${() => setMost(most + 100)} />` : null}`
      : null}
  <//>`;
}

/** @param {{ market: string, evidence: Evidence[], secret: boolean }} props */
function EvidenceList({ market, evidence, secret }) {
  return html`<${Section} title="Evidence">
    <p class="lead">What decided it, and the latest fetches that opened it or failed to, with the digest of the bytes that are kept.</p>
    ${evidence.length === 0 ? html`<${Empty}>${secret ? "Shown once the market has closed." : "Nothing was read for this market."}<//>` : null}
    <ol class="evidence">
      ${evidence.map((one) => html`<${EvidenceItem} key=${one.id} market=${market} evidence=${one} />`)}
    </ol>
  <//>`;
}

const EvidenceItem = memo(EvidenceBody);

/** @param {{ market: string, evidence: Evidence }} props */
function EvidenceBody({ market, evidence: one }) {
  // Deciding evidence is checked at once, other fetches when they are opened.
  const [asked, setAsked] = useState(one.decides);
  const path = `markets/${market}/evidence/${one.id}`;
  const computed = useRead(
    async (signal) => {
      if (!asked || one.sha256 === null || one.bytes === 0) return "";
      const { digest } = await sha256();
      return hex(await digest(await bytes(path, signal)));
    },
    [one.id, asked ? 1 : 0],
  );
  const fits = computed.value === one.sha256;
  return html`<li>
    <p>
      <code dir="ltr">${one.url}</code>${" "}${one.decides ? html`<${Pill} tone="good">decided it<//>` : null}
    </p>
    <p class="caption">
      fetched <${Ago} at=${one.fetched_at} />, ${one.status === null ? "no answer" : `HTTP ${one.status}`}${one.value !== null ? html`, read: <strong dir="auto">${one.value}</strong>` : null}${one.problem !== null ? html`, <span class="bad">${one.problem}</span>` : null}
    </p>
    ${one.sha256 !== null
      ? html`<p class="caption">
          SHA-256 <code>${one.sha256}</code>${" "}
          ${computed.value ? (fits ? html`<span class="good">computed again here: the same</span>` : html`<span class="bad">computed again here: ${computed.value}</span>`) : null}
        </p>
        <${Trouble} problem=${computed.problem} what="The digest could not be computed again here" again=${computed.again} />`
      : null}
    ${one.bytes === 0
      ? null
      : html`<details onToggle=${() => setAsked(true)}>
          <summary>What was read</summary>
          <pre tabindex="0" dir="auto">${one.body}</pre>
          <p class="caption">${one.bytes > 1024 ? "The first 1,024 of " : ""}${count(one.bytes)} bytes. <a href=${new URL(path, BASE).href} download>All of it</a></p>
        </details>`}
  </li>`;
}
