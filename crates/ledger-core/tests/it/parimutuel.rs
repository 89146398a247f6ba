use ledger_core::market::{Resolution, Side};
use ledger_core::parimutuel::{Division, Share, StakedBet, divide};
use ledger_core::{BetId, EconomyRules, Money};
use proptest::prelude::*;
use serde_json::Value;

use crate::money;

const VECTORS: &str = include_str!("vectors/parimutuel.json");

/// Rules under which any amount above zero is a stake.
fn any_stake() -> EconomyRules {
    EconomyRules { stake_min: Money::from_units(1).unwrap(), ..EconomyRules::default() }
}

fn bet(id: i64, side: Side, units: i64, owner_dead: bool) -> StakedBet {
    StakedBet {
        id: BetId(id),
        side,
        stake: any_stake().stake(Money::from_units(units).unwrap()).unwrap(),
        confidence: "0.70".parse().unwrap(),
        owner_dead,
    }
}

/// Units of a decimal with eight digits, beyond the range of one balance too.
fn wide_units(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

#[test]
fn every_vector_is_reproduced() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(cases.len() >= 17);
    for case in cases {
        let bets: Vec<StakedBet> = case["bets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                bet(
                    row["id"].as_i64().unwrap(),
                    row["side"].as_str().unwrap().parse().unwrap(),
                    money(row["stake"].as_str().unwrap()).units(),
                    row["owner_dead"].as_bool().unwrap(),
                )
            })
            .collect();
        let resolution = match case["outcome"].as_str().unwrap() {
            "VOID" => Resolution::Void,
            side => Resolution::Decided(side.parse().unwrap()),
        };
        let bounty = money(case["bounty"].as_str().unwrap());
        let division = divide(&bets, bounty, resolution).unwrap();
        let expect = &case["expect"];
        assert_eq!(division.paid, expect["kind"] == "PAYOUT", "{case}");
        let forfeits = expect["forfeits"].as_array().unwrap();
        for (bet, share) in bets.iter().zip(&division.shares) {
            let id = bet.id.0;
            let paid = expect["payouts"].get(id.to_string());
            let expected = match (paid, division.paid) {
                (Some(units), true) => Share::Won(wide_units(units.as_str().unwrap())),
                (Some(units), false) => {
                    assert_eq!(units.as_str().unwrap(), bet.stake.money().to_string());
                    Share::Refunded
                }
                (None, _) if forfeits.contains(&id.into()) => Share::Forfeited,
                (None, _) => Share::Lost,
            };
            assert_eq!(*share, expected, "bet {id} of {case}");
        }
    }
}

fn any_bets() -> impl Strategy<Value = Vec<StakedBet>> {
    let one = (any::<bool>(), 1..=1_000_000_000_000i64, 0..10u8);
    prop::collection::vec(one, 0..60).prop_map(|rows| {
        rows.into_iter()
            .zip(1..)
            .map(|((yes, units, luck), id)| {
                let side = if yes { Side::Yes } else { Side::No };
                bet(id, side, units, luck == 0)
            })
            .collect()
    })
}

fn won(division: &Division) -> i128 {
    division
        .shares
        .iter()
        .map(|share| match share {
            Share::Won(units) => *units,
            _ => 0,
        })
        .sum()
}

fn staked(bets: &[StakedBet]) -> i128 {
    bets.iter().map(|bet| i128::from(bet.stake.money().units())).sum()
}

proptest! {
    #[test]
    fn a_paid_pool_is_paid_to_the_last_unit(bets in any_bets(), bounty in 0..10_000_000_000i64) {
        let bounty = Money::from_units(bounty).unwrap();
        let division = divide(&bets, bounty, Resolution::Decided(Side::Yes)).unwrap();
        let right = |bet: &StakedBet| bet.side == Side::Yes && !bet.owner_dead;
        prop_assert_eq!(division.paid, bets.iter().any(right));
        if division.paid {
            prop_assert_eq!(won(&division), staked(&bets) + i128::from(bounty.units()));
        }
        for (bet, share) in bets.iter().zip(&division.shares) {
            let sound = match share {
                // Each winner gets at least the stake back: the pool contains all stakes.
                Share::Won(units) => right(bet) && *units >= i128::from(bet.stake.money().units()),
                Share::Lost => division.paid && bet.side == Side::No && !bet.owner_dead,
                Share::Refunded => !division.paid && !bet.owner_dead,
                Share::Forfeited => bet.owner_dead,
            };
            prop_assert!(sound, "{:?} {:?}", bet, share);
        }
    }

    #[test]
    fn no_winner_is_more_than_a_unit_off_its_proportion(bets in any_bets()) {
        let division = divide(&bets, Money::ZERO, Resolution::Decided(Side::No)).unwrap();
        let right = |bet: &&StakedBet| bet.side == Side::No && !bet.owner_dead;
        let winning: i128 = bets.iter().filter(right).map(|b| i128::from(b.stake.money().units())).sum();
        for (bet, share) in bets.iter().zip(&division.shares) {
            if let Share::Won(units) = share {
                let exact = staked(&bets) * i128::from(bet.stake.money().units());
                prop_assert!((units * winning - exact).abs() < winning);
            }
        }
    }

    #[test]
    fn a_void_market_takes_nothing_from_the_living(bets in any_bets()) {
        let division = divide(&bets, Money::cents(500), Resolution::Void).unwrap();
        prop_assert!(!division.paid);
        for (bet, share) in bets.iter().zip(&division.shares) {
            let expected = if bet.owner_dead { Share::Forfeited } else { Share::Refunded };
            prop_assert_eq!(*share, expected);
        }
    }
}

#[test]
fn ties_go_to_the_older_bet() {
    // Three equal winners share 10 units: 4, 3, 3 in the order of their ids, whatever their place.
    let bets = [
        bet(9, Side::Yes, 2, false),
        bet(3, Side::Yes, 2, false),
        bet(5, Side::Yes, 2, false),
        bet(1, Side::No, 4, false),
    ];
    let division = divide(&bets, Money::ZERO, Resolution::Decided(Side::Yes)).unwrap();
    assert_eq!(division.shares, [Share::Won(3), Share::Won(4), Share::Won(3), Share::Lost]);
}

#[test]
fn a_pool_beyond_all_bounds_is_refused_and_not_wrapped() {
    let largest = ledger_core::money::MAX_UNITS;
    let bets: Vec<_> = (1..=200).map(|id| bet(id, Side::Yes, largest, false)).collect();
    assert_eq!(divide(&bets, Money::ZERO, Resolution::Decided(Side::Yes)), None);
    assert!(divide(&bets[..100], Money::ZERO, Resolution::Decided(Side::Yes)).is_some());
}
