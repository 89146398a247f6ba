//! A ledger on file: whole, checked without a database, and named where it was changed.

use std::fs;
use std::path::PathBuf;

use ledger_core::economy::Enforcement;
use serde_json::Value;
use test_kit::TestBot;

use crate::bench::{Bench, Ran};

struct Exported {
    bench: Bench,
    bots: [TestBot; 2],
    file: PathBuf,
}

impl Exported {
    /// Two bots of two entries each: six lines with the heads, and the end.
    async fn new() -> Exported {
        let bench = Bench::new().await;
        let bots = [bench.arena.bot().create().await, bench.arena.bot().create().await];
        bench.arena.tick(Enforcement::Enforce).await;
        let file = bench.dir.path().join("ledger.jsonl");
        bench.run(&["export", "--to", file.to_str().unwrap()]).ended_with(0);
        Exported { bench, bots, file }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Verifies these bytes without any setting.
    fn verify(&self, bytes: &[u8]) -> Ran {
        let file = self.bench.dir.path().join("other.jsonl");
        fs::write(&file, bytes).unwrap();
        let args = ["--json", "verify-export", file.to_str().unwrap()];
        self.bench.finish(self.bench.bare_command(&args))
    }

    /// The faults of a file of these lines.
    #[track_caller]
    fn faults(&self, lines: &[String]) -> Vec<Value> {
        self.faults_of(format!("{}\n", lines.join("\n")).as_bytes())
    }

    #[track_caller]
    fn faults_of(&self, bytes: &[u8]) -> Vec<Value> {
        let json = self.verify(bytes).ended_with(1).json();
        assert_eq!(json["sound"], false);
        json["faults"].as_array().unwrap().clone()
    }
}

#[track_caller]
fn says(fault: &Value, line: u64, problem: &str) {
    assert_eq!(fault["line"], line, "{fault}");
    let text = fault["problem"].as_str().unwrap();
    assert!(text.contains(problem), "{fault}");
}

#[tokio::test]
async fn everybodys_export_verifies_and_has_the_digest_of_the_audit() {
    let exported = Exported::new().await;
    let bytes = fs::read(&exported.file).unwrap();
    let verified = exported.verify(&bytes).ended_with(0).json();
    let audit = exported.bench.run(&["inspect-ledger", "--json"]);
    let audit = audit.ended_with(0).json();
    assert_eq!(verified["heads_digest"], audit["heads_digest"]);
    assert_eq!(verified["entries"], audit["entries"]);
    assert_eq!(verified["bots"], 2);
    assert_eq!(exported.lines().len(), 7);
}

#[tokio::test]
async fn one_bots_export_goes_to_standard_output_and_holds_nothing_else() {
    let exported = Exported::new().await;
    let id = exported.bots[1].id.to_string();
    let ran = exported.bench.run(&["--json", "export", "--bot", &id]);
    let ran = ran.ended_with(0);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["bot_id"], exported.bots[1].id.0);
    assert_eq!(lines[3]["end"]["entries"], 2);
    let verified = exported.verify(ran.stdout.as_bytes()).ended_with(0).json();
    assert_eq!(verified["only_bot"], exported.bots[1].id.0);
}

