use db::inspect::{Options, audit};
use db::{actions, predictions};
use ledger_core::economy::Enforcement::Enforce;
use ledger_core::prediction::PriceSource;
use ledger_core::{BotId, EconomyRules};
use test_kit::Arena;

/// An arena in which something of everything has happened; the bot that did most of it.
async fn lived_in() -> (Arena, BotId) {
    let rules = EconomyRules {
        prediction_horizon_seconds: 10,
        ..EconomyRules::default()
    };
    let arena = Arena::new().await.with_rules(rules);
    let bot = arena.bot().create().await.id;
    arena.bot().balance("0.60").create().await;
    let mut conn = arena.conn().await;
    let mut ids = Vec::new();
    for stake in ["1.00", "2.00", "3.00"] {
        let wager = crate::wager(bot, stake);
        let accepted = actions::place(&mut conn, &wager, arena.rules(), None)
            .await
            .unwrap();
        ids.push(accepted.prediction_id.unwrap());
    }
    arena.tick(Enforce).await;
    arena.tick(Enforce).await;
    arena.price("100.00", PriceSource::Coingecko, 1).await;
    arena.price("101.00", PriceSource::Coingecko, 12).await;
    predictions::settle(&mut conn, &ids[..2], arena.rules())
        .await
        .unwrap();
    arena.assert_sound().await;
    (arena, bot)
}

/// Changes something behind the triggers' back and answers the audit's faults as text.
async fn tampered(arena: &Arena, sql: &str) -> Vec<String> {
    let owner = arena.owner_client().await;
    owner
        .batch_execute("SET session_replication_role = replica")
        .await
        .unwrap();
    owner.batch_execute(sql).await.expect(sql);
    let report = audit(arena.database(), Options::default()).await.unwrap();
    assert!(!report.is_sound(), "unnoticed: {sql}");
    report
        .faults
        .iter()
        .map(|fault| {
            let bot = fault.bot_id.map(|bot| bot.0).unwrap_or_default();
            format!(
                "{bot}/{} {}",
                fault.sequence.unwrap_or_default(),
                fault.field
            )
        })
        .collect()
}

