//! A backup restored in another database, and refused ones: damaged, forged, or with more rights than the
//! migrations grant.

mod tampering;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use db::actions;
use serde_json::Value;
use test_kit::market::slip;

use crate::bench::{BACKUP_KEY, Bench, Ran};

const ANOTHER_KEY: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

async fn busy() -> Bench {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().handle("Mia").create().await;
    bench.arena.bot().dead().create().await;
    let market = bench.arena.market(ledger_core::market::MarketSource::News).await.id;
    let bet = test_kit::market::new_bet(market, ledger_core::market::Side::Yes, "2.00");
    let mut conn = bench.arena.conn().await;
    db::markets::place(&mut conn, &slip(bot.id, vec![bet]), bench.arena.rules(), None)
        .await
        .unwrap();
    bench
}

fn back_up(bench: &Bench) -> (Value, PathBuf) {
    back_up_to(bench, "backups")
}

fn back_up_to(bench: &Bench, folder: &str) -> (Value, PathBuf) {
    let to = bench.dir.path().join(folder);
    let ran = bench.run(&["backup", "--to", to.to_str().unwrap(), "--json"]).ended_with(0).json();
    let manifest = PathBuf::from(ran["manifest"].as_str().unwrap());
    (ran, manifest)
}

/// A second, empty database, which the owner owns.
async fn empty_database(bench: &Bench) -> String {
    let superuser = test_kit::superuser_url();
    let name = format!("restore_{}", uuid::Uuid::new_v4().simple());
    let owner = bench.arena.owner_url();
    let role = owner.split_once("://").unwrap().1.split_once(':').unwrap().0.to_owned();
    let client = test_kit::connect(&superuser).await;
    client.batch_execute(&format!("CREATE DATABASE {name} OWNER {role}")).await.unwrap();
    let (server, _) = owner.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

fn restore(bench: &Bench, manifest: &Path, url: &str) -> Ran {
    restore_with(bench, manifest, url, &[], &[])
}

fn restore_with(
    bench: &Bench,
    manifest: &Path,
    url: &str,
    flags: &[&str],
    settings: &[(&str, &str)],
) -> Ran {
    let mut arguments = vec!["restore", manifest.to_str().unwrap(), "--json"];
    arguments.extend(flags);
    let mut command = bench.command(&arguments);
    command.env("RESTORE_DATABASE_URL", url).envs(settings.iter().copied());
    bench.finish(command)
}

/// A restore at work.
fn begin_restore(bench: &Bench, manifest: &Path, url: &str) -> Child {
    let mut command = bench.command(&["restore", manifest.to_str().unwrap(), "--json"]);
    command.env("RESTORE_DATABASE_URL", url).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A superuser's session in the database of the URL.
async fn superuser_in(url: &str) -> tokio_postgres::Client {
    let superuser = test_kit::superuser_url();
    let (server, _) = superuser.rsplit_once('/').unwrap();
    let (_, name) = url.rsplit_once('/').unwrap();
    test_kit::connect(&format!("{server}/{name}")).await
}

/// Until a statement of this kind waits for a lock in the database of the URL.
async fn waits(url: &str, statement: &str) {
    let watcher = test_kit::connect(&test_kit::superuser_url()).await;
    let (_, name) = url.rsplit_once('/').unwrap();
    let ask = "SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' \
               AND query LIKE '%' || $2 || '%'";
    test_kit::eventually(statement, || async {
        watcher.query_opt(ask, &[&name, &statement]).await.unwrap().map(drop)
    })
    .await;
}

fn edit(manifest: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut facts: Value = serde_json::from_str(&fs::read_to_string(manifest).unwrap()).unwrap();
    change(facts.as_object_mut().unwrap());
    fs::write(manifest, facts.to_string()).unwrap();
}

#[tokio::test]
async fn a_restored_backup_is_the_same_ledger_in_another_arena() {
    let bench = busy().await;
    let audit = bench.run(&["inspect-ledger", "--json"]).ended_with(0).json();
    let (backup, manifest) = back_up(&bench);
    assert_eq!(backup["heads_digest"], audit["heads_digest"]);
    // Later changes are not in it.
    let late = bench.arena.bot().handle("Late").create().await;
    let url = empty_database(&bench).await;
    let restored =
        restore_with(&bench, &manifest, &url, &["--by", "ada"], &[]).ended_with(0).json();
    assert_eq!(restored["heads_digest"], audit["heads_digest"]);
    assert_ne!(restored["arena"], restored["arena_before"]);
    let client = test_kit::connect(&url).await;
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let recorded = "SELECT count(*) FROM audit_log WHERE action = 'RESTORE' AND actor = 'ada'";
    assert_eq!(count(recorded).await, 1);
    assert_eq!(count("SELECT count(*) FROM events").await, 0);
    assert_eq!(count(&format!("SELECT count(*) FROM bots WHERE id = {}", late.id)).await, 0);
    // It goes on: the services' role may do there what it may do here.
    let services = bench.arena.database_url();
    let (server, _) = services.rsplit_once('/').unwrap();
    let name = url.rsplit_once('/').unwrap().1;
    let config = db::DatabaseConfig { url: format!("{server}/{name}"), pool_size: 2 };
    let database = db::Database::connect(config).await.unwrap();
    assert_eq!(database.schema_state().await.unwrap(), db::migrations::SchemaState::Current);
    let mut conn = database.get().await.unwrap();
    let mia = db::bots::BotRef::Handle("Mia".parse().unwrap());
    let id = db::bots::find(&mut conn, &mia).await.unwrap().id;
    let wager = actions::Wager {
        bot_id: id,
        observation_id: ledger_core::ObservationId(uuid::Uuid::new_v4()),
        direction: ledger_core::prediction::Direction::Up,
        stake: bench.arena.rules().stake("1.00".parse().unwrap()).unwrap(),
        confidence: "0.60".parse().unwrap(),
        reasoning: String::new(),
        usage: None,
    };
    actions::place(&mut conn, &wager, bench.arena.rules(), None).await.unwrap();
    let audit = db::audit::audit(&database, db::audit::Options::default()).await.unwrap();
    assert!(audit.is_sound(), "{:?}", audit.faults);
    let refused = client.execute("UPDATE ledger SET amount = 0", &[]).await;
    assert!(refused.is_err(), "the ledger's guards came along");
}

#[tokio::test]
async fn the_files_can_be_checked_without_us_and_are_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = busy().await;
    let (_, manifest) = back_up(&bench);
    let folder = manifest.parent().unwrap();
    let sums = manifest.with_extension("sha256");
    let checked = std::process::Command::new("sha256sum")
        .args(["--check", "--quiet"])
        .arg(&sums)
        .current_dir(folder)
        .status();
    assert!(checked.unwrap().success());
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 3, "nothing half-made stays");
}