#[tokio::test]
async fn what_cannot_be_exported_is_said() {
    let exported = Exported::new().await;
    let bench = &exported.bench;
    let ran = bench.run(&["export", "--bot", "nobody"]).ended_with(1);
    assert!(ran.stderr.contains("no bot has this"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let nowhere = bench.dir.path().join("nowhere/ledger.jsonl");
    let ran = bench.run(&["export", "--to", nowhere.to_str().unwrap()]);
    let ran = ran.ended_with(1);
    assert!(ran.stderr.contains("cannot write"), "{}", ran.stderr);
    let args = ["verify-export", nowhere.to_str().unwrap()];
    let ran = bench.finish(bench.bare_command(&args)).ended_with(1);
    assert!(ran.stderr.contains("cannot read"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_row_that_was_tampered_with_is_exported_and_named() {
    let exported = Exported::new().await;
    let bot = exported.bots[0].id;
    let text = format!(
        "ALTER TABLE ledger DISABLE TRIGGER ALL; \
         UPDATE ledger SET reference = 'TICK:99' WHERE bot_id = {bot} AND sequence = 2; \
         ALTER TABLE ledger ENABLE TRIGGER ALL"
    );
    let owner = exported.bench.arena.owner_client().await;
    owner.batch_execute(&text).await.unwrap();
    let ran = exported.bench.run(&["export"]).ended_with(0);
    let faults = exported.faults_of(ran.stdout.as_bytes());
    assert_eq!(faults.len(), 1, "{faults:?}");
    says(&faults[0], 2, "hash: expected ");
    assert_eq!(faults[0]["bot_id"], bot.0);
    assert_eq!(faults[0]["sequence"], 2);
}

#[tokio::test]
async fn a_cut_is_seen_wherever_it_is() {
    let exported = Exported::new().await;
    let bytes = fs::read(&exported.file).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let faults = exported.faults_of(&bytes[..length]);
        assert!(!faults.is_empty(), "cut at {length}");
    }
    let whole = exported.lines();
    says(&exported.faults(&whole[..6])[0], 6, "without its end line");
    // A whole chain, its last entry, its head.
    for missing in [0..3, 1..2, 2..3] {
        let mut lines = whole.clone();
        lines.drain(missing.clone());
        assert!(!exported.faults(&lines).is_empty(), "without {missing:?}");
    }
}

#[tokio::test]
async fn lines_that_do_not_belong_are_named_by_their_number() {
    let exported = Exported::new().await;
    let whole = exported.lines();

    let mut twice = whole.clone();
    twice.insert(1, whole[0].clone());
    says(&exported.faults(&twice)[0], 2, "sequence: expected 2");

    let mut mixed = whole.clone();
    mixed.swap(1, 3);
    says(&exported.faults(&mixed)[0], 2, "breaks off");

    let mut behind = whole.clone();
    behind.push(whole[0].clone());
    says(&exported.faults(&behind)[0], 8, "behind the end");

    let mut unknown = whole.clone();
    unknown[0] = unknown[0].replacen('{', r#"{"more":1,"#, 1);
    let faults = exported.faults(&unknown);
    says(&faults[0], 1, "unknown field");

    let windows = whole.join("\r\n") + "\r\n";
    says(&exported.faults_of(windows.as_bytes())[0], 1, "CR LF");

    let mut bytes = fs::read(&exported.file).unwrap();
    bytes[20] = 0xff;
    says(&exported.faults_of(&bytes)[0], 1, "is no line of an export");
}

#[tokio::test]
async fn csv_says_the_same_and_is_verified_as_strictly() {
    let exported = Exported::new().await;
    let file = exported.bench.dir.path().join("ledger.csv");
    let arguments = ["export", "--format", "csv", "--to", file.to_str().unwrap()];
    exported.bench.run(&arguments).ended_with(0);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(
        lines[0],
        "bot_id,sequence,entry_type,amount,balance_after,reference,recorded_at,recorded_at_us,previous_hash,hash"
    );
    assert_eq!(lines.len(), 1 + exported.lines().len());
    let sound = exported.verify(text.as_bytes()).ended_with(0).json();
    let of_json = exported.verify(&fs::read(&exported.file).unwrap()).ended_with(0).json();
    for field in ["bots", "entries", "heads_digest"] {
        assert_eq!(sound[field], of_json[field], "{field}");
    }
    // One digit of an amount; a row that is gone; the end that is gone; one column too few.
    let mut changed = lines.clone();
    changed[2] = changed[2].replacen("-0.50", "-0.51", 1);
    assert_ne!(changed, lines);
    says(&exported.faults(&changed)[0], 3, "hash");
    let mut gone = lines.clone();
    gone.remove(2);
    assert!(!exported.faults(&gone).is_empty());
    let end = lines.len() - 1;
    assert!(!exported.faults(&lines[..end]).is_empty());
    let mut short = lines.clone();
    short[1] = short[1].rsplit_once(',').unwrap().0.to_owned();
    says(&exported.faults(&short)[0], 2, "columns");
}
