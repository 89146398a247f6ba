//! `inspect-ledger` over two million entries against a COPY of the same rows in chain order.

use std::process::Stdio;
use std::time::{Duration, Instant};

use db::ticks::TickEngine;
use futures_util::TryStreamExt;
use ledger_core::economy::{EconomyRules, Enforcement};
use system_tests::{populate, stack};
use test_kit::Arena;

use crate::table::Table;

const BOTS: i64 = 50_000;
const TICKS: i64 = 40;
const ENTRIES: f64 = 2_050_000.0;
const PAIRS: usize = 3;
const GOAL: f64 = 0.75;
const MEMORY_MIB: f64 = 200.0;
const BACKUP_KEY: (&str, &str) =
    ("BACKUP_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
const RESTORED_GOAL: f64 = 0.9;
const COPY: &str = "COPY (SELECT bot_id, sequence, entry_type, amount, balance_after, reference, \
    recorded_at, previous_hash, hash FROM ledger ORDER BY bot_id, sequence) \
    TO STDOUT (FORMAT binary)";

pub(crate) async fn bench(table: &mut Table) {
    let rules = EconomyRules { enforcement: Enforcement::Enforce, ..EconomyRules::default() };
    let arena = Arena::new().await.with_rules(rules);
    populate::bots(&arena, 1, BOTS).await;
    let mut engine = TickEngine::connect(arena.database()).await.unwrap();
    for _ in 0..TICKS {
        let tick = populate::begin_tick(&arena).await;
        populate::sweep(&mut engine, &tick, arena.rules(), 1_000).await;
        populate::close_tick(&arena, &tick).await;
    }
    let owner = arena.owner_client().await;
    for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
        owner.batch_execute(settle).await.unwrap();
    }
    copy(&arena).await;
    let (mut audits, mut copies, mut peak) = (Vec::new(), Vec::new(), 0.0f64);
    for _ in 0..PAIRS {
        copies.push(copy(&arena).await);
        let (rate, memory) = inspect(&arena.database_url()).await;
        audits.push(rate);
        peak = peak.max(memory);
    }
    let what = "inspect-ledger of 2 M entries / COPY of them in chain order";
    table.ratio(what, &audits, &copies, "rows/s", GOAL);
    table.at_most("memory of inspect-ledger, at its peak", peak, "MiB", MEMORY_MIB);
    restored(table, &arena).await;
}

/// The same ledger, backed up and restored, audited in turn with the original.
async fn restored(table: &mut Table, arena: &Arena) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    let owner_url = arena.owner_url();
    let from = [("DATABASE_OWNER_URL", owner_url.as_str()), BACKUP_KEY];
    let backup = arenactl(&from, &["backup", "--to", &to]).await;
    let (owner, app) = test_kit::empty_database().await;
    let into = [("RESTORE_DATABASE_URL", owner.as_str()), BACKUP_KEY];
    arenactl(&into, &["restore", backup["manifest"].as_str().unwrap()]).await;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        ours.push(inspect(&arena.database_url()).await.0);
        theirs.push(inspect(&app).await.0);
    }
    let what = "inspect-ledger of a restored backup / of the original";
    table.ratio(what, &theirs, &ours, "rows/s", RESTORED_GOAL);
    let file = folder.path().join("ledger.jsonl").display().to_string();
    let url = arena.database_url();
    let began = Instant::now();
    arenactl(&[("DATABASE_URL", url.as_str())], &["export", "--to", &file]).await;
    let rate = ENTRIES / began.elapsed().as_secs_f64();
    println!("export of 2 M entries: {:.0} k rows/s", rate / 1000.0);
}

async fn arenactl(settings: &[(&str, &str)], arguments: &[&str]) -> serde_json::Value {
    let output = tokio::process::Command::new(stack::bin_dir().join("arenactl"))
        .arg("--json")
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ARENA_ENV_FILE", "/dev/null")
        .envs(settings.iter().copied())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn copy(arena: &Arena) -> f64 {
    let client = arena.owner_client().await;
    let began = Instant::now();
    let rows = client.copy_out(COPY).await.unwrap();
    let bytes = rows.try_fold(0, async |sum, row| Ok(sum + row.len())).await.unwrap();
    assert!(bytes > 100_000_000, "{bytes} bytes are not two million rows");
    ENTRIES / began.elapsed().as_secs_f64()
}

/// Rows a second of the whole command, from its start to its exit, and its peak memory in MiB.
async fn inspect(database_url: &str) -> (f64, f64) {
    let began = Instant::now();
    let mut child = tokio::process::Command::new(stack::bin_dir().join("arenactl"))
        .args(["--json", "inspect-ledger"])
        .env_clear()
        .env("ARENA_ENV_FILE", "/dev/null")
        .env("DATABASE_URL", database_url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = stack::memory_kib(pid, "VmHWM").unwrap_or(0).max(peak);
        match tokio::time::timeout(Duration::from_millis(5), child.wait()).await {
            Ok(status) => break status.unwrap(),
            Err(_) => continue,
        }
    };
    let rate = ENTRIES / began.elapsed().as_secs_f64();
    assert!(status.success(), "inspect-ledger failed: {status}");
    #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
    let mib = peak as f64 / 1024.0;
    (rate, mib)
}
