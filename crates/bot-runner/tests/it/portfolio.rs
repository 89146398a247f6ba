//! For any picks of a model, the stakes stay inside every limit.

use arena_client::api_types::{Economy, Market};
use bot_runner::decision::Unusable;
use bot_runner::portfolio::{BETS_MAX, Pick, Purse, Stake, allot, read};
use ledger_core::market::Side;
use ledger_core::{Confidence, Decimal8, MarketId, Money};
use proptest::prelude::*;
use uuid::Uuid;

use crate::arena::{NEWS, QUESTION, RAIN, STARS, State, economy, market};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn decimal(text: &str) -> Decimal8 {
    text.parse().unwrap()
}

fn purse(balance: &str) -> Purse {
    Purse {
        balance: money(balance),
        fee: money("0.50"),
        stake_min: money("0.01"),
        bets_max: BETS_MAX,
    }
}

fn pick(number: u128, confidence: &str) -> Pick {
    Pick {
        market: MarketId(Uuid::from_u128(number)),
        side: Side::Yes,
        confidence: confidence.parse().unwrap(),
        room: money("1000000"),
        reasoning: None,
    }
}

fn stakes(picks: Vec<Pick>, purse: &Purse) -> Vec<String> {
    let stakes = allot(picks, purse);
    stakes.iter().map(|it| it.stake.to_string()).collect()
}

#[test]
fn a_stake_is_balance_times_confidence_times_fifteen_hundredths_in_whole_cents() {
    // 123.45 × 0.77 × 0.15 = 14.258475
    assert_eq!(stakes(vec![pick(1, "0.77")], &purse("123.45")), ["14.25000000"]);
    // 100 × 0.6666 × 0.15 = 9.999: down, never up.
    assert_eq!(stakes(vec![pick(1, "0.6666")], &purse("100")), ["9.99000000"]);
}

#[test]
fn the_surest_comes_first_and_the_last_gets_what_is_left() {
    let picks = vec![pick(1, "0.70"), pick(2, "0.90"), pick(3, "0.80")];
    let bets = allot(picks, &purse("100.50"));
    let found: Vec<_> = bets.iter().map(|it| (it.pick.market, it.stake)).collect();
    // The limit is 20 % of 100.00; 100.50 × 0.90 × 0.15 = 13.5675.
    let id = |number| MarketId(Uuid::from_u128(number));
    assert_eq!(found, [(id(2), money("13.56")), (id(3), money("6.44"))]);
}

#[test]
fn three_bets_are_the_most() {
    let mut picks: Vec<Pick> = (1..=5).map(|number| pick(number, "0.66")).collect();
    for pick in &mut picks {
        pick.room = money("1.00");
    }
    assert_eq!(stakes(picks.clone(), &purse("100")), ["1.00000000"; 3]);
    let one = Purse { bets_max: 1, ..purse("100") };
    assert_eq!(stakes(picks, &one).len(), 1);
}

#[test]
fn what_is_not_surer_than_two_thirds_or_so_is_not_bet() {
    assert!(stakes(vec![pick(1, "0.65")], &purse("100")).is_empty());
    assert_eq!(stakes(vec![pick(1, "0.65000001")], &purse("100")).len(), 1);
}

#[test]
fn below_five_nothing_is_bet() {
    assert!(stakes(vec![pick(1, "0.99")], &purse("4.99999999")).is_empty());
    assert!(!purse("4.99999999").is_open());
    assert_eq!(stakes(vec![pick(1, "0.99")], &purse("5")), ["0.74000000"]);
    let dying = Purse { fee: money("6"), ..purse("5") };
    assert!(!dying.is_open() && stakes(vec![pick(1, "0.99")], &dying).is_empty());
}

#[test]
fn a_stake_is_raised_to_the_smallest_and_left_out_where_that_does_not_fit() {
    let dear = |stake_min: &str| Purse { stake_min: money(stake_min), ..purse("10.50") };
    // 10.50 × 0.70 × 0.15 = 1.1025, and the limit is 2.00.
    assert_eq!(stakes(vec![pick(1, "0.70")], &dear("1.50")), ["1.50000000"]);
    assert!(stakes(vec![pick(1, "0.70")], &dear("2.01")).is_empty());
    assert!(!dear("2.01").is_open());
}

#[test]
fn a_pool_that_is_nearly_full_takes_what_it_can() {
    let mut nearly = pick(1, "0.90");
    nearly.room = money("0.015");
    assert_eq!(stakes(vec![nearly.clone()], &purse("100")), ["0.01000000"]);
    nearly.room = money("0.009");
    assert!(stakes(vec![nearly], &purse("100")).is_empty());
}

#[test]
fn one_market_is_bet_on_once() {
    let picks = vec![pick(1, "0.70"), pick(1, "0.80")];
    let bets = allot(picks, &purse("100"));
    assert_eq!(bets.len(), 1);
    assert_eq!(bets[0].pick.confidence.decimal(), decimal("0.80"));
}

fn markets() -> Vec<Market> {
    [(RAIN, "WEATHER"), (STARS, "GITHUB"), (NEWS, "NEWS")]
        .into_iter()
        .map(|(id, source)| serde_json::from_value(market(id, source, "?")).unwrap())
        .collect()
}

