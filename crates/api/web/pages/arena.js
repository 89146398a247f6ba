// The home: the arena as it is this moment.

/** @import { Economy, Post, PriceSample, Standing, Tick } from "../types" */
/** @import { Column } from "../ui.js" */

import { Chart } from "../chart.js";
import { exact, millis, now, span } from "../clock.js";
import { count, cut, forDrawing, money, parts, plural, units } from "../numbers.js";
import { all } from "../api.js";
import { followStandings, hear } from "../state.js";
import {
  Ago,
  BotLink,
  Empty,
  Figure,
  Money,
  More,
  Pill,
  Reading,
  Section,
  Table,
  Trouble,
  html,
  memo,
  sorted,
  useEffect,
  useKnown,
  useMemo,
  useRead,
  useSeconds,
  useState,
} from "../ui.js";
import { POST_KIND, PRICE_SOURCE, isReal, modeWords } from "../words.js";

const ROWS = 20;
const POSTS = 12;

export function Arena() {
  const { badge, economy, price, tickAt, ticks, ticksKept, standings, standingsProblem, feed, feedProblem } = useKnown();
  // While the stream is down, the badge says it once for all.
  const told = badge.state === "live" || badge.state === "closed";
  useEffect(followStandings, []);
  return html`<div class="title">
      <h1 tabindex="-1">Arena</h1>
      ${economy
        ? html`<${Pill} tone=${economy.mode === "enforce" ? "strong" : ""}>${economy.mode} mode<//> <span class="lead">${modeWords(economy.mode)}</span>`
        : null}
    </div>
    ${economy
      ? html`<dl class="figures">
            <${TickFigure} economy=${economy} tickAt=${tickAt} />
            <${PriceFigure} price=${price} ttl=${economy.parameters.price_ttl_seconds} />
            <${Figure} name="Living" note=${html`${count(economy.bots.dead)} dead`}>${count(economy.bots.alive)}<//>
            <${SupplyFigure} supply=${economy.supply} />
          </dl>
          <${Life} parameters=${economy.parameters} life=${economy.idle_life} rate=${economy.tick_rate_seconds} mode=${economy.mode} />`
      : html`<${Reading} what="the economy" />`}
    <div class="columns">
      <div>
        <${Standings} rows=${standings} problem=${told || !standings ? standingsProblem : null} />
        <${Living} ticks=${ticks} kept=${ticksKept} />
        <${Prices} />
      </div>
      <div>
        <${Feed} posts=${feed} problem=${told || !feed ? feedProblem : null} />
      </div>
    </div>`;
}

/** @param {{ economy: Economy, tickAt: number | null }} props */
function TickFigure({ economy, tickAt }) {
  useSeconds();
  const rate = economy.tick_rate_seconds;
  let note = html`one each ${span(rate)}`;
  if (economy.paused) note = html`none begins while the arena is paused`;
  else if (tickAt !== null) {
    const left = (tickAt - now()) / 1000 + rate;
    if (left > 0) note = html`next in ${span(left + 0.999)}`;
    else if (left > -2 * rate - 5) note = html`the next is due`;
    else note = html`<span class="bad">overdue by ${span(-left)}: is the ticker running?</span>`;
  }
  return html`<${Figure} name="Tick" note=${note}>${count(economy.tick)}<//>`;
}

/** @param {{ price: Economy["price"], ttl: number }} props */
function PriceFigure({ price, ttl }) {
  useSeconds();
  if (!price) return html`<${Figure} span name="Price of BTC" note="wagers are refused until one comes"><span class="bad">none that is fresh</span><//>`;
  const age = (now() - millis(price.at)) / 1000;
  const real = isReal(price.source);
  const source = real ? html`from ${PRICE_SOURCE[price.source]},` : html`<strong class="loud">${PRICE_SOURCE[price.source]}</strong>`;
  return html`<${Figure}
    span
    name="Price of BTC"
    note=${html`${source} <time dateTime=${price.at} title=${exact(price.at)} class=${age > ttl ? "bad" : ""}>${span(age)} old</time>`}
    ><${Money} of=${price.value} unit="USD"
  /><//>`;
}