#[tokio::test]
async fn what_is_damaged_or_in_the_way_is_refused_before_anything_is_written() {
    let bench = busy().await;
    let (backup, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    // The live arena is not empty.
    let ran = restore(&bench, &manifest, &bench.arena.owner_url()).ended_with(1);
    assert!(ran.stderr.contains("is not empty"), "{}", ran.stderr);
    let dump = manifest.with_file_name(backup["dump"].as_str().unwrap());
    let whole = fs::read(&dump).unwrap();
    for damaged in [whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat(), {
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        flipped
    }] {
        fs::write(&dump, damaged).unwrap();
        let ran = restore(&bench, &manifest, &url).ended_with(1);
        assert!(ran.stderr.contains("is damaged"), "{}", ran.stderr);
    }
    fs::write(&dump, &whole).unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("ledgerdome-backup/v2", "other")).unwrap();
    restore(&bench, &manifest, &url).ended_with(1);
    // A manifest that promises another ledger is found out by the audit.
    let digest = backup["heads_digest"].as_str().unwrap();
    fs::write(&manifest, text.replace(digest, &"0".repeat(64))).unwrap();
    let trusting = ["--unauthenticated"];
    let ran = restore_with(&bench, &manifest, &url, &trusting, &[]).ended_with(1);
    assert!(ran.stderr.contains("is not the backed-up one"), "{}", ran.stderr);
    must_be_unfinished(&bench, &url).await;
    let nowhere = bench.run(&["restore", "/nowhere.json"]).ended_with(78);
    assert!(nowhere.stderr.contains("RESTORE_DATABASE_URL"), "{}", nowhere.stderr);
}

