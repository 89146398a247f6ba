//! Markets from opening to payment: money, refusals, crashes and repeated calls.

mod board;
mod races;
mod research;

use db::error::Conflict;
use db::markets::{
    self, Deadline, MarketFilter, NewMarket, Opener, Recorded, SettledMarket, VoidBy,
};
use db::{DbError, bots};
use ledger_core::economy::{AnswerResult, EconomyRules, Lookup, MarketRules};
use ledger_core::market::{BetState, MarketSource, MarketStatus, Side};
use ledger_core::sources::news::headlines_between;
use ledger_core::{BotId, Enforcement, MarketId, Money, Refusal};
use test_kit::Arena;
use test_kit::market::{RIGHT_ANSWER, evidence, new_answer, new_bet, new_market, slip};

async fn balance(arena: &Arena, bot: BotId) -> String {
    let found = bots::find(&mut *arena.conn().await, &bots::BotRef::Id(bot)).await;
    found.unwrap().balance.to_string()
}

async fn settle(arena: &Arena, id: MarketId) -> Option<SettledMarket> {
    markets::settle(&mut *arena.conn().await, id).await.unwrap()
}

async fn find(arena: &Arena, id: MarketId) -> markets::Market {
    markets::find(&mut *arena.conn().await, id).await.unwrap()
}