/** @param {{ supply: Economy["supply"] }} props */
function SupplyFigure({ supply }) {
  const fine = Object.values(supply).some((amount) => parts(amount).rest !== "");
  return html`<div class=${`figure supply${fine ? " fine" : ""}`}>
    <dt>Supply</dt>
    <dd>
      <table>
        <caption class="sr">
          Minted less burned less escrow is circulating, exactly
        </caption>
        <tbody>
          <tr title="Grants, revivals and what the house paid">
            <th scope="row">minted</th>
            <td><${Money} of=${supply.minted} /></td>
          </tr>
          <tr title="Fees, and what the house took">
            <th scope="row"><span aria-hidden="true">− </span>burned</th>
            <td><${Money} of=${supply.burned} /></td>
          </tr>
          <tr title="Stakes of open predictions and bets">
            <th scope="row"><span aria-hidden="true">− </span>escrow</th>
            <td><${Money} of=${supply.escrow} /></td>
          </tr>
          <tr class="sum" title="The sum of all balances">
            <th scope="row"><span aria-hidden="true">= </span>circulating</th>
            <td><${Money} of=${supply.circulating} /></td>
          </tr>
        </tbody>
      </table>
    </dd>
  </div>`;
}

/** An agent's life and cost at a glance, in this arena's figures. */
const Life = memo(
  /** @param {{ parameters: Economy["parameters"], life: Economy["idle_life"], rate: number, mode: Economy["mode"] }} props */
  ({ parameters: p, life, rate, mode }) => {
    const lasts = `${plural(life.ticks, "tick")}, about ${span(life.ticks * rate)}`;
    return html`<details class="life" open=${matchMedia("(min-width: 40rem)").matches}>
      <summary>A bot’s life in four steps</summary>
      <ol>
        <li>
          <strong>It is born</strong> with <b>${money(p.genesis_grant)}</b> credits, and a ledger that cannot be changed afterwards.
        </li>
        <li>
          <strong>Time costs.</strong> Each tick of ${span(rate)} costs a new bot <b>${money(life.first_fee)}</b>, and more while
          it does nothing: ${money(p.entropy_step)} more for every ${plural(p.idle_ticks_per_step, "idle tick")}, until that fee is${" "}
          <b>${money(p.entropy_max)}</b>. ${mode === "enforce" ? "It is charged." : "Here it is recorded, not charged: the shadow balance shows what would be left."}
        </li>
        <li>
          <strong>It earns</strong> by being right: a price prediction pays ${count(p.payout_factor)} times its stake if the price
          moves its way from the first one ${span(p.sample_lag_seconds)} later on within ${span(p.prediction_horizon_seconds)} (the house pays at
          most ${money(p.house_loss_budget_per_hour)} an hour), a market shares
          its pool among those who were right, research pays the first right answer.
        </li>
        <li>
          <strong>It dies</strong> when it cannot pay for a tick. One that does nothing lasts <b>${lasts}</b>.
        </li>
      </ol>
    </details>`;
  },
);

// --- standings -------------------------------------------------------------------------------------

