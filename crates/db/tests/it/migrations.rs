use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use db::migrations::{self, SchemaState};
use db::{Database, DatabaseConfig, DbError};
use ledger_core::market::MarketSource;
use sha2::{Digest, Sha256};
use test_kit::Arena;

/// The schema as pg_dump tells it, without data. Days of partitions depend on today and are made
/// again by the same function, so two dumps of one day agree.
pub(crate) fn schema_dump(url: &str) -> String {
    let output = Command::new("pg_dump")
        .args(["--schema-only", "--no-comments", "--dbname", url])
        .output()
        .expect("pg_dump from the postgresql-client package");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    // Newer versions wrap a dump in a random key of their own.
    let random = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    dump.lines().filter(random).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_goes_down_and_up_again_to_the_same_schema() {
    let arena = Arena::new().await;
    let url = arena.owner_url();
    let before = schema_dump(&url);
    assert!(before.contains("CREATE TABLE public.ledger"));
    let down = migrations::revert_all(&url).await.unwrap();
    let bare = schema_dump(&url);
    assert!(!bare.contains("CREATE TYPE") && !bare.contains("public.ledger"), "{bare}");
    let up = migrations::run(&url).await.unwrap();
    assert_eq!(down.versions.len(), up.versions.len());
    let dump = |text: &str| text.replace("START WITH 1\n", "");
    assert_eq!(dump(&schema_dump(&url)), dump(&before));
    assert_eq!(arena.database().schema_state().await.unwrap(), SchemaState::Current);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrators_at_once_wait_for_each_other() {
    let arena = Arena::new().await;
    migrations::revert_all(&arena.owner_url()).await.unwrap();
    assert!(matches!(
        arena.database().schema_state().await.unwrap(),
        SchemaState::Behind { missing: 1.. }
    ));
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = arena.owner_url();
        migrators.spawn(async move { migrations::run(&url).await.unwrap().versions.len() });
    }
    let mut applied = Vec::new();
    while let Some(count) = migrators.join_next().await {
        applied.push(count.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert!(applied[3] > 0);
}

#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused_at_once() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let (owner, app) = test_kit::empty_database_in(encoding).await;
        let refused = migrations::run(&owner).await.unwrap_err();
        assert!(matches!(&refused, DbError::Encoding(found) if found == encoding), "{refused}");
        assert!(refused.to_string().contains("ENCODING 'UTF8'"), "{refused}");
        let config = DatabaseConfig { url: app, pool_size: 1 };
        let refused = Database::connect(config).await.err().unwrap();
        assert!(matches!(&refused, DbError::Encoding(found) if found == encoding), "{refused}");
        assert!(!refused.retryable());
        let client = test_kit::connect(&owner).await;
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        let tables: i64 = client.query_one(tables, &[]).await.unwrap().get(0);
        assert_eq!(tables, 0, "nothing was begun in it");
    }
}

#[tokio::test]
async fn a_newer_schema_is_recognised() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    owner
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')")
        .await
        .unwrap();
    let state = arena.database().schema_state().await.unwrap();
    assert_eq!(state, SchemaState::Ahead { unknown: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_markets_is_a_row_that_migrating_writes() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let state = async || arena.database().schema_state().await.unwrap();
    owner.batch_execute("DELETE FROM market_sources WHERE label = 'NEWS'").await.unwrap();
    assert_eq!(state().await, SchemaState::Behind { missing: 1 });
    let up = migrations::run(&arena.owner_url()).await.unwrap();
    assert_eq!(up.versions, [""; 0]);
    assert_eq!(up.sources, ["NEWS"]);
    assert_eq!(state().await, SchemaState::Current);
    let market = arena.market(MarketSource::News).await;
    assert_eq!(market.source, MarketSource::News);
    owner.batch_execute("INSERT INTO market_sources VALUES ('TIDES')").await.unwrap();
    // While a newer build is rolled out, the older one goes on, until there is a market it cannot read.
    assert_eq!(state().await, SchemaState::Current);
    owner.batch_execute("UPDATE markets SET source = 'TIDES'").await.unwrap();
    assert_eq!(state().await, SchemaState::Ahead { unknown: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_type_is_a_label_that_migrating_adds() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let state = async || arena.database().schema_state().await.unwrap();
    let rename = async |from: &str, to: &str| {
        let rename = format!("ALTER TYPE entry_type RENAME VALUE '{from}' TO '{to}'");
        owner.batch_execute(&rename).await.unwrap();
    };
    // The database lacks one label of the build, and has one that the build does not know.
    rename("HEARTBEAT", "TOLL").await;
    assert_eq!(state().await, SchemaState::Behind { missing: 1 });
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = arena.owner_url();
        migrators.spawn(async move { migrations::run(&url).await.unwrap() });
    }
    let added: Vec<_> = migrators.join_all().await.into_iter().map(|ran| ran.entry_types).collect();
    assert_eq!(added.concat(), ["HEARTBEAT"], "exactly one migrator adds it");
    assert_eq!(state().await, SchemaState::Ahead { unknown: 1 });
    // The CHECK accepts a label that it does not name, if the amount is negative.
    let toll = "INSERT INTO ledger SELECT bot_id, sequence + 1, 'TOLL', $1::text::numeric, balance_after + $1::text::numeric, \
                'TICK:1', recorded_at, hash, previous_hash FROM ledger";
    let bot = arena.bot().create().await;
    let refused = owner.execute(toll, &[&"1"]).await.unwrap_err();
    let constraint = refused.as_db_error().unwrap().constraint().unwrap();
    assert_eq!(constraint, "ledger_amount_fits_type");
    assert_eq!(owner.execute(toll, &[&"-1"]).await.unwrap(), 1, "of {}", bot.id);
    let differences = db::catalogue::differences(arena.database()).await.unwrap();
    assert!(differences[0].ends_with("enum 'TOLL'"), "{differences:?}");
}

/// A database without a schema, and what it is called.
async fn unmigrated() -> (Arena, String) {
    let arena = Arena::new().await;
    let url = arena.owner_url();
    migrations::revert_all(&url).await.unwrap();
    (arena, url)
}

pub(crate) fn comparable(url: &str) -> String {
    schema_dump(url).replace("START WITH 1\n", "")
}

/// The lines of a dump, in which the last value of an enum ends like the others.
fn lines(dump: &str) -> Vec<&str> {
    dump.lines().map(|line| line.trim_end_matches(',')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_migration_by_itself_goes_up_down_and_up() {
    let (_arena, url) = unmigrated().await;
    let all = migrations::known_versions().unwrap();
    let mut below = comparable(&url);
    for _ in &all {
        let up = migrations::run_next(&url).await.unwrap();
        let above = comparable(&url);
        assert_ne!(above, below, "{up:?} does nothing");
        assert_eq!(migrations::revert_last(&url).await.unwrap(), up);
        let left = comparable(&url);
        let (is, was) = (lines(&left), lines(&below));
        let behind: Vec<_> = is.iter().filter(|line| !was.contains(line)).collect();
        let missing: Vec<_> = was.iter().filter(|line| !is.contains(line)).collect();
        // Postgres cannot take a value out of an enum, so it stays, and does no harm.
        let is_value = |line: &&&str| line.starts_with("    '") && line.ends_with('\'');
        let only_values = adds_to_an_enum(&up.versions) && behind.iter().all(is_value);
        assert!(
            left == below || only_values && missing.is_empty(),
            "{up:?} leaves {behind:?} behind and takes {missing:?} along"
        );
        assert_eq!(migrations::run_next(&url).await.unwrap(), up);
        assert_eq!(comparable(&url), above, "{up:?} is another the second time");
        below = above;
    }
    assert!(migrations::run_next(&url).await.is_err(), "there are more");
}

/// The version that diesel makes of a folder's name.
fn version_of(folder: &str) -> String {
    let number = folder.split('_').next().unwrap_or_default();
    number.replace('-', "")
}

/// The folders in `migrations/`.
fn folders() -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder()).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
}

/// Whether one of these versions adds values to an enum.
fn adds_to_an_enum(versions: &[String]) -> bool {
    folders().iter().filter(|(name, _)| versions.contains(&version_of(name))).any(|(_, path)| {
        let up = std::fs::read_to_string(path.join("up.sql")).unwrap();
        up.contains("ADD VALUE")
    })
}

/// Rows of every kind, those of them that a later table holds going with it.
#[tokio::test(flavor = "multi_thread")]
async fn each_migration_comes_back_over_rows() {
    let arena = crate::audit::with_everything().await;
    let url = arena.owner_url();
    let before = comparable(&url);
    let owner = arena.owner_client().await;
    let kept = "SELECT (SELECT count(*) FROM ledger), (SELECT sum(balance)::text FROM wallets), \
                       (SELECT count(*) FROM bots), (SELECT string_agg(encode(hash, 'hex'), '' ORDER BY bot_id, sequence) FROM ledger)";
    let look = || async {
        let row = owner.query_one(kept, &[]).await.unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, String>(1),
            row.get::<_, i64>(2),
            row.get::<_, String>(3),
        )
    };
    let money = look().await;
    assert!(money.0 > 10, "{money:?}");
    let all = migrations::known_versions().unwrap().len();
    // The first two make the bots and the ledger themselves.
    for depth in 1..=all - 2 {
        for _ in 0..depth {
            migrations::revert_last(&url).await.unwrap();
        }
        let up = migrations::run(&url).await.unwrap();
        assert_eq!(up.versions.len(), depth);
        assert_eq!(comparable(&url), before, "after {up:?}");
        assert_eq!(look().await, money, "after {up:?}");
    }
}

/// A value is added to an enum while others read it, outside of any transaction, as Postgres wants it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_may_run_outside_of_a_transaction() {
    let arena = Arena::new().await;
    let folder = tempfile::tempdir().unwrap();
    let migration = folder.path().join("9999-01-01-000000_another_kind_of_event");
    std::fs::create_dir(&migration).unwrap();
    let write = |name: &str, text: &str| std::fs::write(migration.join(name), text).unwrap();
    write("metadata.toml", "run_in_transaction = false\n");
    write("up.sql", "ALTER TYPE event_kind ADD VALUE IF NOT EXISTS 'weather';\n");
    write("down.sql", "SELECT 1;\n");
    let source = || diesel_migrations::FileBasedMigrations::from_path(folder.path()).unwrap();
    let up = migrations::run_from(&arena.owner_url(), source()).await.unwrap();
    assert_eq!(up.versions.len(), 1);
    let known = "SELECT count(*) FROM pg_enum WHERE enumlabel = 'weather'";
    let owner = arena.owner_client().await;
    assert_eq!(owner.query_one(known, &[]).await.unwrap().get::<_, i64>(0), 1);
    // One that was cut off before it was written down is simply run again.
    owner
        .batch_execute("DELETE FROM __diesel_schema_migrations WHERE version LIKE '9999%'")
        .await
        .unwrap();
    migrations::run_from(&arena.owner_url(), source()).await.unwrap();
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// What the files themselves must keep to.
#[test]
fn migrations_keep_to_the_rules() {
    for (name, folder) in folders() {
        let up = std::fs::read_to_string(folder.join("up.sql")).unwrap();
        assert!(folder.join("down.sql").exists(), "{name} has no way down");
        if up.contains("ADD VALUE") {
            let metadata =
                std::fs::read_to_string(folder.join("metadata.toml")).unwrap_or_default();
            assert!(
                metadata.contains("run_in_transaction = false") && up.contains("IF NOT EXISTS"),
                "{name} adds to an enum: outside of a transaction, and so that it may be repeated"
            );
        }
        // The services' role changes its name when it is rotated.
        if name.as_str() > "2026-11-27-000012_pauses" {
            assert!(!up.contains("arena_app"), "{name}: grant by to_services()");
        }
    }
}

/// In the format of sha256sum; new lines go to its end, and none is ever changed.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/migrations.sha256");

/// Path below `migrations/` and SHA-256 of each file in it.
fn digests() -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    for (migration, path) in folders() {
        for file in std::fs::read_dir(path).unwrap() {
            let file = file.unwrap();
            let name = format!("{migration}/{}", file.file_name().into_string().unwrap());
            let mut hex = String::new();
            for byte in Sha256::digest(std::fs::read(file.path()).unwrap()) {
                write!(hex, "{byte:02x}").unwrap();
            }
            digests.insert(name, hex);
        }
    }
    digests
}

/// A migration that somebody has run is history: whoever edits it makes two schemas of one name.
#[test]
fn no_file_of_a_migration_was_changed() {
    let present = digests();
    let mut text = std::fs::read_to_string(RECORDED).unwrap();
    let mut recorded = BTreeMap::new();
    for line in text.lines() {
        let (hash, name) = line.split_once("  ").expect("a line of sha256sum");
        let before = recorded.insert(name.to_owned(), hash.to_owned());
        assert!(before.is_none(), "{name} is in {RECORDED} twice: remove the newer line");
    }
    for (name, hash) in &recorded {
        assert!(
            present.get(name) == Some(hash),
            "migrations/{name} is not the file that was recorded. Databases have run it already: put it \
             back as it was, and write a migration of your own"
        );
    }
    let mut missing = String::new();
    for (name, hash) in present.iter().filter(|(name, _)| !recorded.contains_key(*name)) {
        writeln!(missing, "{hash}  {name}").unwrap();
    }
    #[allow(clippy::disallowed_methods, reason = "a switch for whoever adds a migration")]
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        text.push_str(&missing);
        std::fs::write(RECORDED, text).unwrap();
        return;
    }
    assert!(
        missing.is_empty(),
        "new in migrations/; once they are as they shall stay, add to the end of {RECORDED}:\n{missing}"
    );
}

