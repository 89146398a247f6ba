use api_types::{Insights, ProblemKind};
use db::ticks::{Due, Selection, Tick, TickEngine};
use ledger_core::economy::Enforcement;
use ledger_core::insights::TrendDirection;
use ledger_core::market::MarketSource;
use ledger_core::{BotId, BotStatus, Money, TickNumber};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::market::{RIGHT_ANSWER, new_answer};
use test_kit::{Arena, TestBot};

use crate::service::{Answer, Service};

async fn insights(service: &Service, bot: &TestBot) -> Insights {
    service.get(&format!("/insights/{}", bot.id)).await.ok()
}

/// Ticks with an engine that is kept: some tests need hundreds.
struct Clock(TickEngine);

impl Clock {
    async fn of(arena: &Arena) -> Clock {
        Clock(TickEngine::connect(arena.database()).await.unwrap())
    }

    /// One whole tick, for all bots.
    async fn tick(&mut self, arena: &Arena, mode: Enforcement) -> Tick {
        let mut conn = arena.conn().await;
        let tick = match db::ticks::due(&mut conn, &arena.rules_in(mode), 0).await.unwrap() {
            Due::Begun(tick) | Due::Open(tick) => tick,
            due => unreachable!("a rate of zero is always due, not {due:?}"),
        };
        let everybody = Selection::Waiting { after: BotId(i64::MIN), limit: 1000 };
        let rules = arena.rules();
        self.0.apply(&tick, rules, &everybody).await.unwrap();
        db::ticks::close(&mut conn, &tick).await.unwrap().unwrap();
        tick
    }
}

#[tokio::test]
async fn a_new_bot_has_zeros_and_nulls_and_a_future() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Nina").create().await;
    let found = service.get("/insights/nina").await.json();
    let zero = "0.00000000";
    let expected = json!({
        "bot_id": bot.id,
        "handle": "Nina",
        "status": "ALIVE",
        "mode": "observe",
        "balance": "1000.00000000",
        "shadow_balance": "1000.00000000",
        "cost": {
            "fees": zero, "phantom_fees": zero, "lookup_fees": zero, "lost_stakes": zero,
            "llm_usd": zero, "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0,
            "reasoning_tokens": 0, "llm_calls": 0, "unpriced_calls": 0,
            "unreported_calls": 0, "reported_usd": zero, "reported_usd_calls": 0,
        },
        "produced": {
            "payouts": zero, "bounties": zero, "profit": zero, "settled": 0, "won": 0,
            "brier": null, "brier_count": 0, "brier_coverage": null, "cost_per_settled": null,
            "cost_per_profit": null, "llm_usd_per_settled": null, "llm_usd_per_profit": null,
        },
        "attention": { "interventions": 0, "errors": 0 },
        "activity": {
            "ticks": 0, "idle_rate": null, "idle_streak": 0,
            "would_have_been_liquidated_at": null,
        },
        "trend": {
            "window_ticks": 60, "profit_per_tick": null, "previous": null, "direction": null,
        },
        "if_nothing_changes": {
            "burn_per_tick": "0.50000000", "ticks_left": 356, "dies_in_tick": 357,
            "dies_at": found["if_nothing_changes"]["dies_at"],
        },
        "recent": [found["recent"][0]],
        "as_of": found["as_of"],
    });
    assert_eq!(found, expected);
    assert_eq!(found["recent"][0]["entry_type"], "GRANT");
    // No tick has begun: the first may begin now, and 356 more follow at ten seconds each.
    let typed = insights(&service, &bot).await;
    let dies_at = typed.if_nothing_changes.dies_at.unwrap();
    assert_eq!(dies_at.seconds_since(typed.as_of), 3_560);
}

#[tokio::test]
async fn nobody_is_not_found() {
    let service = Service::new().await;
    for nobody in ["nobody", "424242", "99999999999999999999", "a%20b"] {
        service.get(&format!("/insights/{nobody}")).await.problem(ProblemKind::NotFound);
    }
    let post = service.request(Method::POST, "/insights/1");
    Answer::of(post).await.problem(ProblemKind::MethodNotAllowed);
}

async fn answer(service: &Service, bot: &TestBot, said: &str) {
    let market = service.arena.market(MarketSource::Research).await;
    let mut answer = new_answer(bot.id, market.id, said);
    answer.lookup = ledger_core::economy::Lookup::Used;
    let mut conn = service.arena.conn().await;
    db::markets::answer(&mut conn, &answer, service.arena.rules(), None).await.unwrap();
}