#[tokio::test]
async fn one_changed_byte_in_any_column_is_named() {
    let (arena, bot) = lived_in().await;
    // Constraints are no obstacle to who tampers.
    let owner = arena.owner_client().await;
    for constraint in [
        "sequence_starts_at_one",
        "balance_in_range",
        "amount_fits_type",
        "reference_is_printable",
        "hashes_are_sha256",
    ] {
        let drop = format!("ALTER TABLE ledger DROP CONSTRAINT ledger_{constraint}");
        owner.batch_execute(&drop).await.unwrap();
    }
    let row = format!("bot_id = {bot} AND sequence = 3");
    for change in [
        "entry_type = 'MARKET_STAKE'",
        "amount = amount + 0.00000001",
        "amount = 'NaN'",
        "balance_after = balance_after + 0.00000001",
        "reference = overlay(reference placing 'X' from 1)",
        "reference = reference || E'\\n'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "previous_hash = set_byte(previous_hash, 31, get_byte(previous_hash, 31) # 1)",
        "hash = set_byte(hash, 0, get_byte(hash, 0) # 128)",
        "hash = '\\x00'",
    ] {
        let keep = format!("CREATE TABLE kept AS SELECT * FROM ledger WHERE {row}");
        owner.batch_execute(&keep).await.unwrap();
        let faults = tampered(&arena, &format!("UPDATE ledger SET {change} WHERE {row}")).await;
        let named = faults
            .iter()
            .any(|fault| fault.starts_with(&format!("{bot}/3 ")));
        assert!(named, "{change}: {faults:?}");
        let restore = format!(
            "SET session_replication_role = replica; DELETE FROM ledger WHERE {row}; \
             INSERT INTO ledger SELECT * FROM kept; DROP TABLE kept"
        );
        owner.batch_execute(&restore).await.unwrap();
        arena.assert_sound().await;
    }
    let moved = tampered(
        &arena,
        &format!("UPDATE ledger SET sequence = 99 WHERE {row}"),
    )
    .await;
    assert!(
        moved
            .iter()
            .any(|fault| fault.starts_with(&format!("{bot}/4 sequence"))),
        "{moved:?}"
    );
}

#[tokio::test]
async fn a_row_moved_to_another_bot_is_named_on_both_sides() {
    let (arena, bot) = lived_in().await;
    let sql = format!("UPDATE ledger SET bot_id = 77 WHERE bot_id = {bot} AND sequence = 3");
    let faults = tampered(&arena, &sql).await;
    assert!(
        faults
            .iter()
            .any(|fault| fault.starts_with(&format!("{bot}/4 sequence"))),
        "{faults:?}"
    );
    assert!(
        faults.iter().any(|fault| fault.starts_with("77/3 ")),
        "{faults:?}"
    );
    assert!(faults.iter().any(|fault| fault == "77/0 bot"), "{faults:?}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    for (sql, expected) in [
        (
            "DELETE FROM ledger WHERE bot_id = {bot} AND sequence = 1",
            "{bot}/2 sequence",
        ),
        (
            "DELETE FROM ledger WHERE bot_id = {bot} AND sequence = 8",
            "wallet.sequence",
        ),
        ("DELETE FROM ledger WHERE bot_id = {bot}", "{bot}/0 chain"),
        ("DELETE FROM wallets WHERE bot_id = {bot}", "{bot}/0 wallet"),
        (
            "DELETE FROM predictions WHERE bot_id = {bot} AND status = 'WON'",
            "{bot}/0 predictions",
        ),
        (
            "DELETE FROM predictions WHERE bot_id = {bot} AND status = 'OPEN'",
            "wallet.open_stake",
        ),
    ] {
        let (arena, bot) = lived_in().await;
        let fill = |text: &str| text.replace("{bot}", &bot.to_string());
        let faults = tampered(&arena, &fill(sql)).await;
        assert!(
            faults.iter().any(|fault| fault.contains(&fill(expected))),
            "{sql}: {faults:?}"
        );
    }
}

#[tokio::test]
async fn what_stands_beside_the_chains_is_held_against_them() {
    for (change, expected) in [
        (
            "UPDATE wallets SET balance = balance + 1 WHERE bot_id = {bot}",
            "wallet.balance",
        ),
        (
            "UPDATE wallets SET burned = burned + 1 WHERE bot_id = {bot}",
            "wallet.burned",
        ),
        (
            "UPDATE wallets SET minted = minted - 1 WHERE bot_id = {bot}",
            "wallet.minted",
        ),
        (
            "UPDATE wallets SET open_stake = 0 WHERE bot_id = {bot}",
            "wallet.open_stake",
        ),
        (
            "UPDATE wallets SET head_hash = sha256('x') WHERE bot_id = {bot}",
            "wallet.hash",
        ),
        (
            "UPDATE wallets SET status = 'DEAD' WHERE bot_id = {bot}",
            "wallet.status",
        ),
        (
            "UPDATE bots SET status = 'DEAD' WHERE id = {bot}",
            "balance of the dead",
        ),
        (
            "UPDATE predictions SET payout = payout + 1 WHERE status = 'WON'",
            "predictions",
        ),
        (
            "UPDATE predictions SET direction = 'DOWN' WHERE status = 'WON'",
            "prediction ",
        ),
        (
            "UPDATE prices SET price = price + 1 WHERE id = (SELECT min(id) FROM prices)",
            "prediction ",
        ),
        (
            "UPDATE predictions SET wager_amount = 9 WHERE status = 'OPEN'",
            "wallet.open_stake",
        ),
    ] {
        let (arena, bot) = lived_in().await;
        let faults = tampered(&arena, &change.replace("{bot}", &bot.to_string())).await;
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{change}: {faults:?}"
        );
    }
}

#[tokio::test]
async fn a_forged_chain_that_hangs_together_changes_the_digest() {
    let (arena, _) = lived_in().await;
    let before = audit(arena.database(), Options { workers: 1 })
        .await
        .unwrap();
    let same = audit(arena.database(), Options { workers: 3 })
        .await
        .unwrap();
    assert_eq!(before.heads_digest, same.heads_digest);
    arena.tick(Enforce).await;
    let after = audit(arena.database(), Options::default()).await.unwrap();
    assert!(after.is_sound());
    assert_ne!(before.heads_digest, after.heads_digest);
}
