use db::bots::BotRef;
use db::totals::Totals;
use db::usage::{self, Reported, Usage, UsageReport};
use db::{DbError, actions, insights};
use ledger_core::economy::Enforcement::{Enforce, Observe};
use ledger_core::{BotId, BotStatus, Money};
use test_kit::Arena;

fn usage(priced_usd: Option<&str>) -> Usage {
    Usage {
        provider: "mock".to_owned(),
        model: "mock-1".to_owned(),
        llm_calls: 2,
        unreported_calls: 0,
        input_tokens: 1200,
        output_tokens: 80,
        cached_input_tokens: Some(200),
        reasoning_tokens: Some(30),
        cost_usd: Some("9.99".parse().unwrap()),
        priced_usd: priced_usd.map(|usd| usd.parse().unwrap()),
    }
}

fn report(bot_id: BotId, priced_usd: Option<&str>) -> UsageReport {
    UsageReport { bot_id, usage: usage(priced_usd), note: "reading the news".to_owned() }
}

async fn totals(arena: &Arena, bot: BotId) -> Totals {
    insights::find(&mut *arena.conn().await, &BotRef::Id(bot)).await.unwrap().totals
}

#[tokio::test]
async fn a_report_leaves_an_audit_row_a_metrics_row_and_totals() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let mut conn = arena.conn().await;
    let told = usage::report(&mut conn, &report(bot, Some("0.0012")), Observe, None).await.unwrap();
    let owner = arena.owner_client().await;
    let row = owner
        .query_one(
            "SELECT a.id, a.actor, a.detail->>'note', m.cost_usd::text, m.priced_usd::text, \
                    m.kind::text, m.balance::text \
               FROM audit_log a JOIN agent_metrics m ON m.action_id = a.id \
              WHERE a.action = 'USAGE'",
            &[],
        )
        .await
        .unwrap();
    let priced_usd = Some("0.0012".parse().unwrap());
    let action_id = row.get(0);
    assert_eq!(
        told,
        Reported { action_id, priced_usd, reported_usd: Some("9.99".parse().unwrap()) }
    );
    let texts: Vec<String> = (1..7).map(|column| row.get(column)).collect();
    let actor = format!("bot:{bot}");
    assert_eq!(
        texts,
        [actor.as_str(), "reading the news", "9.99000000", "0.00120000", "ACTION", "1000.00000000"]
    );
    let expected = Totals {
        llm_calls: 2,
        input_tokens: 1200,
        output_tokens: 80,
        cached_input_tokens: 200,
        reasoning_tokens: 30,
        llm_usd: 120_000,
        reported_usd: 999_000_000,
        reported_usd_calls: 2,
        ..Totals::default()
    };
    assert_eq!(totals(&arena, bot).await, expected);
    arena.assert_sound().await;
}

#[tokio::test]
async fn calls_without_a_price_are_counted_and_cost_nothing() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let mut conn = arena.conn().await;
    for priced in [None, Some("1.00"), None] {
        usage::report(&mut conn, &report(bot, priced), Observe, None).await.unwrap();
    }
    let found = totals(&arena, bot).await;
    assert_eq!((found.llm_calls, found.unpriced_calls, found.llm_usd), (6, 4, 100_000_000));
    assert_eq!(found.input_tokens, 3600, "tokens count all the same");
}

#[tokio::test]
async fn the_dead_may_report_and_strangers_may_not() {
    let arena = Arena::new().await;
    let dead = arena.bot().dead().create().await.id;
    let mut conn = arena.conn().await;
    let status = |found: insights::Insights| found.reserve.status;
    let found = insights::find(&mut conn, &BotRef::Id(dead)).await.unwrap();
    assert_eq!(status(found), BotStatus::Dead);
    usage::report(&mut conn, &report(dead, Some("0.50")), Enforce, None).await.unwrap();
    assert_eq!(totals(&arena, dead).await.llm_usd, 50_000_000);
    let stranger = report(BotId(999_999), None);
    let refused = usage::report(&mut conn, &stranger, Enforce, None).await;
    assert!(matches!(refused, Err(DbError::NotFound("bot"))));
    let owner = arena.owner_client().await;
    let rows = "SELECT count(*) FROM audit_log WHERE action = 'USAGE'";
    let count: i64 = owner.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn many_at_once_add_up_exactly() {
    const TASKS: i64 = 8;
    const EACH: i64 = 12;
    let arena = Arena::new().await;
    let bots = [arena.bot().create().await.id, arena.bot().create().await.id];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let database = arena.database().clone();
        let rules = arena.rules().clone();
        tasks.spawn(async move {
            let mut conn = database.get().await.unwrap();
            for turn in 0..EACH {
                let bot = bots[usize::from((task + turn) % 2 == 0)];
                if turn % 3 == 0 {
                    // With an action, the other way usage comes.
                    let mut wager = crate::wager(bot, "0.01");
                    wager.usage = Some(usage(Some("0.00000001")));
                    actions::place(&mut conn, &wager, &rules, None).await.map(drop)
                } else {
                    let report = report(bot, Some("0.00000001"));
                    usage::report(&mut conn, &report, Observe, None).await.map(drop)
                }
                // The limit on open predictions refuses some wagers, usage and all.
                .or_else(|error| match error {
                    DbError::Refused(_) => Ok(()),
                    other => Err(other),
                })
                .unwrap();
            }
        });
    }
    // Ticks want the same wallets.
    for _ in 0..3 {
        arena.tick(Observe).await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let owner = arena.owner_client().await;
    for bot in bots {
        let row = owner
            .query_one(
                "SELECT count(*), sum(llm_calls)::bigint, sum(input_tokens)::bigint, \
                        (sum(priced_usd) * 100000000)::bigint \
                   FROM agent_metrics WHERE kind = 'ACTION' AND bot_id = $1",
                &[&bot.0],
            )
            .await
            .unwrap();
        let (count, calls, tokens, usd): (i64, i64, i64, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        assert!(count >= 30, "most were recorded: {count}");
        let found = totals(&arena, bot).await;
        assert_eq!(
            (found.llm_calls, found.input_tokens, found.llm_usd),
            (calls, tokens, i128::from(usd))
        );
        assert_eq!(found.llm_calls, 2 * count);
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn usage_of_wagers_that_share_a_commit_goes_to_each_ones_bot() {
    let arena = Arena::new().await;
    let mut wagers = Vec::new();
    for index in 1..=5 {
        let mut wager = crate::wager(arena.bot().create().await.id, "1.00");
        wager.usage = Some(usage(Some(&format!("0.0{index}"))));
        wagers.push(wager);
    }
    let placings: Vec<_> =
        wagers.iter().map(|wager| actions::Placing { wager, hook: None }).collect();
    actions::place_all(&mut *arena.conn().await, &placings, arena.rules()).await.unwrap();
    for (wager, cents) in wagers.iter().zip(1..) {
        let expected: Money = Money::cents(cents);
        let found = totals(&arena, wager.bot_id).await;
        assert_eq!(found.llm_usd, i128::from(expected.units()));
    }
}
