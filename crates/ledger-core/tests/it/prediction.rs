use ledger_core::economy::{BotStatus, EconomyRules};
use ledger_core::ids::PriceId;
use ledger_core::movement::PositionKind;
use ledger_core::prediction::{
    self, Direction, Found, Known, OpenPrediction, PredictionStatus, PriceSample, PriceSource,
    Verdict, VoidReason, judge,
};
use ledger_core::{EntryType, Money, PredictionId, Stake, Timestamp};
use proptest::prelude::*;

use crate::money;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

/// Up, from second 1000 on.
pub(crate) fn open(stake: Stake) -> OpenPrediction {
    OpenPrediction {
        id: PredictionId(5),
        direction: Direction::Up,
        stake,
        confidence: "0.60".parse().unwrap(),
        created_at: at(1000),
    }
}

fn stake(text: &str) -> Stake {
    EconomyRules::default().stake(money(text)).unwrap()
}

fn sample(seconds: i64, price: &str, source: PriceSource) -> PriceSample {
    PriceSample {
        id: PriceId(seconds),
        price: price.parse().unwrap(),
        source,
        provider_at: at(seconds),
    }
}

const GECKO: PriceSource = PriceSource::Coingecko;

/// The result for a price that was due at second 1000.
fn find(taken: Option<i64>, read_until: Option<i64>, told: Option<i64>) -> Option<Option<i64>> {
    let price = |seconds| sample(seconds, "100.00", GECKO);
    let known =
        Known { taken: taken.map(price), read_until: read_until.map(at), told: told.map(price) };
    match known.find(at(1000), &EconomyRules::default()) {
        Found::Price(found) => Some(Some(found.id.0)),
        Found::Nothing => Some(None),
        Found::NotYet => None,
    }
}

#[test]
fn a_sample_in_time_decides_and_history_where_there_was_none() {
    assert_eq!(find(None, None, None), None, "it may still be taken");
    assert_eq!(find(Some(1000), None, None), Some(Some(1000)));
    assert_eq!(find(Some(1120), None, None), Some(Some(1120)));
    // Too late to be the due one, until the history shows that there is no earlier one.
    assert_eq!(find(Some(1121), None, None), None);
    assert_eq!(find(Some(1121), Some(1100), None), None);
    assert_eq!(find(Some(1121), Some(1300), Some(1060)), Some(Some(1060)));
    assert_eq!(find(Some(1121), Some(1300), Some(1121)), Some(Some(1121)));
    // A sample in time takes precedence over later prices from the history.
    assert_eq!(find(Some(1090), Some(1300), Some(1010)), Some(Some(1090)));
    // A price after the part that was read may not be the first.
    assert_eq!(find(None, Some(1300), Some(1300)), None);
    assert_eq!(find(None, Some(2801), None), Some(None));
    assert_eq!(find(None, Some(2801), Some(2800)), Some(Some(2800)));
    assert_eq!(find(None, Some(9000), Some(2801)), Some(None), "beyond the grace");
    assert_eq!(find(None, Some(2800), None), None);
}

#[test]
fn an_agent_never_starts_at_a_price_it_may_have_seen() {
    let rules = EconomyRules::default();
    assert_eq!(prediction::start_due(at(1000), &rules), at(1060));
    let start = sample(1075, "100.00", GECKO);
    assert_eq!(prediction::end_due(&start, &rules), at(1375));
    // Six hours beyond the time at which the last price is due, and more than the longest cooldown.
    let until = prediction::waits_until(at(1000), &rules);
    assert!(until.seconds_since(at(1360)) > 6 * 3600 + 480);
}

#[test]
fn two_prices_decide() {
    let start = sample(1010, "100.00", GECKO);
    let verdict = |price| judge(Direction::Up, &start, &sample(1310, price, GECKO));
    assert_eq!(verdict("100.00000001"), Verdict::Right);
    assert_eq!(verdict("99.99999999"), Verdict::Wrong);
    assert_eq!(verdict("100.00"), Verdict::Void(VoidReason::EqualPrice));
    let down = judge(Direction::Down, &start, &sample(1310, "99.00", GECKO));
    assert_eq!(down, Verdict::Right);
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Right),
        Just(Verdict::Wrong),
        Just(Verdict::Void(VoidReason::EqualPrice)),
    ]
}

proptest! {
    #[test]
    fn the_escrow_of_a_settled_prediction_comes_back_to_zero(
        units in 1_000_000..100_000_000_000i64,
        verdict in any_verdict(),
        owner in prop::sample::select(BotStatus::ALL.to_vec()),
    ) {
        let rules = EconomyRules::default();
        let stake = rules.stake(Money::from_units(units).unwrap()).unwrap();
        let end = prediction::settle(&open(stake), verdict, owner, &rules).unwrap();
        let movement = &end.movement;
        // Stake plus minted amount equals payout plus burned amount.
        let paid_in = units + movement.minted().units();
        let paid_out = movement.posting.amount.units() + movement.burned().units();
        prop_assert_eq!(paid_in, paid_out);
        let closed = (-1, stake.money().negated());
        prop_assert_eq!(movement.position(PositionKind::Prediction), closed);
        prop_assert!(movement.posting.entry_type.allows_amount(movement.posting.amount));
        prop_assert!(movement.posting.entry_type.allowed_for(owner));
    }
}

#[test]
fn ends_are_named_and_scored() {
    let rules = EconomyRules::default();
    let end = |verdict, owner| {
        let end = prediction::settle(&open(stake("2.50")), verdict, owner, &rules).unwrap();
        (end.movement.posting.entry_type, end.status, end.payout, end.brier)
    };
    let void = Verdict::Void(VoidReason::SampleMissing);
    let (alive, dead) = (BotStatus::Alive, BotStatus::Dead);
    let (won, lost) = (PredictionStatus::Won, PredictionStatus::Lost);
    assert_eq!(
        end(Verdict::Right, alive),
        (EntryType::Payout, won, money("5.00"), Some("0.16".parse().unwrap()))
    );
    assert_eq!(
        end(Verdict::Wrong, alive),
        (EntryType::Slash, lost, Money::ZERO, Some("0.36".parse().unwrap()))
    );
    assert_eq!(end(void, alive), (EntryType::Refund, PredictionStatus::Void, money("2.50"), None));
    for verdict in [Verdict::Right, Verdict::Wrong, void] {
        let forfeit = (EntryType::Forfeit, PredictionStatus::Forfeit, Money::ZERO, None);
        assert_eq!(end(verdict, dead), forfeit);
        assert_eq!(end(verdict, BotStatus::Retired), forfeit);
    }
}
