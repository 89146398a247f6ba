//! Changes that Postgres itself refuses, independent of the code above it.

use test_kit::Arena;
use tokio_postgres::Client;

/// The code of a missing right, in every language.
const DENIED: &str = "42501";

async fn refused(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let error = error.as_db_error().expect(sql);
    format!("{}: {}", error.code().code(), error.message())
}

/// An insert of a second entry with some columns replaced.
fn insert(bot: i64, changes: &[(&str, &str)]) -> String {
    let mut columns = vec![
        ("bot_id", bot.to_string()),
        ("sequence", "2".to_owned()),
        ("entry_type", "'HEARTBEAT'".to_owned()),
        ("amount", "-1".to_owned()),
        ("balance_after", "(SELECT balance - 1 FROM wallets WHERE bot_id = l.bot_id)".to_owned()),
        ("reference", "'TICK:1'".to_owned()),
        ("recorded_at", "clock_timestamp()".to_owned()),
        ("previous_hash", "l.hash".to_owned()),
        ("hash", "sha256('x')".to_owned()),
    ];
    for (name, value) in changes {
        columns.iter_mut().find(|(column, _)| column == name).unwrap().1 = (*value).to_owned();
    }
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = columns.iter().map(|(_, value)| value.as_str()).collect();
    format!(
        "INSERT INTO ledger ({}) SELECT {} FROM ledger l WHERE l.bot_id = {bot} AND l.sequence = 1",
        names.join(", "),
        values.join(", ")
    )
}

#[tokio::test]
async fn the_ledger_only_grows_even_for_its_owner() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    let owner = test_kit::connect(&arena.owner_url()).await;
    for sql in [
        "UPDATE ledger SET amount = amount".to_owned(),
        format!("DELETE FROM ledger WHERE bot_id = {}", bot.id),
        "TRUNCATE ledger".to_owned(),
        "UPDATE audit_log SET actor = 'nobody'".to_owned(),
    ] {
        assert!(refused(&owner, &sql).await.contains("append-only"), "{sql}");
    }
    let app = test_kit::connect(&arena.database_url()).await;
    for sql in ["UPDATE ledger SET amount = amount", "DELETE FROM ledger", "TRUNCATE ledger"] {
        assert!(refused(&app, sql).await.starts_with(DENIED), "{sql}");
    }
    for sql in ["DROP TABLE ledger", "ALTER TABLE ledger DISABLE TRIGGER ALL", "CREATE TABLE x ()"]
    {
        let message = refused(&app, sql).await;
        assert!(message.starts_with(DENIED), "{sql}");
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn broken_entries_are_refused_by_postgres() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await.id.0;
    let app = test_kit::connect(&arena.database_url()).await;
    let long = format!("'{}'", "x".repeat(201));
    let cases: [(&str, &[(&str, &str)]); 18] = [
        ("amount_fits_type", &[("amount", "1"), ("balance_after", "1001")]),
        ("amount_fits_type", &[("entry_type", "'PAYOUT'")]),
        ("amount_fits_type", &[("entry_type", "'SLASH'")]),
        ("amount_fits_type", &[("entry_type", "'LIQUIDATION'"), ("amount", "1")]),
        ("amount_fits_type", &[("entry_type", "'PAYOUT'"), ("amount", "'NaN'")]),
        ("balance_in_range", &[("amount", "-1001"), ("balance_after", "-1")]),
        ("balance_in_range", &[("balance_after", "'NaN'")]),
        ("sequence_starts_at_one", &[("sequence", "0")]),
        ("does not continue its chain", &[("sequence", "3")]),
        ("does not continue its chain", &[("previous_hash", "sha256('y')")]),
        ("does not continue its chain", &[("balance_after", "5")]),
        ("does not continue its chain", &[("recorded_at", "l.recorded_at - interval '1 second'")]),
        (
            "does not continue its chain",
            &[("entry_type", "'GRANT'"), ("amount", "1"), ("balance_after", "1001")],
        ),
        ("ledger_pkey", &[("sequence", "1")]),
        ("reference_is_printable", &[("reference", "''")]),
        ("reference_is_printable", &[("reference", "E'a\\nb'")]),
        ("reference_is_printable", &[("reference", &long)]),
        ("hashes_are_sha256", &[("hash", "'\\x00'")]),
    ];
    for (expected, changes) in cases {
        let sql = insert(bot, changes);
        let message = refused(&app, &sql).await;
        assert!(message.contains(expected), "{changes:?}: {message}");
    }
    // The same insert without a fault passes Postgres; only the audit detects its wrong hash.
    app.batch_execute(&insert(bot, &[])).await.unwrap();
}

#[tokio::test]
async fn a_session_that_freezes_inside_a_transaction_loses_its_locks() {
    let arena = Arena::new().await;
    let database = arena.database().dedicated().await.unwrap();
    let setting = |name: &'static str| {
        let database = &database;
        async move {
            let row = database.query_one(&format!("SHOW {name}"), &[]).await.unwrap();
            row.get::<_, String>(0)
        }
    };
    assert_eq!(setting("idle_in_transaction_session_timeout").await, "5s");
    assert_eq!(setting("lock_timeout").await, "5s");
    assert_eq!(setting("statement_timeout").await, "30s");
}

#[tokio::test]
async fn the_services_role_cannot_rewrite_who_is_who_or_what_was_wagered() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    let app = test_kit::connect(&arena.database_url()).await;
    for sql in [
        "UPDATE bots SET handle = 'other'",
        "UPDATE bots SET persona = 'other'",
        "DELETE FROM superseded_credentials",
        "UPDATE predictions SET direction = 'DOWN'",
        "UPDATE predictions SET wager_amount = 1",
        "DELETE FROM leases",
        "DELETE FROM wallets",
    ] {
        assert!(refused(&app, sql).await.starts_with(DENIED), "{sql}");
    }
    let mut conn = arena.conn().await;
    let by_id = db::bots::BotRef::Id(bot.id);
    db::bots::retire(&mut conn, &by_id, &"ops".parse().unwrap(), "enough", None).await.unwrap();
    let owner = arena.owner_client().await;
    let message = refused(&owner, "UPDATE bots SET status = 'ALIVE'").await;
    assert!(message.contains("retired for good"), "{message}");
}

#[tokio::test]
async fn no_credential_may_be_missing() {
    let arena = Arena::new().await;
    let app = test_kit::connect(&arena.database_url()).await;
    for column in ["api_key_hash", "api_secret_sha256"] {
        let other = if column == "api_key_hash" { "api_secret_sha256" } else { "api_key_hash" };
        let sql = format!(
            "INSERT INTO bots (handle, {other}) VALUES ('nobody', {})",
            match other {
                "api_key_hash" => "'$argon2id$x'",
                _ => "sha256('x')",
            }
        );
        let message = refused(&app, &sql).await;
        assert!(message.contains(column), "{message}");
    }
}
