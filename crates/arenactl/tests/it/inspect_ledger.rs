//! The verdict on a ledger, and the name of what is wrong with it.

use std::fs;

use ledger_core::EconomyRules;
use ledger_core::economy::Enforcement;
use serde_json::Value;

use crate::bench::Bench;

async fn tamper(bench: &Bench, update: &str) {
    let text = format!(
        "ALTER TABLE ledger DISABLE TRIGGER ALL; {update}; ALTER TABLE ledger ENABLE TRIGGER ALL"
    );
    bench.arena.owner_client().await.batch_execute(&text).await.unwrap();
}

#[tokio::test]
async fn a_sound_ledger_ends_with_zero_and_a_summary() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.arena.bot().balance("3.50").create().await;
    }
    bench.arena.bot().dead().create().await;
    let file = bench.dir.path().join("report.json");
    let path = file.to_str().unwrap();
    let ran = bench.run(&["inspect-ledger", "--workers", "3", "--report", path]).ended_with(0);
    assert!(ran.stdout.starts_with("The ledger is sound."), "{}", ran.stdout);
    assert!(ran.stdout.contains("drift         0.00000000"), "{}", ran.stdout);
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report["sound"], true);
    assert_eq!(report["bots"], 4);
    assert_eq!(report["faults_total"], 0);

    let json = bench.run(&["inspect-ledger", "--json"]).ended_with(0).json();
    assert_eq!(json["heads_digest"], report["heads_digest"]);
    assert_eq!(json["entries"], report["entries"]);
}

#[tokio::test]
async fn a_report_says_of_which_database_it_is_and_whose_rules_hold_there() {
    let Bench { arena, dir } = Bench::new().await;
    let rules = EconomyRules::default();
    let bench = Bench { arena: arena.with_rules(rules.clone()), dir };
    bench.arena.bot().create().await;
    bench.arena.tick(rules.enforcement).await;
    let report = bench.run(&["inspect-ledger", "--json"]).ended_with(0).json();
    let url = bench.arena.database_url();
    let (_, name) = url.rsplit_once('/').unwrap();
    assert_eq!(report["database"]["name"], name);
    let digest = rules.digest().to_string();
    assert_eq!(report["database"]["rules"], digest);
    assert_eq!(report["settings_rules"], digest);
    let same = bench.run(&["inspect-ledger"]).ended_with(0);
    assert!(
        same.stdout.contains(&format!("  database      {name}"))
            && same.stdout.contains(&format!("  rules         {digest}\n")),
        "{}",
        same.stdout
    );
    let mut command = bench.command(&["inspect-ledger"]);
    command.env("LOOKUP_FEE", "0.77");
    let other =
        EconomyRules::from_settings(|name| (name == "LOOKUP_FEE").then(|| "0.77".to_owned()));
    let line = format!(
        "  rules         {digest}, not those of the settings here ({})\n",
        other.unwrap().digest()
    );
    let ran = bench.finish(command).ended_with(0);
    assert!(ran.stdout.contains(&line), "{}", ran.stdout);
}

#[tokio::test]
async fn a_flipped_byte_is_named() {
    let bench = Bench::new().await;
    let bots = [bench.arena.bot().create().await, bench.arena.bot().create().await];
    bench.arena.tick(Enforcement::Enforce).await;
    let flip = format!(
        "UPDATE ledger SET hash = set_byte(hash, 5, get_byte(hash, 5) # 1) \
          WHERE bot_id = {} AND sequence = 1",
        bots[1].id
    );
    tamper(&bench, &flip).await;
    let file = bench.dir.path().join("report.json");
    let path = file.to_str().unwrap();
    let ran = bench.run(&["inspect-ledger", "--report", path]).ended_with(1);
    assert!(ran.stdout.starts_with("The ledger is BROKEN"), "{}", ran.stdout);
    let named = format!("fault  bot {}, entry 1, hash: expected ", bots[1].id);
    assert!(ran.stdout.contains(&named), "{}", ran.stdout);
    assert!(!ran.stdout.contains(&format!("bot {},", bots[0].id)), "{}", ran.stdout);
    assert!(ran.stderr.contains("the ledger is broken"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report["sound"], false);
    assert_eq!(report["faults"][0]["bot_id"], bots[1].id.0);

    let json = bench.run(&["--json", "inspect-ledger"]).ended_with(1).json();
    assert_eq!(json["faults"], report["faults"]);
}

#[tokio::test]
async fn what_a_tamperer_wrote_does_nothing_to_the_terminal() {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().create().await;
    let update = format!(
        "ALTER TABLE ledger DROP CONSTRAINT ledger_reference_is_printable; \
         UPDATE ledger SET reference = E'\\x1b[2Jgone' WHERE bot_id = {}",
        bot.id
    );
    tamper(&bench, &update).await;
    let ran = bench.run(&["inspect-ledger"]).ended_with(1);
    assert!(ran.stdout.contains(&format!("bot {}, entry 1, ", bot.id)), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_noticed_before_the_audit() {
    let bench = Bench::new().await;
    let nowhere = bench.dir.path().join("nowhere/report.json");
    let args = ["--json", "inspect-ledger", "--report", nowhere.to_str().unwrap()];
    let ran = bench.run(&args).ended_with(1);
    assert!(ran.stderr.contains("cannot write"), "{}", ran.stderr);
    assert_eq!(ran.json()["exit_code"], 1);
}
