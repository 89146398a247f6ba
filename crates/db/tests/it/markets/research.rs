//! Research: answers are judged, paid and closed at once.

use super::*;
use db::pauses::{self, Wanted};

#[tokio::test]
async fn research_is_judged_paid_and_closed_at_once() {
    let arena = Arena::new().await;
    let [wrong, right, late] = [
        arena.bot().balance("10.00").create().await.id,
        arena.bot().balance("10.00").create().await.id,
        arena.bot().balance("10.00").create().await.id,
    ];
    let market = arena.market(MarketSource::Research).await.id;
    let mut conn = arena.conn().await;
    let mut miss = new_answer(wrong, market, "737");
    miss.lookup = Lookup::Used;
    let missed = markets::answer(&mut conn, &miss, arena.rules(), None).await.unwrap();
    assert_eq!(
        (missed.result, missed.new_balance.to_string()),
        (AnswerResult::Wrong, "8.50000000".to_owned())
    );
    assert_eq!(find(&arena, market).await.status, MarketStatus::Open);
    let again =
        markets::answer(&mut conn, &new_answer(wrong, market, RIGHT_ANSWER), arena.rules(), None)
            .await;
    assert!(matches!(again, Err(DbError::Refused(Refusal::AlreadyIn { .. }))), "{again:?}");
    let mut hit = new_answer(right, market, " 736\n");
    hit.lookup = Lookup::Used;
    let solved = markets::answer(&mut conn, &hit, arena.rules(), None).await.unwrap();
    assert_eq!(solved.result, AnswerResult::Correct);
    assert_eq!(solved.payout.to_string(), "26.00000000");
    assert_eq!(solved.new_balance.to_string(), "34.50000000");
    let closed = find(&arena, market).await;
    assert_eq!((closed.status, closed.outcome.as_deref()), (MarketStatus::Resolved, Some("736")));
    let after =
        markets::answer(&mut conn, &new_answer(late, market, RIGHT_ANSWER), arena.rules(), None)
            .await;
    assert!(matches!(after, Err(DbError::Refused(Refusal::MarketNotOpen { .. }))), "{after:?}");
    let entries = "SELECT count(*) FROM ledger WHERE entry_type IN ('MARKET_STAKE', 'RESEARCH_LOOKUP_FEE', 'RESEARCH_PAYOUT', 'SLASH')";
    assert_eq!(count(&arena, entries).await, 6);
    arena.assert_sound().await;
    let census = db::supply::census(&mut *arena.conn().await).await.unwrap();
    assert_eq!(census.supply.escrow, 0);
}

#[tokio::test]
async fn one_answer_a_tick_and_only_with_the_means_for_it() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("3.00").create().await.id;
    let (a, b) = (
        arena.market(MarketSource::Research).await.id,
        arena.market(MarketSource::Research).await.id,
    );
    let mut conn = arena.conn().await;
    markets::answer(&mut conn, &new_answer(bot, a, "1"), arena.rules(), None).await.unwrap();
    let second = markets::answer(&mut conn, &new_answer(bot, b, "1"), arena.rules(), None).await;
    assert!(matches!(second, Err(DbError::Refused(Refusal::AnsweredThisTick))), "{second:?}");
    arena.tick(Enforcement::Observe).await;
    let mut dear = new_answer(bot, b, "1");
    dear.lookup = Lookup::Used;
    let poor = arena.bot().balance("1.49").create().await.id;
    let mut too_dear = new_answer(poor, b, "1");
    too_dear.lookup = Lookup::Used;
    let refused = markets::answer(&mut conn, &too_dear, arena.rules(), None).await;
    assert!(
        matches!(refused, Err(DbError::Refused(Refusal::AnswerUnaffordable { .. }))),
        "{refused:?}"
    );
    let taken = markets::answer(&mut conn, &dear, arena.rules(), None).await.unwrap();
    assert_eq!(taken.new_balance.to_string(), "0.50000000");
    arena.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_right_answers_at_once_exactly_one_is_paid() {
    let arena = Arena::with_pool(24).await;
    let market = arena.market(MarketSource::Research).await.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let bot = arena.bot().balance("10.00").create().await.id;
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        tasks.spawn(async move {
            let new = new_answer(bot, market, RIGHT_ANSWER);
            markets::answer(&mut database.get().await.unwrap(), &new, &rules, None).await
        });
    }
    let outcomes = tasks.join_all().await;
    let paid = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(paid, 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(refused, DbError::Refused(Refusal::MarketNotOpen { .. })), "{refused}");
    }
    assert_eq!(
        count(&arena, "SELECT count(*) FROM ledger WHERE entry_type = 'RESEARCH_PAYOUT'").await,
        1
    );
    arena.assert_sound().await;
}