/// Two migrations of one number would run in the order of their names, which nobody looks at.
#[test]
fn each_migration_has_a_number_of_its_own() {
    let mut numbers = BTreeSet::new();
    for (name, _) in folders() {
        assert!(numbers.insert(version_of(&name)), "{name}: its number is taken");
    }
}

#[tokio::test]
async fn what_is_granted_to_the_services_reaches_each_role_they_have() {
    let arena = Arena::new().await;
    let name = format!("stand_in_{}", uuid::Uuid::new_v4().simple());
    let superuser = arena.owner_client().await;
    superuser
        .batch_execute(&format!(
            "CREATE ROLE {name}; GRANT INSERT ON ledger TO {name}; CREATE TABLE to_see ();"
        ))
        .await
        .unwrap();
    superuser.batch_execute("SELECT to_services('GRANT SELECT ON to_see TO %I')").await.unwrap();
    let may = "SELECT has_table_privilege($1, 'to_see', 'SELECT')";
    for (role, expected) in [(name.as_str(), true), ("arena_app", true), ("pg_monitor", false)] {
        let seen: bool = superuser.query_one(may, &[&role]).await.unwrap().get(0);
        assert_eq!(seen, expected, "{role}");
    }
    let forbidden = test_kit::connect(&arena.database_url())
        .await
        .batch_execute("SELECT to_services('SELECT 1')")
        .await;
    let forbidden = forbidden.unwrap_err();
    assert_eq!(forbidden.code().unwrap().code(), "42501");
    superuser.batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await.unwrap();
}
