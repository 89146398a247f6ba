//! A backup that comes to life in another database, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use db::actions;
use serde_json::Value;
use test_kit::market::slip;

use crate::bench::{Bench, Ran};

async fn busy() -> Bench {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().handle("Mia").create().await;
    bench.arena.bot().dead().create().await;
    let market = bench
        .arena
        .market(ledger_core::market::MarketSource::News)
        .await
        .id;
    let bet = test_kit::market::new_bet(market, ledger_core::market::Side::Yes, "2.00");
    let mut conn = bench.arena.conn().await;
    db::markets::place(
        &mut conn,
        &slip(bot.id, vec![bet]),
        bench.arena.rules(),
        None,
    )
    .await
    .unwrap();
    bench
}

fn back_up(bench: &Bench) -> (Value, PathBuf) {
    let to = bench.dir.path().join("backups");
    let ran = bench
        .run(&["backup", "--to", to.to_str().unwrap(), "--json"])
        .ended_with(0)
        .json();
    let manifest = PathBuf::from(ran["manifest"].as_str().unwrap());
    (ran, manifest)
}

/// An empty database beside the arena's, which the owner owns.
async fn empty_database(bench: &Bench) -> String {
    let superuser = test_kit::superuser_url();
    let name = format!("restore_{}", uuid::Uuid::new_v4().simple());
    let owner = bench.arena.owner_url();
    let role = owner
        .split_once("://")
        .unwrap()
        .1
        .split_once(':')
        .unwrap()
        .0
        .to_owned();
    let client = test_kit::connect(&superuser).await;
    client
        .batch_execute(&format!("CREATE DATABASE {name} OWNER {role}"))
        .await
        .unwrap();
    let (server, _) = owner.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

fn restore(bench: &Bench, manifest: &Path, url: &str) -> Ran {
    let mut command = bench.command(&["restore", manifest.to_str().unwrap(), "--json"]);
    command.env("RESTORE_DATABASE_URL", url);
    bench.finish(command)
}

#[tokio::test]
async fn a_restored_backup_is_the_same_ledger_in_another_arena() {
    let bench = busy().await;
    let audit = bench
        .run(&["inspect-ledger", "--json"])
        .ended_with(0)
        .json();
    let (backup, manifest) = back_up(&bench);
    assert_eq!(backup["heads_digest"], audit["heads_digest"]);
    // What happens afterwards is not in it.
    let late = bench.arena.bot().handle("Late").create().await;
    let url = empty_database(&bench).await;
    let restored = restore(&bench, &manifest, &url).ended_with(0).json();
    assert_eq!(restored["heads_digest"], audit["heads_digest"]);
    assert_ne!(restored["arena"], restored["arena_before"]);
    let client = test_kit::connect(&url).await;
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count("SELECT count(*) FROM events").await, 0);
    assert_eq!(
        count(&format!("SELECT count(*) FROM bots WHERE id = {}", late.id)).await,
        0
    );
    // It goes on: the services' role may do there what it may do here.
    let services = bench.arena.database_url();
    let (server, _) = services.rsplit_once('/').unwrap();
    let name = url.rsplit_once('/').unwrap().1;
    let config = db::DatabaseConfig {
        url: format!("{server}/{name}"),
        pool_size: 2,
    };
    let database = db::Database::connect(config).await.unwrap();
    assert_eq!(
        database.schema_state().await.unwrap(),
        db::migrations::SchemaState::Current
    );
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
    actions::place(&mut conn, &wager, bench.arena.rules(), None)
        .await
        .unwrap();
    let audit = db::inspect::audit(&database, db::inspect::Options::default())
        .await
        .unwrap();
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
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
    }
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        3,
        "nothing half-made stays"
    );
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
    for damaged in [
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        {
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            flipped
        },
    ] {
        fs::write(&dump, damaged).unwrap();
        let ran = restore(&bench, &manifest, &url).ended_with(1);
        assert!(ran.stderr.contains("is damaged"), "{}", ran.stderr);
    }
    fs::write(&dump, &whole).unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("ledgerdome-backup/v1", "other")).unwrap();
    restore(&bench, &manifest, &url).ended_with(1);
    // A manifest that promises another ledger is found out by the audit.
    let digest = backup["heads_digest"].as_str().unwrap();
    fs::write(&manifest, text.replace(digest, &"0".repeat(64))).unwrap();
    let ran = restore(&bench, &manifest, &url).ended_with(1);
    assert!(
        ran.stderr.contains("is not what was backed up"),
        "{}",
        ran.stderr
    );
    let nowhere = bench.run(&["restore", "/nowhere.json"]).ended_with(78);
    assert!(
        nowhere.stderr.contains("RESTORE_DATABASE_URL"),
        "{}",
        nowhere.stderr
    );
}