#[tokio::test]
async fn a_lived_in_bot_has_a_balance_sheet() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let mut clock = Clock::of(&service.arena).await;
    for tick in 1..=120 {
        let mode = if tick <= 20 { Enforcement::Enforce } else { Enforcement::Observe };
        clock.tick(&service.arena, mode).await;
        match tick {
            5 => answer(&service, &bot, RIGHT_ANSWER).await,
            70 => answer(&service, &bot, "wrong").await,
            71 => answer(&service, &bot, RIGHT_ANSWER).await,
            _ => {}
        }
    }
    let body = json!({ "usage": {
        "provider": "nobody", "model": "unheard-of", "input_tokens": 9, "output_tokens": 5,
        "llm_calls": 4,
    }});
    let report = service
        .request(Method::POST, "/metrics/usage")
        .header("X-Agent-Secret", &bot.api_secret)
        .json(&body);
    Answer::of(report).await.json();
    let found = insights(&service, &bot).await;
    let (cost, produced) = (&found.cost, &found.produced);
    assert_eq!((cost.llm_calls, cost.unpriced_calls), (4, 4));
    assert_eq!((cost.input_tokens, cost.output_tokens), (9, 5));
    assert_eq!(cost.lookup_fees, "1.50000000");
    assert_eq!(cost.lost_stakes, "1.00000000");
    // 26 + 26 in payouts, 3 in stakes, 1.50 in lookups.
    assert_eq!(
        (produced.payouts.as_str(), produced.bounties.as_str()),
        ("52.00000000", "50.00000000")
    );
    assert_eq!(produced.profit, "47.50000000");
    assert_eq!((produced.settled, produced.won), (3, 2));
    // Right with 0.80 twice, wrong with 0.80 once: (0.04 + 0.04 + 0.64) / 3.
    assert_eq!(produced.brier.as_deref(), Some("0.24000000"));
    assert_eq!(produced.brier_coverage.as_deref(), Some("1.00000000"));
    let money = |text: &str| text.parse::<Money>().unwrap().units();
    let total = money(&cost.fees) + money(&cost.phantom_fees) + money(&cost.lookup_fees);
    let per = |text: &Option<String>| money(text.as_deref().unwrap());
    assert_eq!(per(&produced.cost_per_settled), (total + 1) / 3);
    let per_profit = i128::from(total) * 100_000_000 / i128::from(money(&produced.profit));
    assert!((i128::from(per(&produced.cost_per_profit)) - per_profit).abs() <= 1);
    assert_eq!(produced.llm_usd_per_settled.as_deref(), Some("0.00000000"));
    // The ticks after ticks 5, 70 and 71 were not idle.
    assert_eq!((found.activity.ticks, found.activity.idle_streak), (120, 48));
    assert_eq!(found.activity.idle_rate.as_deref(), Some("0.97500000"));
    // 24.50 in the window before, 23.00 in the last.
    let trend = &found.trend;
    assert_eq!(trend.previous.as_deref(), Some("0.40833333"));
    assert_eq!(trend.profit_per_tick.as_deref(), Some("0.38333333"));
    assert_eq!(trend.direction, Some(TrendDirection::Down));
    assert_eq!(found.balance.units() - money(&cost.phantom_fees), found.shadow_balance.units());
    assert_eq!(found.recent.len(), 10);
    assert_eq!(found.recent[0].balance_after, found.balance);
    assert_eq!(found.activity.would_have_been_liquidated_at, None);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn the_dead_have_a_past_and_no_future() {
    let service = Service::with(|config| config.rules.enforcement = Enforcement::Enforce).await;
    let retired = service.arena.bot().create().await;
    Answer::of(service.operator(Method::DELETE, &format!("/bots/{}", retired.id))).await.json();
    let dead = service.arena.bot().dead().create().await;
    for (bot, status, interventions) in
        [(&dead, BotStatus::Dead, 0), (&retired, BotStatus::Retired, 1)]
    {
        let found = insights(&service, bot).await;
        assert_eq!(found.status, status);
        assert_eq!(found.mode, Enforcement::Enforce);
        assert_eq!(found.attention.interventions, interventions);
        let shown = serde_json::to_value(found.if_nothing_changes).unwrap();
        assert_eq!(
            shown,
            json!({ "burn_per_tick": null, "ticks_left": null, "dies_in_tick": null,
                    "dies_at": null })
        );
    }
}

