use ledger_core::chain::{ChainVerifier, FaultyField, HeadsDigest, SealError, seal, seal_onto};
use ledger_core::economy::{self, BotStatus, EconomyRules};
use ledger_core::{BotId, Entry, EntryType, Hash, Head, Money, Posting, Reference, Timestamp};
use proptest::prelude::*;

use crate::{money, wallet};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn posting(entry_type: EntryType, amount: Money) -> Posting {
    Posting { entry_type, amount, reference: Reference::new("TICK:1").unwrap() }
}

/// A valid chain with a grant and then fees of the given units.
fn chain(fees: &[u16]) -> Vec<Entry> {
    let mut head = Head::empty(BotId(3));
    let mut scratch = Vec::new();
    let mut entries = Vec::new();
    let grant = (posting(EntryType::Grant, money("1000.00")), 0);
    let fee = |(index, units): (usize, &u16)| {
        let amount = Money::from_units(-i64::from(*units) - 1).unwrap();
        (posting(EntryType::Heartbeat, amount), i64::try_from(index).unwrap() * 10)
    };
    for (posting, micros) in std::iter::once(grant).chain(fees.iter().enumerate().map(fee)) {
        let (entry, next) =
            seal(&head, BotStatus::Alive, posting, at(micros), &mut scratch).unwrap();
        entries.push(entry);
        head = next;
    }
    entries
}

fn faults(entries: &[Entry]) -> Vec<(i64, FaultyField)> {
    let mut verifier = ChainVerifier::new(BotId(3));
    entries
        .iter()
        .filter_map(|entry| verifier.check(entry).err())
        .map(|fault| (fault.sequence, fault.field))
        .collect()
}

proptest! {
    #[test]
    fn sealed_chains_verify(fees in prop::collection::vec(any::<u16>(), 0..40)) {
        prop_assert_eq!(faults(&chain(&fees)), []);
    }

    #[test]
    fn any_change_of_any_field_is_found_where_it_is(
        fees in prop::collection::vec(any::<u16>(), 1..20),
        place in any::<prop::sample::Index>(),
        field in 0..8usize,
        bit in 0..255usize,
    ) {
        let mut entries = chain(&fees);
        let index = place.index(entries.len());
        let entry = &mut entries[index];
        let unit = Money::from_units(1).unwrap();
        match field {
            0 => entry.sequence += 1,
            1 => entry.amount = entry.amount.checked_add(unit).unwrap(),
            2 => entry.balance_after = entry.balance_after.checked_sub(unit).unwrap(),
            3 => entry.reference = Reference::new("TICK:2").unwrap(),
            4 => entry.recorded_at = at(entry.recorded_at.micros() + 1),
            5 => entry.previous_hash.0[bit / 8] ^= 1 << (bit % 8),
            6 => entry.hash.0[bit / 8] ^= 1 << (bit % 8),
            _ => entry.entry_type = EntryType::RESEARCH_OR_REVIVE[bit % 2],
        }
        let sequence = entries[index].sequence;
        let found = faults(&entries);
        prop_assert!(found.iter().any(|(at, _)| *at == sequence), "{:?}", found);
        // It is named once or twice (the next entry no longer follows), not once for each behind.
        prop_assert!(found.len() <= 2, "{:?}", found);
    }

    #[test]
    fn no_seal_ever_leaves_a_negative_balance(
        balance in 0..1_000_000_000i64,
        amount in -2_000_000_000..2_000_000_000i64,
        kind in prop::sample::select(EntryType::ALL.to_vec()),
    ) {
        let mut head = wallet("0.00").head;
        head.balance = Money::from_units(balance).unwrap();
        let posting = posting(kind, Money::from_units(amount).unwrap());
        let sealed = seal(&head, BotStatus::Alive, posting, at(0), &mut Vec::new());
        if let Ok((entry, next)) = sealed {
            prop_assert!(!next.balance.is_negative());
            prop_assert_eq!(next.balance.units(), balance + amount);
            prop_assert_eq!(entry.balance_after, next.balance);
            prop_assert!(kind.allows_amount(entry.amount));
        }
    }
}

trait Others {
    const RESEARCH_OR_REVIVE: [EntryType; 2] = [EntryType::ResearchLookupFee, EntryType::Revive];
}
impl Others for EntryType {}