#[test]
fn picks_are_found_by_number_or_id_and_others_are_none() {
    let text = format!(
        r#"Here you are: {{"bets": [
            {{"market": 1, "side": "yes", "confidence": 0.7, "reasoning": "wet\u0007\n air"}},
            {{"market": "2", "side": "NO", "confidence": "0.8"}},
            {{"market": "{NEWS}", "side": "NO", "confidence": "1"}},
            {{"market": 0, "side": "NO", "confidence": "0.8"}},
            {{"market": 4, "side": "NO", "confidence": "0.8"}},
            {{"market": -1, "side": "NO", "confidence": "0.8"}},
            {{"market": 1.5, "side": "NO", "confidence": "0.8"}},
            {{"market": 1e300, "side": "NO", "confidence": "0.8"}},
            {{"market": "{QUESTION}", "side": "NO", "confidence": "0.8"}},
            {{"market": "'; DROP TABLE bets", "side": "NO", "confidence": "0.8"}},
            {{"market": 1, "side": "MAYBE", "confidence": "0.8"}},
            {{"market": 1, "side": "YES", "confidence": "80 %"}},
            {{"market": 1, "side": "YES"}}, 7, null, "bet"
        ]}} Good luck!"#
    );
    let picks = read(&text, &markets(), money("100")).unwrap();
    let found: Vec<_> =
        picks.iter().map(|it| (it.market.to_string(), it.side, it.confidence.decimal())).collect();
    assert_eq!(
        found,
        [
            (RAIN.to_owned(), Side::Yes, decimal("0.7")),
            (STARS.to_owned(), Side::No, decimal("0.8")),
            (NEWS.to_owned(), Side::No, Confidence::MAX),
        ]
    );
    assert_eq!(picks[0].reasoning.as_deref(), Some("wet air"));
    assert_eq!(picks[0].room, money("93"), "the pool holds 7.00 of 100");
}

#[test]
fn without_a_list_there_is_no_answer() {
    for text in [r#"{"bets": "all"}"#, r#"{"bets": {"market": 1}}"#, "{}", r#"{"pets": []}"#] {
        assert_eq!(read(text, &markets(), money("100")), Err(Unusable::Bets), "{text}");
    }
    assert!(matches!(read("no", &markets(), money("100")), Err(Unusable::Output(_))));
    assert_eq!(read(r#"{"bets": []}"#, &markets(), money("100")), Ok(Vec::new()));
}

#[test]
fn the_fee_is_that_of_the_coming_tick() {
    let state = State { price: None, ..State::new(7) };
    let economy: Economy = serde_json::from_value(economy(&state)).unwrap();
    let fee = |idle| Purse::new(money("100"), idle, &economy.parameters).fee;
    assert_eq!((fee(0), fee(4), fee(5)), (money("0.50"), money("0.50"), money("0.75")));
    assert_eq!(fee(i32::MAX), money("3.00"));
}

fn any_money(units: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Money> {
    units.prop_map(|units| Money::from_units(units).unwrap())
}

fn any_confidence(units: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Confidence> {
    units.prop_map(|units| Confidence::new(Decimal8::from_units(units).unwrap()).unwrap())
}

fn any_pick() -> impl Strategy<Value = Pick> {
    let confidence = any_confidence(1_000_000..=99_000_000);
    let room = any_money(0..=999_999_999_999_999_999);
    (0_u128..6, confidence, room, any::<bool>()).prop_map(|(number, confidence, room, is_yes)| {
        Pick {
            market: MarketId(Uuid::from_u128(number)),
            side: if is_yes { Side::Yes } else { Side::No },
            confidence,
            room,
            reasoning: None,
        }
    })
}

fn any_purse() -> impl Strategy<Value = Purse> {
    let most = 999_999_999_999_999_999;
    let balance = prop_oneof![any_money(-most..=most), any_money(0..=100_000_000_000)];
    (balance, any_money(0..=1_000_000_000), any_money(1..=1_000_000_000), 0_usize..=BETS_MAX)
        .prop_map(|(balance, fee, stake_min, bets_max)| Purse { balance, fee, stake_min, bets_max })
}

proptest! {
    #[test]
    fn no_picks_leave_the_limits(
        picks in prop::collection::vec(any_pick(), 0..8), purse in any_purse(),
    ) {
        let bets = allot(picks, &purse);
        prop_assert!(bets.len() <= purse.bets_max);
        let total: i128 = bets.iter().map(|it| i128::from(it.stake.units())).sum();
        let left = i128::from(purse.balance.units()) - i128::from(purse.fee.units());
        prop_assert!(bets.is_empty() || purse.balance >= money("5"));
        // total ≤ 20 % of what the tick leaves, by multiplying out.
        prop_assert!(bets.is_empty() || total * 5 <= left);
        for Stake { pick, stake } in &bets {
            prop_assert!(*stake >= purse.stake_min && *stake <= pick.room);
            prop_assert!(pick.confidence.decimal() > decimal("0.65"));
            let share = i128::from(purse.balance.units())
                * i128::from(pick.confidence.decimal().units()) * 15;
            let is_raised = *stake == purse.stake_min;
            prop_assert!(is_raised || i128::from(stake.units()) * 10_000_000_000 <= share);
            prop_assert!(is_raised || stake.units() % 1_000_000 == 0, "whole cents");
            let same = bets.iter().filter(|it| it.pick.market == pick.market).count();
            prop_assert_eq!(same, 1);
        }
    }

    #[test]
    fn a_sure_pick_of_somebody_with_money_is_bet_in_full(
        balance in any_money(1_000_000_000..=100_000_000_000),
        confidence in any_confidence(65_000_001..=99_000_000),
    ) {
        let purse = Purse { balance, ..purse("5") };
        let mut pick = pick(1, "0.70");
        pick.confidence = confidence;
        let bets = allot(vec![pick], &purse);
        let exact = i128::from(balance.units()) * i128::from(confidence.decimal().units()) * 15 / 10_000_000_000;
        prop_assert_eq!(bets.len(), 1);
        prop_assert_eq!(i128::from(bets[0].stake.units()), exact - exact % 1_000_000);
    }
}
