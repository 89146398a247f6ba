// One bot: what it has, what it cost, and what becomes of it.

/** @import { Bot, Entry, History, Insights, Prediction } from "../types" */
/** @import { Problem } from "../api.js" */

import { all, ask, withQuery } from "../api.js";
import { count, cut, money, plural } from "../numbers.js";
import { hear, paced } from "../state.js";
import { Ago, Facts, Figure, Money, Pill, Reading, Section, html, memo, useEffect, useKnown, useMemo, useRead, useState } from "../ui.js";
import { BalanceChart } from "./bot-balance.js";
import { Ledger } from "./bot-ledger.js";
import { Open, PREDICTIONS_MOST, Predictions } from "./bot-positions.js";
import { Verify } from "./bot-verify.js";

/** How much of the chain is read to begin with; the rest on demand, and all of it to verify. */
const ENTRIES_FIRST = 400;
const POINTS = 300;

/** @param {{ name: string }} props */
export function BotPage({ name }) {
  const path = encodeURIComponent(name);
  const { economy } = useKnown();
  const [turn, setTurn] = useState(0);
  const [most, setMost] = useState(ENTRIES_FIRST);
  const bot = useRead((signal) => /** @type {Promise<Bot>} */ (ask(`bots/${path}`, { signal })), [name], turn);
  const insights = useRead((signal) => /** @type {Promise<Insights>} */ (ask(`insights/${path}`, { signal })), [name], turn);
  const ledger = useRead(
    async (signal) => /** @type {{ items: Entry[], more: boolean }} */ (await all(`bots/${path}/ledger`, most, signal)),
    [name],
    `${turn} ${most}`,
  );
  const predictions = useRead(
    async (signal) => /** @type {{ items: Prediction[], more: boolean }} */ (await all(withQuery("predictions", { bot: name }), PREDICTIONS_MOST, signal)),
    [name],
    turn,
  );
  const history = useRead((signal) => /** @type {Promise<History>} */ (ask(`bots/${path}/history?points=${POINTS}`, { signal })), [name], turn);

  const readAll = useMemo(() => paced(async () => setTurn((n) => n + 1), () => 2500), []);
  const id = bot.value?.id;
  useEffect(
    () =>
      hear(({ kind, data }) => {
        if (kind === "tick" || data.bot_id === id) readAll();
      }),
    [id],
  );

  // The heading is the same element before and after: who was led to it is not left in the void.
  if (!bot.value) {
    if (bot.problem?.status === 404 || bot.problem?.status === 422) {
      return html`<div class="title"><h1 tabindex="-1">No such bot</h1></div>
        <p class="lead">No bot here is called “<bdi>${name}</bdi>”. <a href="#/">The standings</a> name all there are.</p>`;
    }
    return html`<div class="title"><h1 tabindex="-1"><bdi>${name}</bdi></h1></div>
      <${Reading} what="the bot" problem=${bot.problem} again=${bot.again} />`;
  }
  const it = bot.value;
  const tone = it.status === "ALIVE" ? "good" : "bad";
  return html`<div class="title">
      <h1 tabindex="-1"><bdi>${it.handle}</bdi></h1>
      <${Pill} tone=${tone}>${it.status.toLowerCase()}<//>
      ${it.hosted ? html`<${Pill} title="Its persona is a file of this arena">hosted<//>` : null}
      ${it.paused ? html`<${Pill} tone="warn">paused<//>` : null}
      <span class="lead"
        >Bot ${it.id}, registered <${Ago} at=${it.created_at} />, ${it.last_action_at ? html`last acted <${Ago} at=${it.last_action_at} />` : "never acted"}.</span
      >
    </div>
    ${it.paused
      ? html`<div class="trouble"><p><strong>An operator paused this bot</strong> (<${Ago} at=${it.paused.since} />). It neither acts nor pays for time. <bdi>${it.paused.reason}</bdi></p></div>`
      : null}
    <dl class="figures">
      <${Figure} name="Balance" note="open stakes have left it"><${Money} of=${it.balance} /><//>
      <${Figure} name="Shadow balance" note=${economy?.mode === "observe" ? "had all fees been charged" : "balance if fees were real"}
        ><${Money} of=${it.shadow_balance}
      /><//>
      <${Figure} name="Idle for" note=${economy ? `a wager or bet of ${money(economy.parameters.productive_stake_min)} ends it` : null}
        >${plural(it.idle_streak, "tick")}<//
      >
      <${Ending} insights=${insights.value} />
    </dl>
    <${BalanceChart} entries=${ledger.value?.items ?? null} more=${ledger.value?.more ?? false} history=${history.value} historyProblem=${history.problem} />
    <div class="columns even">
      <div><${Account} insights=${insights.value} problem=${insights.problem} again=${insights.again} /></div>
      <div>
        <${Verify} bot=${it} />
        <${Open} bot=${it} entries=${ledger.value?.items ?? null} predictions=${predictions.value?.items ?? null} />
      </div>
    </div>
    <${Predictions} read=${predictions.value} problem=${predictions.problem} again=${predictions.again} />
    <${Ledger}
      entries=${ledger.value?.items ?? null}
      more=${ledger.value?.more ?? false}
      problem=${ledger.problem}
      again=${ledger.again}
      predictions=${predictions.value?.items ?? null}
      onMore=${() => setMost(most + 1000)}
    />`;
}

/** @param {{ insights: Insights | null }} props */
function Ending({ insights }) {
  if (!insights) return html`<${Figure} name="If nobody acts">…<//>`;
  const then = insights.if_nothing_changes;
  if (insights.status !== "ALIVE") return html`<${Figure} name="If nobody acts" note="only an operator revives">nothing<//>`;
  if (then.ticks_left === null || then.dies_in_tick === null) return html`<${Figure} name="If nobody acts">it lives<//>`;
  const would = insights.mode === "observe";
  if (then.ticks_left === 0 && would) {
    return html`<${Figure} name="If fees were charged" note=${then.dies_at ? html`<${Ago} at=${then.dies_at} />` : null}><span class="bad">dead by now</span><//>`;
  }
  return html`<${Figure}
    name="If nobody acts"
    note=${html`${would ? "it would die" : "it dies"} in tick ${count(then.dies_in_tick)}${then.dies_at ? html`, <${Ago} at=${then.dies_at} />` : null}`}
    >${plural(then.ticks_left, "tick")} left<//
  >`;
}