#[test]
fn a_chain_starts_with_a_grant_and_has_no_other() {
    let mut scratch = Vec::new();
    let empty = Head::empty(BotId(1));
    let fee = posting(EntryType::Heartbeat, money("-0.50"));
    let refused = seal(&empty, BotStatus::Alive, fee, at(0), &mut scratch).unwrap_err();
    assert!(matches!(refused, SealError::Genesis { sequence: 1, .. }), "{refused:?}");
    let head = wallet("5.00").head;
    let grant = posting(EntryType::Grant, money("5.00"));
    let refused = seal(&head, BotStatus::Alive, grant, at(0), &mut scratch).unwrap_err();
    assert!(matches!(refused, SealError::Genesis { sequence: 2, .. }), "{refused:?}");
}

#[test]
fn a_liquidation_drains_exactly_what_is_there() {
    let mut scratch = Vec::new();
    let head = wallet("5.00").head;
    for wrong in ["0.00", "-4.99999999", "-5.00000001"] {
        let drain = posting(EntryType::Liquidation, money(wrong));
        let refused = seal(&head, BotStatus::Alive, drain, at(0), &mut scratch).unwrap_err();
        assert!(matches!(refused, SealError::NotDrained { .. }), "{wrong}: {refused:?}");
    }
}

#[test]
fn the_dead_receive_nothing_but_what_ends_their_story() {
    let head = wallet("0.00").head;
    for kind in EntryType::ALL {
        for status in BotStatus::ALL {
            let allowed = kind.allowed_for(status);
            let expected = match status {
                BotStatus::Alive => !matches!(kind, EntryType::Revive | EntryType::Forfeit),
                BotStatus::Dead => {
                    matches!(kind, EntryType::Forfeit | EntryType::Revive | EntryType::Retired)
                }
                BotStatus::Retired => kind == EntryType::Forfeit,
            };
            assert_eq!(allowed, expected, "{kind} for {status}");
        }
    }
    let payout = posting(EntryType::Payout, money("1.00"));
    let refused = seal(&head, BotStatus::Dead, payout, at(0), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, SealError::Status { .. }), "{refused:?}");
}

#[test]
fn a_clock_that_was_set_back_does_not_turn_time_in_a_chain() {
    let mut head = wallet("5.00").head;
    head.recorded_at = Some(at(1_000));
    let fee = posting(EntryType::Heartbeat, money("-0.50"));
    let (entry, next) = seal(&head, BotStatus::Alive, fee, at(10), &mut Vec::new()).unwrap();
    assert_eq!((entry.recorded_at, next.recorded_at), (at(1_000), Some(at(1_000))));
}

#[test]
fn a_balance_beyond_its_range_is_refused() {
    let head = wallet("9999999999.99999999").head;
    let payout = posting(EntryType::Payout, money("0.00000001"));
    let refused = seal(&head, BotStatus::Alive, payout, at(0), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, SealError::Balance { .. }), "{refused:?}");
}

#[test]
fn what_was_never_opened_cannot_be_closed() {
    let rules = EconomyRules::default();
    let mut rich = wallet("50.00");
    let stake = rules.stake(money("1.00")).unwrap();
    let id = ledger_core::ObservationId(uuid::Uuid::nil());
    let movement = economy::wager(&rich, stake, &rules, id).unwrap();
    seal_onto(&mut rich, movement, at(0), &mut Vec::new()).unwrap();
    assert_eq!((rich.open_predictions, rich.open_stake), (1, money("1.00")));
    let mut other = wallet("50.00");
    let closing = ledger_core::prediction::settle(
        &crate::prediction::open(stake),
        ledger_core::prediction::Verdict::Wrong,
        BotStatus::Alive,
        &rules,
    );
    let refused =
        seal_onto(&mut other, closing.unwrap().movement, at(0), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, SealError::OpenPositions { .. }), "{refused:?}");
}

#[test]
fn the_digest_of_heads_depends_on_each() {
    let digest = |hashes: &[u8]| {
        let mut digest = HeadsDigest::default();
        for (index, byte) in hashes.iter().enumerate() {
            let mut head = Head::empty(BotId(i64::try_from(index).unwrap()));
            head.hash = Hash([*byte; 32]);
            let mut line = Vec::new();
            HeadsDigest::write_line(&head, &mut line);
            digest.add_lines(&line);
        }
        digest.finish()
    };
    assert_eq!(digest(&[1, 2, 3]), digest(&[1, 2, 3]));
    assert_ne!(digest(&[1, 2, 3]), digest(&[1, 2, 4]));
    assert_ne!(digest(&[1, 2, 3]), digest(&[2, 1, 3]));
}