#[tokio::test]
async fn unsolved_research_expires_and_bet_markets_do_not() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let research = arena.market(MarketSource::Research).await.id;
    let news = arena.market(MarketSource::News).await.id;
    let mut conn = arena.conn().await;
    markets::answer(&mut conn, &new_answer(bot, research, "1"), arena.rules(), None).await.unwrap();
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), []);
    for id in [research, news] {
        arena.age_market(id, 3_600).await;
    }
    let late =
        markets::answer(&mut conn, &new_answer(bot, research, RIGHT_ANSWER), arena.rules(), None)
            .await;
    assert!(late.is_err());
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), [research]);
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), []);
    assert_eq!(markets::lock_due(&mut conn).await.unwrap(), [news]);
    assert_eq!(find(&arena, research).await.status, MarketStatus::Expired);
    let operator = "ops".parse().unwrap();
    let void =
        markets::void(&mut conn, research, "why not", VoidBy::Operator(&operator), None).await;
    assert!(matches!(void, Err(DbError::Refused(Refusal::MarketSettled { .. }))));
    assert_eq!(balance(&arena, bot).await, "9.00000000");
    arena.assert_sound().await;
}

/// Lets so many seconds pass for a market, and for what pauses it or the arena.
async fn pass(arena: &Arena, market: MarketId, seconds: i64) {
    arena.age_market(market, seconds).await;
    let owner = arena.owner_client().await;
    let shift = "make_interval(secs => $1::bigint)";
    for table in ["arena_pause", "markets"] {
        let moved = format!(
            "UPDATE {table} SET paused_at = paused_at - {shift} WHERE paused_at IS NOT NULL"
        );
        owner.execute(&moved, &[&seconds]).await.unwrap();
    }
}

async fn left(arena: &Arena, market: MarketId) -> i64 {
    let found = find(arena, market).await;
    assert_eq!(found.bets_close_at, found.deadline);
    found.deadline.seconds_since(arena.now().await)
}

#[tokio::test]
async fn during_a_pause_of_the_arena_the_time_of_research_stands_still() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::Research).await.id;
    let over = arena.market(MarketSource::Research).await.id;
    let weather = arena.market(MarketSource::Weather).await;
    let at_first = left(&arena, market).await;
    arena.age_market(over, at_first + 60).await;
    let (mut conn, who) = (arena.conn().await, "mia".parse().unwrap());
    pauses::pause_arena(&mut conn, &who, "a test", None).await.unwrap();
    // Research that was over before ends; the rest does not, for any length of pause.
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), [over]);
    pass(&arena, market, 100_000).await;
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), []);
    assert!(left(&arena, market).await < 0);
    pauses::resume_arena(&mut conn, &who, "go on", None).await.unwrap();
    let again = pauses::resume_arena(&mut conn, &who, "go on", None).await.unwrap();
    assert!(!again.changed);
    let now_left = left(&arena, market).await;
    assert!((at_first - 60..=at_first).contains(&now_left), "{now_left}");
    assert_eq!(markets::expire_due(&mut conn).await.unwrap(), []);
    // Events are sent for all, and the others keep their times.
    let told = format!(
        "SELECT count(*) FROM events WHERE kind = 'market' AND data->>'id' = '{market}' \
            AND (data->>'deadline')::timestamptz > clock_timestamp()"
    );
    assert_eq!(count(&arena, &told).await, 2, "at the opening and at the resumption");
    assert_eq!(find(&arena, weather.id).await.deadline, weather.deadline);
    let right = new_answer(bot, market, RIGHT_ANSWER);
    let solved = markets::answer(&mut conn, &right, arena.rules(), None).await.unwrap();
    assert_eq!(solved.result, AnswerResult::Correct);
    arena.assert_sound().await;
}

