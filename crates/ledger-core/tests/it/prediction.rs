use ledger_core::economy::{BotStatus, EconomyRules};
use ledger_core::ids::PriceId;
use ledger_core::prediction::{
    self, Direction, OpenPrediction, PredictionStatus, PriceSample, PriceSource, Verdict,
    VoidReason, judge,
};
use ledger_core::{EntryType, Money, PredictionId, Stake, Timestamp};
use proptest::prelude::*;

use crate::money;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

/// Up, from second 1000 on.
pub(crate) fn open(wager: Stake) -> OpenPrediction {
    OpenPrediction {
        id: PredictionId(5),
        direction: Direction::Up,
        wager,
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

fn verdict(start: Option<&PriceSample>, end: Option<&PriceSample>, now: i64) -> Option<Verdict> {
    judge(
        &open(stake("1.00")),
        start,
        end,
        &EconomyRules::default(),
        at(now),
    )
}

#[test]
fn a_verdict_waits_for_its_samples_and_not_for_ever() {
    use PriceSource::Coingecko;
    let start = sample(1010, "100.00", Coingecko);
    let end = sample(1310, "101.00", Coingecko);
    let missing = Some(Verdict::Void(VoidReason::SampleMissing));
    assert_eq!(verdict(None, None, 1000 + 1800), None);
    assert_eq!(verdict(None, None, 1000 + 1801), missing);
    assert_eq!(verdict(Some(&start), None, 1310 + 1800), None);
    assert_eq!(verdict(Some(&start), None, 1310 + 1801), missing);
    assert_eq!(
        verdict(Some(&start), Some(&end), 1311),
        Some(Verdict::Right)
    );
    let late_start = sample(1000 + 1801, "100.00", Coingecko);
    assert_eq!(verdict(Some(&late_start), Some(&end), 9000), missing);
    let late_end = sample(1310 + 1801, "100.00", Coingecko);
    assert_eq!(verdict(Some(&start), Some(&late_end), 9000), missing);
}

#[test]
fn prices_decide_only_against_their_own_kind() {
    use PriceSource::{Coingecko, Simulated};
    let start = sample(1010, "100.00", Coingecko);
    let other = sample(1310, "200.00", Simulated);
    let changed = Some(Verdict::Void(VoidReason::SourceChanged));
    assert_eq!(verdict(Some(&start), Some(&other), 1311), changed);
    let equal = sample(1310, "100.00", Coingecko);
    let void = Some(Verdict::Void(VoidReason::EqualPrice));
    assert_eq!(verdict(Some(&start), Some(&equal), 1311), void);
    let lower = sample(1310, "99.99999999", Coingecko);
    assert_eq!(
        verdict(Some(&start), Some(&lower), 1311),
        Some(Verdict::Wrong)
    );
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
        let wager = rules.stake(Money::from_units(units).unwrap()).unwrap();
        let end = prediction::settle(&open(wager), verdict, owner, &rules).unwrap();
        let movement = &end.movement;
        // Stake in, plus what the house made, is what came back, plus what fell to the house.
        let paid_in = units + movement.minted.units();
        let paid_out = movement.posting.amount.units() + movement.burned.units();
        prop_assert_eq!(paid_in, paid_out);
        prop_assert_eq!(movement.open_stake, wager.money().negated());
        prop_assert_eq!(movement.open_predictions, -1);
        prop_assert!(movement.posting.entry_type.allows_amount(movement.posting.amount));
        prop_assert!(movement.posting.entry_type.allowed_for(owner));
    }
}

#[test]
fn ends_are_named_and_scored() {
    let rules = EconomyRules::default();
    let end = |verdict, owner| {
        let end = prediction::settle(&open(stake("2.50")), verdict, owner, &rules).unwrap();
        (
            end.movement.posting.entry_type,
            end.status,
            end.payout,
            end.brier,
        )
    };
    let void = Verdict::Void(VoidReason::SourceChanged);
    let (alive, dead) = (BotStatus::Alive, BotStatus::Dead);
    let (won, lost) = (PredictionStatus::Won, PredictionStatus::Lost);
    assert_eq!(
        end(Verdict::Right, alive),
        (EntryType::Payout, won, money("5.00"), Some(money("0.16")))
    );
    assert_eq!(
        end(Verdict::Wrong, alive),
        (EntryType::Slash, lost, Money::ZERO, Some(money("0.36")))
    );
    assert_eq!(
        end(void, alive),
        (
            EntryType::Refund,
            PredictionStatus::Void,
            money("2.50"),
            None
        )
    );
    for verdict in [Verdict::Right, Verdict::Wrong, void] {
        let forfeit = (
            EntryType::Forfeit,
            PredictionStatus::Forfeit,
            Money::ZERO,
            None,
        );
        assert_eq!(end(verdict, dead), forfeit);
        assert_eq!(end(verdict, BotStatus::Retired), forfeit);
    }
}