async fn refusal(arena: &Arena, bot: BotId, bets: Vec<markets::NewBet>) -> Refusal {
    let (mut conn, slip) = (arena.conn().await, slip(bot, bets));
    match markets::place(&mut conn, &slip, arena.rules(), None).await {
        Err(DbError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn count(arena: &Arena, query: &str) -> i64 {
    let owner = arena.owner_client().await;
    owner.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_market_pays_its_pool_to_the_last_unit_and_once() {
    let arena = Arena::new().await;
    let mut bots = Vec::new();
    for _ in 0..4 {
        bots.push(arena.bot().balance("100.00").create().await.id);
    }
    let market = arena.market(MarketSource::News).await;
    arena.bet(bots[0], market.id, Side::Yes, "1.00").await;
    arena.bet(bots[1], market.id, Side::Yes, "2.00").await;
    arena.bet(bots[2], market.id, Side::No, "4.00").await;
    arena.bet(bots[3], market.id, Side::Yes, "0.01").await;
    let open = find(&arena, market.id).await;
    assert_eq!((open.bets, open.pool().to_string()), (4, "12.01000000".to_owned()));
    arena.assert_sound().await;
    assert_eq!(settle(&arena, market.id).await, None, "it is open");
    arena.lock_market(market.id).await;
    assert_eq!(settle(&arena, market.id).await, None, "nothing decides it");
    arena.decide(market.id, Side::Yes).await;
    let settled = settle(&arena, market.id).await.unwrap();
    assert_eq!(
        (settled.market.status, settled.paid, settled.bets),
        (MarketStatus::Resolved, true, 4)
    );
    // 12.01 shared 1.00 : 2.00 : 0.01.
    assert_eq!(balance(&arena, bots[0]).await, "102.99003322");
    assert_eq!(balance(&arena, bots[1]).await, "105.98006645");
    assert_eq!(balance(&arena, bots[2]).await, "96.00000000");
    assert_eq!(balance(&arena, bots[3]).await, "100.02990033");
    arena.assert_sound().await;
    assert_eq!(settle(&arena, market.id).await, None, "it is settled");
    let resolved = find(&arena, market.id).await;
    assert_eq!(resolved.outcome.as_deref(), Some("YES"));
    let bets = markets::bets_page(&mut *arena.conn().await, market.id, None, 10).await.unwrap();
    let states: Vec<_> = bets.iter().map(|bet| bet.state).collect();
    assert_eq!(states, [BetState::Won, BetState::Lost, BetState::Won, BetState::Won]);
    assert_eq!(bets[1].brier.unwrap().to_string(), "0.49000000");
    assert_eq!(bets[0].brier.unwrap().to_string(), "0.09000000");
    let census = db::supply::census(&mut *arena.conn().await).await.unwrap();
    assert_eq!((census.supply.escrow, census.supply.drift()), (0, 0));
    // The bounty was minted as it was paid, and no more.
    assert_eq!(census.supply.minted, 405 * 100_000_000);
    for (table, rows) in [
        ("posts WHERE kind = 'BET'", 4),
        ("posts WHERE kind = 'SETTLEMENT'", 4),
        ("ledger WHERE entry_type = 'MARKET_PAYOUT'", 3),
        ("ledger WHERE entry_type = 'SLASH'", 1),
        ("audit_log WHERE action = 'BET'", 4),
        ("events WHERE kind = 'market' AND data->>'status' = 'LOCKED'", 1),
    ] {
        assert_eq!(count(&arena, &format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
}

#[tokio::test]
async fn nobody_right_or_void_means_stakes_back_and_no_bounty() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let wrong = arena.market(MarketSource::Github).await;
    let void = arena.market(MarketSource::Weather).await;
    arena.bet(bot, wrong.id, Side::Yes, "2.00").await;
    arena.bet(bot, void.id, Side::Yes, "3.00").await;
    assert_eq!(balance(&arena, bot).await, "5.00000000");
    arena.lock_market(wrong.id).await;
    arena.decide(wrong.id, Side::No).await;
    let settled = settle(&arena, wrong.id).await.unwrap();
    assert_eq!((settled.market.status, settled.paid), (MarketStatus::Resolved, false));
    let operator = "mia".parse().unwrap();
    let by = VoidBy::Operator(&operator);
    let mut conn = arena.conn().await;
    let called_off = markets::void(&mut conn, void.id, "the city moved", by, None).await.unwrap();
    assert_eq!((called_off.market.status, called_off.paid), (MarketStatus::Void, false));
    assert_eq!(balance(&arena, bot).await, "10.00000000");
    arena.assert_sound().await;
    // A settled market does not change.
    for id in [wrong.id, void.id] {
        let again = markets::void(&mut conn, id, "again", by, None).await;
        assert!(matches!(again, Err(DbError::Refused(Refusal::MarketSettled { .. }))), "{again:?}");
    }
    assert_eq!(find(&arena, void.id).await.void_reason.as_deref(), Some("the city moved"));
    let audited = "SELECT count(*) FROM audit_log WHERE action = 'MARKET_VOID' AND actor = 'mia'";
    assert_eq!(count(&arena, audited).await, 1);
}

#[tokio::test]
async fn the_dead_forfeit_to_the_winners_or_to_the_house() {
    let arena = Arena::new().await;
    let winner = arena.bot().balance("100.00").create().await.id;
    let dead = arena.bot().balance("10.30").create().await.id;
    let paid = arena.market(MarketSource::News).await;
    let refunded = arena.market(MarketSource::Github).await;
    for market in [&paid, &refunded] {
        arena.bet(winner, market.id, Side::Yes, "5.00").await;
        arena.bet(dead, market.id, Side::Yes, "5.00").await;
    }
    // 0.30 is left, and the rent is 0.50, open positions or not.
    arena.tick(Enforcement::Enforce).await;
    arena.lock_market(paid.id).await;
    arena.decide(paid.id, Side::Yes).await;
    assert!(settle(&arena, paid.id).await.unwrap().paid);
    arena.lock_market(refunded.id).await;
    arena.decide(refunded.id, Side::No).await;
    assert!(!settle(&arena, refunded.id).await.unwrap().paid);
    // 100 − 10 − 0.50 rent + (5 + 5 + 5 bounty) + 5 back.
    assert_eq!(balance(&arena, winner).await, "109.50000000");
    assert_eq!(balance(&arena, dead).await, "0.00000000");
    arena.assert_sound().await;
    let census = db::supply::census(&mut *arena.conn().await).await.unwrap();
    // Grants and one bounty; rent, what was drained, and the forfeit of the refunded market.
    assert_eq!(census.supply.minted, (11_030 + 500) * 1_000_000);
    assert_eq!(census.supply.burned, (50 + 30 + 500) * 1_000_000);
}

#[tokio::test]
async fn bets_that_break_a_rule_write_nothing() {
    let arena = Arena::new().await;
    let dead = arena.bot().dead().create().await.id;
    let bot = arena.bot().balance("10.00").create().await.id;
    let open = arena.market(MarketSource::News).await;
    let closed = arena.market(MarketSource::Weather).await;
    let research = arena.market(MarketSource::Research).await;
    // Past half-way to the deadline, and not locked.
    arena.age_market(closed.id, 1_000).await;
    arena.bet(bot, open.id, Side::Yes, "1.00").await;
    let one = |id, stake| vec![new_bet(id, Side::No, stake)];
    let nowhere = MarketId(uuid::Uuid::new_v4());
    let other = arena.market(MarketSource::Github).await;
    type Expected = fn(&Refusal) -> bool;
    let cases: [(BotId, Vec<markets::NewBet>, Expected); 8] = [
        (dead, one(other.id, "1.00"), |r| matches!(r, Refusal::NotAlive { .. })),
        (bot, one(open.id, "1.00"), |r| matches!(r, Refusal::AlreadyIn { .. })),
        (bot, one(closed.id, "1.00"), |r| matches!(r, Refusal::BetsClosed { .. })),
        (bot, one(research.id, "1.00"), |r| matches!(r, Refusal::WrongKind { .. })),
        (bot, one(nowhere, "1.00"), |r| matches!(r, Refusal::NoSuchMarket { .. })),
        (bot, one(other.id, "9.01"), |r| matches!(r, Refusal::InsufficientFunds { .. })),
        // The second of two does not fit what the first leaves.
        (
            bot,
            vec![new_bet(other.id, Side::Yes, "5.00"), new_bet(open.id, Side::Yes, "5.00")],
            |r| matches!(r, Refusal::AlreadyIn { .. }),
        ),
        (
            bot,
            vec![new_bet(other.id, Side::Yes, "5.00"), new_bet(closed.id, Side::Yes, "1.00")],
            |r| matches!(r, Refusal::BetsClosed { .. }),
        ),
    ];
    for (place, (who, bets, expected)) in cases.into_iter().enumerate() {
        let found = refusal(&arena, who, bets).await;
        assert!(expected(&found), "case {place}: {found:?}");
    }
    assert_eq!(balance(&arena, bot).await, "9.00000000");
    assert_eq!(count(&arena, "SELECT count(*) FROM bets").await, 1);
    assert_eq!(find(&arena, other.id).await.bets, 0);
    arena.lock_market(other.id).await;
    let found = refusal(&arena, bot, one(other.id, "1.00")).await;
    assert!(matches!(found, Refusal::MarketNotOpen { status: MarketStatus::Locked, .. }));
    let tiny = EconomyRules {
        markets: MarketRules { pool_max: "6.50".parse().unwrap(), ..MarketRules::default() },
        ..arena.rules().clone()
    };
    let another = arena.bot().create().await.id;
    let too_much = slip(another, one(open.id, "0.51"));
    let placed = markets::place(&mut *arena.conn().await, &too_much, &tiny, None).await;
    assert!(matches!(placed, Err(DbError::Refused(Refusal::PoolLimit { .. }))), "{placed:?}");
    arena.assert_sound().await;
}

#[tokio::test]
async fn several_bets_are_placed_together_or_not_at_all() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("10.00").create().await.id;
    let (a, b) = (arena.market(MarketSource::News).await, arena.market(MarketSource::Github).await);
    let both = slip(bot, vec![new_bet(a.id, Side::Yes, "4.00"), new_bet(b.id, Side::No, "6.00")]);
    let placed =
        markets::place(&mut *arena.conn().await, &both, arena.rules(), None).await.unwrap();
    assert_eq!(placed.new_balance, Money::ZERO);
    assert_eq!(placed.bets[0].market_id, a.id);
    assert_eq!(placed.bets[1].side, Some(Side::No));
    assert_eq!(count(&arena, "SELECT count(*) FROM audit_log WHERE action = 'BET'").await, 1);
    let other = arena.bot().balance("10.00").create().await.id;
    let bets = vec![new_bet(a.id, Side::Yes, "4.00"), new_bet(b.id, Side::No, "6.01")];
    let refused = refusal(&arena, other, bets).await;
    assert!(matches!(refused, Refusal::InsufficientFunds { .. }), "{refused:?}");
    assert_eq!(balance(&arena, other).await, "10.00000000");
    arena.assert_sound().await;
}

#[tokio::test]
async fn evidence_decides_once_and_failures_are_kept_and_put_off() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bot, market, Side::No, "1.00").await;
    arena.lock_market(market).await;
    let mut conn = arena.conn().await;
    let failed = evidence(arena.now().await, None);
    let due = markets::due(&mut conn, &[], 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(
        markets::record(&mut conn, market, &failed, None).await.unwrap(),
        Recorded::Undecided
    );
    assert_eq!(markets::due(&mut conn, &[], 10).await.unwrap(), [], "it is put off");
    assert_eq!(find(&arena, market).await.attempts, 1);
    // Two oracles read two things: the first decides, the second changes nothing.
    arena.decide(market, Side::No).await;
    arena.decide(market, Side::Yes).await;
    let kept = markets::evidence_of(&mut conn, market).await.unwrap();
    assert_eq!(kept.len(), 2);
    let settled = settle(&arena, market).await.unwrap();
    assert_eq!(settled.market.outcome.as_deref(), Some("NO"));
    assert_eq!(markets::record(&mut conn, market, &failed, None).await.unwrap(), Recorded::Settled);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_market_opens_under_the_present_rule_and_its_question_says_it() {
    let arena = Arena::new().await;
    // The request names no rule, like an operator's may.
    let market = arena.market(MarketSource::News).await;
    let kept = serde_json::to_value(&market.criteria).unwrap();
    assert_eq!(kept["published"], "AFTER_BETS_CLOSE");
    assert_eq!(market.description, market.criteria.question(&market.times()));
    let (after, _) = headlines_between(&market.times());
    let words = after.datetime().format("published after %Y-%m-%d %H:%M:%S UTC and by ");
    assert!(market.description.contains(&words.to_string()), "{}", market.description);
    // An earlier market keeps its criteria.
    let owner = arena.owner_client().await;
    let old = "UPDATE markets SET criteria = criteria - 'published' WHERE id = $1";
    owner.execute(old, &[&market.id.0]).await.unwrap();
    let kept = serde_json::to_value(find(&arena, market.id).await.criteria).unwrap();
    assert_eq!(kept.get("published"), None);
}

/// A question so many seconds after the last one that decides nothing.
async fn ask_in_vain(arena: &Arena, market: MarketId, seconds: i64) {
    arena.age_market(market, seconds).await;
    let failed = evidence(arena.now().await, None);
    let recorded = markets::record(&mut *arena.conn().await, market, &failed, None).await;
    assert_eq!(recorded.unwrap(), Recorded::Undecided);
}

/// The result of giving a market up with these rules in force.
async fn give_up(
    arena: &Arena,
    market: MarketId,
    in_force: &EconomyRules,
) -> Result<MarketStatus, DbError> {
    let reason = "its source did not answer within 6 hours";
    let by = VoidBy::Patience(in_force);
    let void = markets::void(&mut *arena.conn().await, market, reason, by, None).await;
    void.map(|void| void.market.status)
}

async fn assert_not_given_up(arena: &Arena, market: MarketId, why: &str) {
    let early = give_up(arena, market, arena.rules()).await;
    assert!(matches!(early, Err(DbError::Refused(_))), "{why}: {early:?}");
}

#[tokio::test]
async fn patience_ends_in_void_and_not_before() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::Github).await.id;
    arena.bet(bot, market, Side::No, "1.00").await;
    arena.lock_market(market).await;
    arena.age_market(market, 6 * 3_600 + 1).await;
    assert_not_given_up(&arena, market, "time alone, nobody was asked").await;
    for _ in 0..11 {
        ask_in_vain(&arena, market, 300).await;
    }
    assert_not_given_up(&arena, market, "asked in quick succession for 3,000 s").await;
    arena.age_market(market, 6 * 3_600).await;
    assert_not_given_up(&arena, market, "nobody asked for six hours").await;
    ask_in_vain(&arena, market, 0).await;
    assert_not_given_up(&arena, market, "they count as 1,800 s").await;
    for asked_for in (4_800..21_600).step_by(1_800) {
        ask_in_vain(&arena, market, 1_750).await;
        if asked_for + 1_800 < 21_600 {
            assert_not_given_up(&arena, market, &asked_for.to_string()).await;
        }
    }
    ask_in_vain(&arena, market, 1_750).await;
    arena.age_market(market, 1_801).await;
    let silent = [MarketSource::Github];
    let mut conn = arena.conn().await;
    let due = markets::due(&mut conn, &silent, 10).await.unwrap();
    assert_eq!(due, [], "it is asked once more, when it may be asked");
    let due = markets::due(&mut conn, &[], 10).await.unwrap();
    assert_eq!(due, [market]);
    assert_not_given_up(&arena, market, "it was not asked just now").await;
    ask_in_vain(&arena, market, 0).await;
    let ended = give_up(&arena, market, arena.rules()).await;
    assert_eq!(ended.unwrap(), MarketStatus::Void);
    assert_eq!(balance(&arena, bot).await, "1000.00000000");
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_market_is_void_by_the_patience_it_was_opened_with_and_after_ten_questions() {
    let long = EconomyRules::default();
    let short = EconomyRules {
        markets: MarketRules { settle_patience_seconds: 3_600, ..long.markets.clone() },
        ..long.clone()
    };
    let arena = Arena::new().await;
    let patient = arena.market(MarketSource::Github).await.id;
    let arena = arena.with_rules(short.clone());
    let hasty = arena.market(MarketSource::Github).await.id;
    arena.lock_market(patient).await;
    arena.lock_market(hasty).await;
    for asked in 1..=10 {
        for market in [patient, hasty] {
            ask_in_vain(&arena, market, 900).await;
        }
        if asked < 10 {
            assert_not_given_up(&arena, hasty, &asked.to_string()).await;
        }
    }
    let early = give_up(&arena, patient, &short).await;
    assert!(matches!(early, Err(DbError::Refused(_))), "{early:?}");
    let ended = give_up(&arena, hasty, &long).await;
    assert_eq!(ended.unwrap(), MarketStatus::Void);
}

#[tokio::test]
async fn postgres_itself_keeps_what_is_settled() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id;
    let market = arena.market(MarketSource::Research).await.id;
    markets::answer(
        &mut *arena.conn().await,
        &new_answer(bot, market, RIGHT_ANSWER),
        arena.rules(),
        None,
    )
    .await
    .unwrap();
    let owner = arena.owner_client().await;
    for forbidden in [
        "UPDATE markets SET bounty = 1000",
        "UPDATE markets SET status = 'OPEN', outcome = NULL, resolved_at = NULL",
        "DELETE FROM markets",
        "UPDATE bets SET payout = 1000",
        "DELETE FROM bets",
        "TRUNCATE evidence",
    ] {
        assert!(owner.batch_execute(forbidden).await.is_err(), "{forbidden}");
    }
    let app = test_kit::connect(&arena.database_url()).await;
    for forbidden in [
        "UPDATE markets SET criteria = '{}'",
        "UPDATE bets SET stake = 1",
        "UPDATE evidence SET body = ''",
    ] {
        let refused = app.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "42501", "{forbidden}");
    }
}