#[tokio::test]
async fn totals_wider_than_any_balance_are_told_exactly() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let owner = service.arena.owner_client().await;
    let widest = "99999999999999999999.99999999";
    owner
        .batch_execute(&format!(
            "INSERT INTO agent_totals (bot_id, settled, won, payouts, bounties, lost_stakes, \
                    lookup_fees, profit, brier_sum, brier_count, llm_usd, input_tokens) \
             VALUES ({bot}, 3, 1, {widest}, {widest}, {widest}, {widest}, -{widest}, 0.5, 2, \
                     {widest}, 9223372036854775807); \
             UPDATE wallets SET fees = {widest}, granted = {widest} WHERE bot_id = {bot}",
            bot = bot.id
        ))
        .await
        .unwrap();
    let found = insights(&service, &bot).await;
    for text in
        [&found.cost.fees, &found.cost.lookup_fees, &found.cost.llm_usd, &found.produced.payouts]
    {
        assert_eq!(text, widest);
    }
    assert_eq!(found.produced.profit, format!("-{widest}"));
    assert_eq!(found.produced.cost_per_profit, None, "there is no profit");
    // Twice the widest over three, to the last digit.
    assert_eq!(found.produced.cost_per_settled.as_deref(), Some("66666666666666666666.66666666"));
    assert_eq!(found.produced.brier.as_deref(), Some("0.25000000"));
    assert_eq!(found.produced.brier_coverage.as_deref(), Some("0.66666667"));
    let shown: Value = service.get("/standings").await.json();
    let first = &shown["items"][0];
    assert_eq!(first["cost"], "199999999999999999999.99999998");
    assert_eq!((&first["return"], &first["won"]), (&json!("-1.00000000"), &json!(1)));
}

/// Ticks of a twin's life to watch: it is over before that.
const WATCHED_TICKS: i64 = 360;

/// The tick in which each of these died, really or by its shadow balance; in every tick the test reads the
/// forecast of each living one.
async fn watch(mode: Enforcement, balances: &[&str]) -> Vec<TickNumber> {
    let service = Service::with(|config| config.rules.enforcement = mode).await;
    let mut bots = Vec::new();
    for balance in balances {
        bots.push(service.arena.bot().balance(balance).create().await);
    }
    let mut told = Vec::new();
    for bot in &bots {
        let found = insights(&service, bot).await.if_nothing_changes;
        told.push((found.dies_in_tick.unwrap(), found.ticks_left.unwrap()));
    }
    let mut died = vec![None; bots.len()];
    let mut clock = Clock::of(&service.arena).await;
    for _ in 0..WATCHED_TICKS {
        let tick = clock.tick(&service.arena, mode).await;
        for ((bot, died), (dies_in, ticks_left)) in bots.iter().zip(&mut died).zip(&told) {
            if died.is_some() {
                continue;
            }
            // The long-lived ones are checked at intervals.
            if dies_in.0 - tick.number.0 > 3 && tick.number.0 % 50 != 0 {
                continue;
            }
            let found = insights(&service, bot).await;
            let over = match mode {
                Enforcement::Enforce => found.status == BotStatus::Dead,
                Enforcement::Observe => found.activity.would_have_been_liquidated_at.is_some(),
            };
            if over {
                *died = Some(tick.number);
                let dies_at = found.activity.would_have_been_liquidated_at;
                assert_eq!(dies_at, found.if_nothing_changes.dies_at);
                assert!(dies_at.is_none_or(|at| at == tick.started_at));
            } else {
                let left = found.if_nothing_changes;
                assert_eq!(left.dies_in_tick, Some(*dies_in), "{} changed its mind", bot.handle);
                assert_eq!(left.ticks_left, Some(ticks_left - tick.number.0));
            }
        }
    }
    let died: Vec<TickNumber> = died.into_iter().map(Option::unwrap).collect();
    let told: Vec<TickNumber> = told.into_iter().map(|(dies_in, _)| dies_in).collect();
    assert_eq!(died, told, "{mode}");
    service.arena.assert_sound().await;
    died
}

#[tokio::test]
async fn the_shadow_dies_on_the_tick_of_its_twin_and_both_were_told() {
    let balances = ["0.01", "0.50", "2.00", "3.30", "25.00", "77.77777777", "1000.00"];
    let (observed, enforced) = tokio::join!(
        watch(Enforcement::Observe, &balances),
        watch(Enforcement::Enforce, &balances)
    );
    assert_eq!(observed, enforced);
    let ticks: Vec<i64> = observed.iter().map(|tick| tick.0).collect();
    assert_eq!(ticks[..3], [1, 2, 5]);
    assert_eq!(ticks[6], 357, "an idle bot of a thousand outlives 356 ticks");
}