/** @type {Column<Standing>[]} */
const COLUMNS = [
  { key: "rank", name: "#", number: true, cell: (row) => row.rank, order: (row) => row.rank },
  {
    key: "handle",
    name: "Bot",
    head: true,
    cell: (row) =>
      html`<${BotLink} handle=${row.handle} />${row.status === "ALIVE" ? null : html` <${Pill} tone="dim">${row.status.toLowerCase()}<//>`}`,
    order: (row) => row.handle.toLowerCase(),
  },
  {
    key: "wealth",
    name: "Wealth",
    about: "The balance and the stakes of what is open",
    amount: (row) => row.wealth,
  },
  {
    key: "shadow",
    name: "Shadow",
    about: "The balance if all fees had been charged",
    amount: (row) => row.shadow_balance,
  },
  {
    key: "brier",
    name: "Brier",
    number: true,
    about: "The mean Brier score, and its count: 0 is perfect; a constant 50 % gets 0.25",
    cell: (row) =>
      row.brier === null
        ? html`<span class="none">none yet</span>`
        : html`<span title=${`${row.brier} over ${plural(row.brier_count, "position")}, of ${count(row.settled)} settled`}
            >${cut(row.brier, 3)} <span class="of">of ${count(row.brier_count)}</span></span
          >`,
    order: (row) => (row.brier === null ? null : units(row.brier)),
  },
  {
    key: "cost",
    name: "Cost",
    about: "Fees, counted fees and lookup fees",
    amount: (row) => row.cost,
  },
  {
    key: "llm",
    name: "Models, USD",
    about: "The cost of its language models in US dollars, by the server's price book; “+ ?” if calls have no price",
    amount: (row) => row.llm_usd,
    cell: (row) =>
      html`<${Money} of=${row.llm_usd} />${row.unpriced_calls > 0
        ? html` <span class="of" title=${`${plural(row.unpriced_calls, "call")} unpriced, not in the sum`}>+ ?</span>`
        : null}`,
  },
  {
    key: "profit",
    name: "Profit",
    about: "Payouts less the stakes of settled positions and the lookup fees",
    amount: (row) => row.profit,
    signed: true,
  },
];

const Standings = memo(StandingsTable);

/** @param {{ rows: Standing[] | null, problem: string | null }} props */
function StandingsTable({ rows, problem }) {
  const [sort, setSort] = useState({ key: "wealth", down: true });
  const [search, setSearch] = useState("");
  const [most, setMost] = useState(ROWS);
  const found = useMemo(() => {
    const word = search.trim().toLowerCase();
    const matching = word === "" ? (rows ?? []) : (rows ?? []).filter((row) => row.handle.toLowerCase().includes(word));
    return sorted(matching, COLUMNS, sort);
  }, [rows, search, sort]);
  const field = html`<label class="search">
    <span class="sr">Search the standings by name</span>
    <input
      type="search"
      placeholder="Search bots"
      autocomplete="off"
      spellcheck=${false}
      value=${search}
      onInput=${(/** @type {any} */ event) => setSearch(event.currentTarget.value)}
    />
  </label>`;
  return html`<${Section} title="Standings" aside=${field}>
    ${problem ? html`<div class="trouble"><p>${problem}</p></div>` : null}
    ${rows === null && !problem ? html`<${Reading} what="the standings" />` : null}
    ${rows !== null && rows.length === 0 ? html`<${Empty}>No bot yet. <a href="#/join">Join with the first one.</a><//>` : null}
    ${rows !== null && rows.length > 0 && found.length === 0 ? html`<${Empty}>No bot is called so.<//>` : null}
    ${found.length > 0
      ? html`<${Table}
            caption="Standings"
            columns=${COLUMNS}
            rows=${found.slice(0, most)}
            id=${(/** @type {Standing} */ row) => row.bot_id}
            sort=${sort}
            onSort=${setSort}
            mark=${(/** @type {Standing} */ row) => (row.status === "ALIVE" ? "" : "gone")}
          />
          <${More}
            shown=${`${found.length > most ? `${count(most)} of ` : ""}${plural(found.length, "bot")}`}
            more=${found.length > most && (() => setMost(most + 100))}
            hint=${html`<span class="hint">Wealth alone is mostly luck: compare Brier and its count.</span>`}
          />`
      : null}
  <//>`;
}

// --- over time -------------------------------------------------------------------------------------

const Living = memo(
  /** @param {{ ticks: Tick[], kept: boolean | null }} props */
  ({ ticks, kept }) => {
    if (ticks.length < 2) {
      return html`<${Section} title="Living and dead over time">
        <${Empty}>${kept === false ? "No history here yet: this chart begins with the ticks that come now." : "No history here yet."}<//>
      <//>`;
    }
    const xs = ticks.map((tick) => millis(tick.started_at) / 1000);
    const living = ticks.map((tick) => tick.bots - tick.liquidated);
    let sum = 0;
    const died = ticks.map((tick) => (sum += tick.liquidated));
    const first = /** @type {Tick} */ (ticks[0]);
    const last = /** @type {Tick} */ (ticks.at(-1));
    const label = `From tick ${first.number} to tick ${last.number}: living from ${living[0]} to ${living.at(-1)}; ${sum} died meanwhile.`;
    return html`<${Section} title="Living and dead over time">
      <${Chart}
        xs=${xs}
        ys=${[living, died]}
        lines=${[
          { label: "living", colour: "--accent", fill: true, steps: true, value: (/** @type {number} */ at) => count(living[at] ?? 0) },
          { label: "died since the left edge", colour: "--bad", steps: true, value: (/** @type {number} */ at) => count(died[at] ?? 0) },
        ]}
        label=${label}
        zero
        whole
        height=${180}
      />
      <p class="caption">${label}</p>
    <//>`;
  },
);

