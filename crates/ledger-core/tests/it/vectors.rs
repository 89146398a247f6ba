//! Chains and fees that were computed by another program.

use ledger_core::chain::{ChainVerifier, seal};
use ledger_core::economy::BotStatus;
use ledger_core::{
    BotId, EconomyRules, Entry, EntryType, Hash, Head, Posting, Reference, Timestamp,
};
use serde_json::Value;

use crate::money;

const LEDGER: &str = include_str!("vectors/ledger_v1.json");
const ENTROPY: &str = include_str!("vectors/entropy.json");

fn entry(value: &Value) -> Entry {
    let text = |field: &str| value[field].as_str().unwrap();
    Entry {
        bot_id: BotId(value["bot_id"].as_i64().unwrap()),
        sequence: value["sequence"].as_i64().unwrap(),
        entry_type: text("entry_type").parse().unwrap(),
        amount: money(text("amount")),
        balance_after: money(text("balance_after")),
        reference: Reference::new(text("reference")).unwrap(),
        recorded_at: Timestamp::from_micros(value["recorded_at_us"].as_i64().unwrap()).unwrap(),
        previous_hash: Hash::from_hex(text("previous_hash")).unwrap(),
        hash: Hash::from_hex(text("hash")).unwrap(),
    }
}

fn chains() -> Vec<Vec<Entry>> {
    let file: Value = serde_json::from_str(LEDGER).unwrap();
    let chains = file["chains"].as_array().unwrap();
    chains.iter().map(|chain| chain.as_array().unwrap().iter().map(entry).collect()).collect()
}

#[test]
fn every_hash_is_reproduced() {
    let mut scratch = Vec::new();
    let mut checked = 0;
    for entry in chains().iter().flatten() {
        assert_eq!(entry.compute_hash(&mut scratch), entry.hash, "{entry:?}");
        checked += 1;
    }
    assert_eq!(checked, 21);
}

#[test]
fn the_first_preimage_is_reproduced_byte_by_byte() {
    let file: Value = serde_json::from_str(LEDGER).unwrap();
    let mut form = Vec::new();
    chains()[0][0].write_canonical(&mut form);
    assert_eq!(String::from_utf8(form).unwrap(), file["first_preimage_utf8"].as_str().unwrap());
}

#[test]
fn every_chain_verifies_and_can_be_sealed_again() {
    for chain in chains() {
        let bot_id = chain[0].bot_id;
        let mut verifier = ChainVerifier::new(bot_id);
        let mut head = Head::empty(bot_id);
        let mut status = BotStatus::Alive;
        let mut scratch = Vec::new();
        for entry in &chain {
            verifier.check(entry).unwrap();
            let posting = Posting {
                entry_type: entry.entry_type,
                amount: entry.amount,
                reference: entry.reference.clone(),
            };
            // A revival is sealed for a dead bot and makes it alive.
            let (sealed, next) =
                seal(&head, status, posting, entry.recorded_at, &mut scratch).unwrap();
            assert_eq!(&sealed, entry);
            head = next;
            status = match entry.entry_type {
                EntryType::Liquidation => BotStatus::Dead,
                EntryType::Revive => BotStatus::Alive,
                EntryType::Retired => BotStatus::Retired,
                _ => status,
            };
        }
        assert_eq!(*verifier.head(), head);
    }
}

#[test]
fn every_fee_is_reproduced() {
    let rows: Vec<Value> = serde_json::from_str(ENTROPY).unwrap();
    assert!(rows.len() >= 10);
    for row in rows {
        let streak = i32::try_from(row["idle_streak"].as_i64().unwrap()).unwrap();
        let fee = money(row["fee"].as_str().unwrap());
        assert_eq!(EconomyRules::default().entropy(streak), fee, "streak {streak}");
    }
}
