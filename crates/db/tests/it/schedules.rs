//! The daily limit of a bot's model calls, kept by one statement for any number of concurrent requests.

use db::schedules::{self, Allowance, LlmReservation};
use ledger_core::{BotId, Money};
use test_kit::Arena;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A bot in the schedule.
async fn scheduled(arena: &Arena) -> BotId {
    let bot = arena.bot().hosted().create().await.id;
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot, 3_600).await.unwrap();
    bot
}

async fn reserve(arena: &Arena, bot: BotId, usd: &str, cap: &str) -> Allowance {
    let mut conn = arena.conn().await;
    schedules::reserve_llm(&mut conn, bot, money(usd), money(cap)).await.unwrap()
}

fn granted(allowance: Allowance) -> LlmReservation {
    match allowance {
        Allowance::Granted(reservation) => reservation,
        Allowance::Refused { day } => panic!("refused on {day}"),
    }
}

fn is_refused(allowance: Allowance) -> bool {
    matches!(allowance, Allowance::Refused { .. })
}

async fn spent(arena: &Arena, bot: BotId) -> Option<Money> {
    let ask = "SELECT llm_usd::text FROM bot_schedules WHERE bot_id = $1 AND llm_day IS NOT NULL";
    let row = arena.owner_client().await.query_opt(ask, &[&bot.0]).await.unwrap();
    row.map(|row| money(row.get(0)))
}

/// Lets the bot's day of spending be that many days before today.
async fn days_ago(arena: &Arena, days: i32) {
    let owner = arena.owner_client().await;
    let sql = "UPDATE bot_schedules \
                  SET llm_day = (clock_timestamp() AT TIME ZONE 'UTC')::date - $1::integer";
    owner.execute(sql, &[&days]).await.unwrap();
}

#[tokio::test]
async fn reservations_add_up_to_the_cap_and_not_beyond() {
    let arena = Arena::new().await;
    let bot = scheduled(&arena).await;
    assert_eq!(spent(&arena, bot).await, None);
    granted(reserve(&arena, bot, "0.60", "1.00").await);
    assert!(is_refused(reserve(&arena, bot, "0.40000001", "1.00").await));
    granted(reserve(&arena, bot, "0.40", "1.00").await);
    assert!(is_refused(reserve(&arena, bot, "0.00000001", "1.00").await));
    granted(reserve(&arena, bot, "0", "1.00").await);
    assert_eq!(spent(&arena, bot).await, Some(money("1.00")));
}

#[tokio::test]
async fn the_real_cost_takes_the_reservations_place() {
    let arena = Arena::new().await;
    let bot = scheduled(&arena).await;
    let one = granted(reserve(&arena, bot, "0.50", "1.00").await);
    // The runner of this one never reports the cost: the reserved amount stays.
    granted(reserve(&arena, bot, "0.10", "1.00").await);
    let mut conn = arena.conn().await;
    let settled = schedules::settle_llm(&mut conn, &one, money("0.00012345")).await;
    assert!(settled.unwrap());
    assert_eq!(spent(&arena, bot).await, Some(money("0.10012345")));
    // A call that cost more than was thought possible counts in full.
    let more = granted(reserve(&arena, bot, "0.10", "1.00").await);
    let settled = schedules::settle_llm(&mut conn, &more, money("5.00")).await;
    assert!(settled.unwrap());
    assert_eq!(spent(&arena, bot).await, Some(money("5.10012345")));
    assert!(is_refused(reserve(&arena, bot, "0", "1.00").await));
}

#[tokio::test]
async fn a_new_day_begins_at_nothing_and_is_not_charged_for_the_old_one() {
    let arena = Arena::new().await;
    let bot = scheduled(&arena).await;
    let old = granted(reserve(&arena, bot, "1.00", "1.00").await);
    assert!(is_refused(reserve(&arena, bot, "0.50", "1.00").await));
    days_ago(&arena, 1).await;
    let new = granted(reserve(&arena, bot, "0.50", "1.00").await);
    assert_eq!(spent(&arena, bot).await, Some(money("0.50")));
    assert_eq!(old.day, new.day, "the row's day was moved, not the clock");
    // Now the row is of another day than both reservations.
    days_ago(&arena, 2).await;
    let mut conn = arena.conn().await;
    assert!(!schedules::settle_llm(&mut conn, &old, Money::ZERO).await.unwrap());
    assert_eq!(spent(&arena, bot).await, Some(money("0.50")));
}

#[tokio::test]
async fn a_day_never_goes_back() {
    let arena = Arena::new().await;
    let bot = scheduled(&arena).await;
    granted(reserve(&arena, bot, "0.80", "1.00").await);
    // As for a statement that waited past midnight for another one's commit.
    days_ago(&arena, -1).await;
    assert!(is_refused(reserve(&arena, bot, "0.30", "1.00").await));
    let later = granted(reserve(&arena, bot, "0.20", "1.00").await);
    let ask = "SELECT llm_day::text FROM bot_schedules WHERE bot_id = $1";
    let row = arena.owner_client().await.query_one(ask, &[&bot.0]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), later.day.to_string());
    assert_eq!(spent(&arena, bot).await, Some(money("1.00")));
}

#[tokio::test]
async fn of_many_who_reach_for_the_last_cent_one_gets_it() {
    let arena = Arena::with_pool(16).await;
    let bot = scheduled(&arena).await;
    granted(reserve(&arena, bot, "0.99", "1.00").await);
    let mut runners = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let database = arena.database().clone();
        runners.spawn(async move {
            let mut conn = database.get().await.unwrap();
            schedules::reserve_llm(&mut conn, bot, money("0.01"), money("1.00")).await.unwrap()
        });
    }
    let mut winners = 0;
    while let Some(allowance) = runners.join_next().await {
        winners += usize::from(!is_refused(allowance.unwrap()));
    }
    assert_eq!(winners, 1);
    assert_eq!(spent(&arena, bot).await, Some(money("1.00")));
}

#[tokio::test]
async fn each_bot_has_a_cap_of_its_own_and_a_stranger_has_none() {
    let arena = Arena::new().await;
    let (one, other) = (scheduled(&arena).await, scheduled(&arena).await);
    granted(reserve(&arena, one, "1.00", "1.00").await);
    granted(reserve(&arena, other, "1.00", "1.00").await);
    assert!(is_refused(reserve(&arena, BotId(404), "0", "1.00").await));
}