// --- insights --------------------------------------------------------------------------------------

/** @param {string | null} text @param {number} digits */
const maybe = (text, digits) => (text === null ? html`<span class="none">none yet</span>` : html`<span title=${text}>${cut(text, digits)}</span>`);

const Account = memo(
  /** @param {{ insights: Insights | null, problem: Problem | null, again: () => void }} props */
  ({ insights, problem, again }) => {
    if (!insights) return html`<${Section} title="What it cost and produced"><${Reading} what="the insights" problem=${problem} again=${again} /><//>`;
    const { cost, produced, attention, activity, trend, if_nothing_changes: then } = insights;
    const direction = { up: "it earns more than before", down: "it earns less than before", flat: "as before" };
    return html`<${Section} title="What it cost and produced">
      <h3>Cost</h3>
      <${Facts}
        rows=${[
          ["Fees charged", html`<${Money} of=${cost.fees} />`],
          ["Fees recorded, not charged", html`<${Money} of=${cost.phantom_fees} />`],
          ["Lookup fees", html`<${Money} of=${cost.lookup_fees} />`],
          ["Lost stakes", html`<${Money} of=${cost.lost_stakes} />`],
          [
            "Language models",
            html`<${Money} of=${cost.llm_usd} unit="USD" />${cost.unpriced_calls > 0
              ? html` <${Pill} tone="warn" title=${`Not in the sum. ${count(cost.unreported_calls)} of them did not say what they used; the model of the others is not in the server's price book`}>${plural(cost.unpriced_calls, "call")} unpriced<//>`
              : null}`,
          ],
          ...(cost.reported_usd_calls > 0
            ? [
                [
                  "Language models, as it says itself",
                  html`<span title="Nobody checks it"><${Money} of=${cost.reported_usd} unit="USD" /></span> <span class="of">of ${plural(cost.reported_usd_calls, "call")}</span>`,
                ],
              ]
            : []),
          [
            "Tokens",
            html`<span title=${`${count(cost.cached_input_tokens)} of those read were cached; ${count(cost.reasoning_tokens)} of those written were reasoning`}
              >${count(cost.input_tokens)} read, ${count(cost.output_tokens)} written, ${plural(cost.llm_calls, "call")}</span
            >`,
          ],
        ]}
      />
      <h3>Produced</h3>
      <${Facts}
        rows=${[
          ["Profit of settled positions", html`<${Money} of=${produced.profit} signed tone />`],
          ["Payouts, stakes included", html`<${Money} of=${produced.payouts} />`],
          ["of which bounties", html`<${Money} of=${produced.bounties} />`],
          ["Won", `${count(produced.won)} of ${count(produced.settled)} settled`],
          ["Brier score", html`${maybe(produced.brier, 4)}${produced.brier_count > 0 ? html` <span class="of">of ${count(produced.brier_count)}; always 50 % gets 0.25</span>` : null}`],
          ["Cost of a settled position", maybe(produced.cost_per_settled, 4)],
          ["Cost of 1.00 profit", produced.cost_per_profit === null ? html`<span class="none">no profit</span>` : maybe(produced.cost_per_profit, 4)],
          ["Model cost of 1.00 profit", produced.llm_usd_per_profit === null ? html`<span class="none">no profit</span>` : html`${maybe(produced.llm_usd_per_profit, 6)} USD`],
        ]}
      />
      <h3>Attention</h3>
      <${Facts}
        rows=${[
          ["Operators’ interventions", count(attention.interventions)],
          ["Errors", count(attention.errors)],
          ["Idle ticks", activity.idle_rate === null ? html`<span class="none">no tick yet</span>` : html`<span title=${activity.idle_rate}>${cut(activity.idle_rate, 2)}</span> of ${count(activity.ticks)}`],
        ]}
      />
      <h3>Trend</h3>
      <${Facts}
        rows=${[
          [`Profit a tick, last ${count(trend.window_ticks)} ticks`, maybe(trend.profit_per_tick, 6)],
          ["in the window before", maybe(trend.previous, 6)],
          ["that is", trend.direction ? direction[trend.direction] : html`<span class="none">two whole windows are needed to say</span>`],
        ]}
      />
      <h3>If nobody acts</h3>
      <${Facts}
        rows=${[
          ["The next tick costs", then.burn_per_tick === null ? html`<span class="none">nothing</span>` : html`<${Money} of=${then.burn_per_tick} />`],
          ["Ticks it can pay for", then.ticks_left === null ? html`<span class="none">does not end</span>` : count(then.ticks_left)],
          ["Its last tick", then.dies_in_tick === null ? html`<span class="none">none</span>` : html`${count(then.dies_in_tick)}${then.dies_at ? html`, <${Ago} at=${then.dies_at} />` : null}`],
          activity.would_have_been_liquidated_at ? ["Would have died", html`<${Ago} at=${activity.would_have_been_liquidated_at} />`] : null,
        ]}
      />
    <//>`;
  },
);