#[tokio::test]
async fn pauses_that_overlap_count_each_instant_once() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let (mut conn, who) = (arena.conn().await, "mia".parse().unwrap());
    // Whether the market's pause ends before the arena's.
    for market_first in [true, false] {
        let market = arena.market(MarketSource::Research).await.id;
        let at_first = left(&arena, market).await;
        pauses::set_market(&mut conn, market, Wanted::Paused, &who, "a test", None).await.unwrap();
        pass(&arena, market, 50_000).await;
        // Not closed, but paused.
        let refused =
            markets::answer(&mut conn, &new_answer(bot, market, "1"), arena.rules(), None).await;
        assert!(
            matches!(refused, Err(DbError::Refused(Refusal::MarketPaused { .. }))),
            "{refused:?}"
        );
        pauses::pause_arena(&mut conn, &who, "a test", None).await.unwrap();
        pass(&arena, market, 30_000).await;
        if market_first {
            pauses::set_market(&mut conn, market, Wanted::Running, &who, "on", None).await.unwrap();
        } else {
            pauses::resume_arena(&mut conn, &who, "on", None).await.unwrap();
        }
        pass(&arena, market, 20_000).await;
        assert_eq!(markets::expire_due(&mut conn).await.unwrap(), []);
        if market_first {
            pauses::resume_arena(&mut conn, &who, "on", None).await.unwrap();
        } else {
            let resumed = pauses::set_market(&mut conn, market, Wanted::Running, &who, "on", None)
                .await
                .unwrap();
            assert_eq!(resumed.subject, find(&arena, market).await);
        }
        let now_left = left(&arena, market).await;
        assert!((at_first - 60..=at_first).contains(&now_left), "{market_first}: {now_left}");
    }
    arena.assert_sound().await;
}

/// Moves a bot's only entry so many seconds ahead, as if Postgres' clock had been set back since.
async fn move_head_ahead(arena: &Arena, bot: BotId, seconds: i64) {
    let page = db::ledger::page(&mut *arena.conn().await, bot, None, 2).await;
    let mut entry = page.unwrap().pop().unwrap();
    assert_eq!(entry.sequence, 1);
    entry.recorded_at = arena.now().await.plus_seconds(seconds);
    let hash = entry.compute_hash(&mut Vec::new());
    let ahead = format!(
        "SET session_replication_role = replica; \
         UPDATE ledger SET recorded_at = '{at}', hash = '\\x{hash}' WHERE bot_id = {bot}; \
         UPDATE wallets SET head_at = '{at}', head_hash = '\\x{hash}' WHERE bot_id = {bot}",
        at = entry.recorded_at
    );
    let owner = arena.owner_client().await;
    owner.batch_execute(&ahead).await.unwrap();
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_clock_set_back_makes_no_fault_of_a_sound_bet_or_answer() {
    let arena = Arena::new().await;
    let late = arena.bot().create().await.id;
    let early = arena.bot().create().await.id;
    let other = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    let research = arena.market(MarketSource::Research).await.id;
    let times = find(&arena, market).await.times();
    let now = arena.now().await;
    // Its bets have its chain's time: too late for both.
    move_head_ahead(&arena, late, times.bets_close_at.seconds_since(now) + 5).await;
    let refused = refusal(&arena, late, vec![new_bet(market, Side::Yes, "1.00")]).await;
    assert!(matches!(refused, Refusal::BetsClosed { .. }), "{refused:?}");
    let mut conn = arena.conn().await;
    let answer = new_answer(late, research, "1");
    let refused = markets::answer(&mut conn, &answer, arena.rules(), None).await;
    assert!(matches!(refused, Err(DbError::Refused(Refusal::BetsClosed { .. }))), "{refused:?}");
    // In time, and yet after both are ended by others.
    move_head_ahead(&arena, early, 200).await;
    arena.bet(early, market, Side::Yes, "1.00").await;
    let answer = new_answer(early, research, "1");
    markets::answer(&mut conn, &answer, arena.rules(), None).await.unwrap();
    let answer = new_answer(other, research, RIGHT_ANSWER);
    markets::answer(&mut conn, &answer, arena.rules(), None).await.unwrap();
    let operator = "ops".parse().unwrap();
    let by = VoidBy::Operator(&operator);
    markets::void(&mut conn, market, "a test", by, None).await.unwrap();
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_clock_set_back_makes_no_fault_of_a_sound_market() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bot, market, Side::Yes, "1.00").await;
    arena.lock_market(market).await;
    arena.decide(market, Side::Yes).await;
    let owner = arena.owner_client().await;
    let ahead = "SET session_replication_role = replica; \
                 UPDATE evidence SET fetched_at = fetched_at + interval '1 hour'";
    owner.batch_execute(ahead).await.unwrap();
    assert!(super::settle(&arena, market).await.is_some());
    let ask =
        "SELECT m.resolved_at >= e.fetched_at FROM markets m, evidence e WHERE e.market_id = m.id";
    let row = owner.query_one(ask, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0), "it ends when it was decided, or later");
}