/// Nothing starts on the database, and nothing is done to it.
async fn must_be_unfinished(bench: &Bench, url: &str) {
    let services = bench.arena.database_url();
    let (server, _) = services.rsplit_once('/').unwrap();
    let (_, name) = url.rsplit_once('/').unwrap();
    let config = db::DatabaseConfig { url: format!("{server}/{name}"), pool_size: 1 };
    let database = db::Database::connect(config.clone()).await.unwrap();
    let state = database.schema_state().await;
    assert!(matches!(state, Err(db::DbError::Unfinished)), "{state:?}");
    for (command, setting, url) in [
        ("inspect-ledger", "DATABASE_URL", config.url.as_str()),
        ("after-recovery", "DATABASE_OWNER_URL", url),
        ("migrate", "DATABASE_OWNER_URL", url),
    ] {
        let mut command = bench.bare_command(&[command]);
        let ran = bench.finish({
            command.env(setting, url);
            command
        });
        let ran = ran.ended_with(1);
        let words = "was interrupted or failed: drop the database";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    let mut command = bench.command(&["debug-auth"]);
    command.env("DATABASE_OWNER_URL", url);
    let ran = bench.finish(command).ended_with(1);
    assert!(ran.stdout.contains("FAILS  schema: a restore into this database"), "{}", ran.stdout);
}

#[tokio::test]
async fn nothing_starts_on_a_database_whose_restore_was_interrupted() {
    let bench = busy().await;
    let (_, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    let mut held = superuser_in(&url).await;
    let (_, name) = url.rsplit_once('/').unwrap();
    let hold = held.transaction().await.unwrap();
    // The step to a new identity changes the right to connect, and so waits for this.
    let change = format!("ALTER DATABASE {name} CONNECTION LIMIT 100");
    hold.batch_execute(&change).await.unwrap();
    let mut restoring = begin_restore(&bench, &manifest, &url);
    waits(&url, "TRUNCATE events").await;
    restoring.kill().unwrap();
    restoring.wait().unwrap();
    hold.rollback().await.unwrap();
    let client = test_kit::connect(&url).await;
    let entries = "SELECT count(*) FROM ledger";
    let entries: i64 = client.query_one(entries, &[]).await.unwrap().get(0);
    assert!(entries > 0, "all rows were loaded");
    must_be_unfinished(&bench, &url).await;
}

/// A person with write access to the backups changes the dump between check and use.
#[tokio::test]
async fn what_is_restored_is_what_was_looked_at() {
    let bench = busy().await;
    let (backup, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    let mut held = superuser_in(&url).await;
    let hold = held.transaction().await.unwrap();
    hold.batch_execute("LOCK TABLE pg_catalog.pg_class IN SHARE MODE").await.unwrap();
    let restoring = begin_restore(&bench, &manifest, &url);
    // It makes the first table, and has yet to load rows.
    waits(&url, "CREATE TABLE").await;
    let dump = manifest.with_file_name(backup["dump"].as_str().unwrap());
    fs::write(&dump, "forged").unwrap();
    hold.commit().await.unwrap();
    let restored = bench.wait(restoring).ended_with(0).json();
    assert_eq!(restored["heads_digest"], backup["heads_digest"]);
}

/// A person with write access to the backups replaces the file that pg_dump writes.
#[tokio::test]
async fn what_takes_a_dumps_place_while_it_is_made_is_not_authenticated() {
    let bench = busy().await;
    let mut held = bench.arena.owner_client().await;
    let hold = held.transaction().await.unwrap();
    // The concurrent audit does not read it.
    hold.batch_execute("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let to = bench.dir.path().join("backups");
    let mut command = bench.command(&["backup", "--to", to.to_str().unwrap(), "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let backing_up = command.spawn().unwrap();
    waits(&bench.arena.owner_url(), "LOCK TABLE").await;
    let partial = fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&partial).unwrap();
    fs::write(&partial, "forged").unwrap();
    hold.rollback().await.unwrap();
    let backup = bench.wait(backing_up).ended_with(0).json();
    let manifest = PathBuf::from(backup["manifest"].as_str().unwrap());
    let url = empty_database(&bench).await;
    let ran = restore(&bench, &manifest, &url).ended_with(1);
    assert!(ran.stderr.contains("is damaged"), "{}", ran.stderr);
}

/// Its name is no part of the schema, so that what it may is no difference.
#[tokio::test]
async fn another_role_that_may_all_that_services_may_is_named_and_not_restored() {
    let bench = busy().await;
    let name = format!("stranger_{}", uuid::Uuid::new_v4().simple());
    let superuser = test_kit::superuser_url();
    let (server, _) = superuser.rsplit_once('/').unwrap();
    let services = bench.arena.database_url();
    let (_, database) = services.rsplit_once('/').unwrap();
    let mut admin = db::roles::RoleAdmin::open(&format!("{server}/{database}")).await.unwrap();
    admin.succeed("arena_app", &name, "first").await.unwrap();
    drop(admin);
    // As a rotation leaves it half-way: the one is about to take the other's place.
    let ran = bench.run(&["debug-auth"]).ended_with(0);
    let works = "works  services: only arena_app may append to the ledger";
    assert!(ran.stdout.contains(works), "{}", ran.stdout);
    let client = test_kit::connect(&superuser).await;
    let over = format!("COMMENT ON ROLE {name} IS NULL");
    client.batch_execute(&over).await.unwrap();
    let ran = bench.run(&["debug-auth"]).ended_with(1);
    let fails = format!("FAILS  services: {name} may append to the ledger");
    assert!(ran.stdout.contains(&fails), "{}", ran.stdout);
    // A backup names it; a manifest that does not is of another dump.
    let (backup, manifest) = back_up(&bench);
    let roles = serde_json::json!(["arena_app", name]);
    assert_eq!(backup["services_roles"], roles);
    edit(&manifest, |facts| {
        facts.insert("services_roles".to_owned(), serde_json::json!(["arena_app"]));
    });
    let url = empty_database(&bench).await;
    let trusting = ["--unauthenticated"];
    let ran = restore_with(&bench, &manifest, &url, &trusting, &[]).ended_with(1);
    let words = format!("are arena_app, {name}, and the manifest names arena_app");
    assert!(ran.stderr.contains(&words), "{}", ran.stderr);
    must_be_unfinished(&bench, &url).await;
}

#[tokio::test]
async fn a_restore_is_reported_whatever_becomes_of_the_log() {
    let bench = busy().await;
    let owner = bench.arena.owner_client().await;
    crate::after_recovery::no_more_acts_fit(&owner).await;
    let (backup, manifest) = back_up(&bench);
    let url = empty_database(&bench).await;
    let ran = restore(&bench, &manifest, &url).ended_with(1);
    assert!(ran.stderr.contains("RESTORE is done, but not in the audit log"), "{}", ran.stderr);
    assert_eq!(ran.json()["heads_digest"], backup["heads_digest"]);
}

/// After a rotation and a reset the private Postgres has the migrations' grants in a role without login, and the
/// services' role is a member of it.
#[tokio::test]
async fn a_role_that_only_the_services_log_in_through_is_no_stranger() {
    let bench = Bench::new().await;
    let random = uuid::Uuid::new_v4().simple().to_string();
    let [services, group, inner, stranger] =
        ["services", "group", "inner", "stranger"].map(|role| format!("{role}_{random}"));
    let owner = bench.arena.owner_client().await;
    let client = test_kit::connect(&test_kit::superuser_url()).await;
    let make = format!(
        "CREATE ROLE {services} LOGIN; CREATE ROLE {group}; CREATE ROLE {inner}; \
         CREATE ROLE {stranger} LOGIN NOINHERIT; GRANT {group} TO {services}, {inner}"
    );
    client.batch_execute(&make).await.unwrap();
    let grant = format!("GRANT INSERT ON ledger TO {group}");
    owner.batch_execute(&grant).await.unwrap();
    // Other tests have roles of their own in this cluster.
    let others = async || -> Vec<String> {
        let others = db::roles::others_that_append(bench.arena.database(), &services);
        let all = others.await.unwrap().into_iter();
        all.filter(|role| role.contains(&random)).collect()
    };
    // A role without login through which the services have no rights is reported: an attacker could use it.
    assert_eq!(others().await, std::slice::from_ref(&inner));
    // Through two roles, and only with `SET ROLE`: it has the right.
    let member = format!("GRANT {inner} TO {stranger}");
    client.batch_execute(&member).await.unwrap();
    assert_eq!(others().await, [inner.clone(), stranger.clone()]);
    let revoke = format!("REVOKE INSERT ON ledger FROM {group}");
    owner.batch_execute(&revoke).await.unwrap();
    let over = format!("DROP ROLE {services}, {group}, {inner}, {stranger}");
    client.batch_execute(&over).await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_append_and_is_no_services_role_is_named() {
    let bench = Bench::new().await;
    let name = format!("stranger_{}", uuid::Uuid::new_v4().simple());
    let owner = bench.arena.owner_client().await;
    let grant = format!("CREATE ROLE {name}; GRANT INSERT ON ledger TO {name}");
    owner.batch_execute(&grant).await.unwrap();
    let ran = bench.run(&["debug-auth"]).ended_with(1);
    assert!(ran.stdout.contains(&format!("{name}: should be there")), "{}", ran.stdout);
    assert!(ran.stdout.contains(&format!("FAILS  services: {name} may append")), "{}", ran.stdout);
    // One that may not append may do nothing else either.
    let read = format!("REVOKE INSERT ON ledger FROM {name}; GRANT SELECT (id) ON bots TO {name}");
    owner.batch_execute(&read).await.unwrap();
    let ran = bench.run(&["debug-auth"]).ended_with(1);
    let named =
        format!("{name}: is there and should not be: the role may SELECT column public.bots.id");
    assert!(ran.stdout.contains(&named), "{}", ran.stdout);
    owner.batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await.unwrap();
    bench.run(&["debug-auth"]).ended_with(0);
}

#[tokio::test]
async fn a_ledger_that_no_role_may_append_to_is_named() {
    let bench = Bench::new().await;
    let owner = bench.arena.owner_client().await;
    let revoke = "REVOKE INSERT ON ledger FROM arena_app";
    owner.batch_execute(revoke).await.unwrap();
    let ran = bench.run(&["debug-auth"]).ended_with(1);
    assert!(
        ran.stdout.contains("FAILS  schema: no role may append to the ledger"),
        "{}",
        ran.stdout
    );
}

/// A backup of the build before rules were stored: its schema, without authentication.
#[tokio::test]
async fn a_backup_of_an_older_build_is_compared_with_its_own_migrations_and_brought_up() {
    let bench = busy().await;
    let audit = bench.run(&["inspect-ledger", "--json"]).ended_with(0).json();
    let url = bench.arena.owner_url();
    let before = "20261127000013";
    while newest(&url).await.as_str() > before {
        db::migrations::revert_last(&url).await.unwrap();
    }
    let dump = bench.dir.path().join("old.dump");
    let dumped = std::process::Command::new("pg_dump")
        .args(["--format=custom", "--file"])
        .arg(&dump)
        .arg(&url)
        .status();
    assert!(dumped.unwrap().success());
    let bytes = fs::read(&dump).unwrap();
    let sha256 = ledger_core::Hash(<sha2::Sha256 as sha2::Digest>::digest(&bytes).into());
    let manifest = bench.dir.path().join("old.json");
    let mut facts = serde_json::json!({
        "format": "ledgerdome-backup/v1", "migration": before, "server_major": 13, "sound": true,
        "services_roles": ["arena_app"], "arena": audit["database"]["arena"], "dump": "old.dump",
        "bytes": bytes.len(), "sha256": sha256.to_string(),
    });
    for field in ["as_of", "bots", "entries", "markets", "heads_digest"] {
        facts[field] = audit[field].clone();
    }
    fs::write(&manifest, facts.to_string()).unwrap();
    let into = empty_database(&bench).await;
    let trusting = ["--unauthenticated"];
    let restored = restore_with(&bench, &manifest, &into, &trusting, &[]).ended_with(0).json();
    assert_eq!(restored["heads_digest"], audit["heads_digest"]);
    assert!(restored["migrated"].as_u64() > Some(0), "{restored}");
    assert_eq!(restored["schema_differences"], serde_json::json!([]));
}

async fn newest(url: &str) -> String {
    let ask = "SELECT max(version) FROM __diesel_schema_migrations";
    test_kit::connect(url).await.query_one(ask, &[]).await.unwrap().get(0)
}