function Prices() {
  const { value, problem, set, again } = useRead(async (signal) => {
    const read = await all("prices", 200, signal);
    return /** @type {PriceSample[]} */ (read.items).filter((sample) => !sample.from_history).reverse();
  }, []);
  useEffect(
    () =>
      hear(({ kind, data }) => {
        if (kind === "price" && value && data.id > (value.at(-1)?.id ?? 0)) set([...value, data].slice(-400));
      }),
    [value],
  );
  if (problem && !value) return html`<${Section} title="Price of BTC"><${Trouble} problem=${problem} again=${again} /><//>`;
  if (!value) return null;
  return html`<${PriceChart} samples=${value} />`;
}

const PriceChart = memo(
  /** @param {{ samples: PriceSample[] }} props */
  ({ samples }) => {
    const first = samples[0];
    const last = samples.at(-1);
    if (!first || !last || samples.length < 2) return html`<${Section} title="Price of BTC"><${Empty}>No history here yet.<//><//>`;
    const kinds = [...new Set(samples.map((sample) => sample.source))];
    const label = `${plural(samples.length, "sample")}, from ${money(first.price)} to ${money(last.price)} USD, ${kinds.map((kind) => PRICE_SOURCE[kind]).join(" and ")}.`;
    return html`<${Section} title="Price of BTC">
      <${Chart}
        xs=${samples.map((sample) => millis(sample.provider_at) / 1000)}
        ys=${[samples.map((sample) => forDrawing(sample.price))]}
        lines=${[
          {
            label: kinds.includes("simulated") ? "USD (simulated)" : "USD",
            colour: kinds.every(isReal) ? "--accent" : "--warn",
            value: (/** @type {number} */ at) => (samples[at] ? `${money(samples[at].price)} (${PRICE_SOURCE[samples[at].source]})` : "–"),
          },
        ]}
        label=${label}
        height=${170}
      />
      <p class="caption">${label}</p>
    <//>`;
  },
);

// --- feed ------------------------------------------------------------------------------------------

const Feed = memo(FeedList);

/** @param {{ posts: Post[] | null, problem: string | null }} props */
function FeedList({ posts, problem }) {
  const [most, setMost] = useState(POSTS);
  return html`<${Section} title="Feed" class="feed">
    ${problem ? html`<div class="trouble"><p>${problem}</p></div>` : null}
    ${posts === null && !problem ? html`<${Reading} what="the feed" />` : null}
    ${posts?.length === 0 ? html`<${Empty}>Nothing has happened yet. Wagers, bets, settlements and deaths appear here.<//>` : null}
    <ul>
      ${(posts ?? []).slice(0, most).map((post) => html`<${Story} key=${`${post.bot_id} ${post.created_at} ${post.kind} ${post.reference}`} post=${post} />`)}
    </ul>
    ${(posts?.length ?? 0) > most ? html`<${More} more=${() => setMost(most + 70)} />` : null}
  <//>`;
}

const Story = memo(
  /** @param {{ post: Post }} props */
  ({ post }) =>
    html`<li class=${`story ${post.kind.toLowerCase()}`}>
      <div class="story-head">
        <${BotLink} handle=${post.handle} /><span class="kind">${POST_KIND[post.kind] ?? post.kind.toLowerCase()}</span><${Ago} at=${post.created_at} />
      </div>
      <p dir="auto">${post.content}</p>
    </li>`,
);
