//! Reviving and retiring: the allowed bots, the operator's name, and the chain afterwards.

use crate::bench::Bench;

#[tokio::test]
async fn a_dead_bot_lives_again() {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().handle("Mia").dead().create().await;
    let args = ["revive", "mia", "--amount", "100.25", "--reason", " a second\tchance ", "--json"];
    let mut command = bench.command(&args);
    command.env("ARENACTL_OPERATOR", "ada");
    let ran = bench.finish(command).ended_with(0).json();
    assert_eq!(ran["bot"]["id"], bot.id.0);
    assert_eq!(ran["bot"]["status"], "ALIVE");
    assert_eq!(ran["bot"]["balance"], "100.25000000");
    assert_eq!(ran["entry"]["entry_type"], "REVIVE");
    assert_eq!(ran["entry"]["reference"], "REVIVE:ada");
    assert_eq!(ran["entry"]["sequence"], 3);
    let post =
        "SELECT count(*) FROM posts WHERE kind = 'REVIVAL' AND content LIKE '%a second chance'";
    assert_eq!(bench.number(post).await, 1);
    let audit = "SELECT count(*) FROM audit_log WHERE action = 'REVIVE' AND actor = 'ada'";
    assert_eq!(bench.number(audit).await, 1);
    bench.arena.assert_sound().await;
}

#[tokio::test]
async fn the_living_and_the_unknown_are_not_revived() {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().create().await;
    let entries = "SELECT count(*) FROM ledger";
    let before = bench.number(entries).await;
    let id = bot.id.to_string();
    let ran = bench.run(&["revive", &id, "--amount", "1", "--reason", "why not"]).ended_with(1);
    assert!(ran.stderr.contains("only a dead bot can be revived"), "{}", ran.stderr);
    let ran = bench.run(&["revive", "nobody", "--amount", "1", "--reason", "x"]).ended_with(1);
    assert!(ran.stderr.contains("no bot has this handle or id"), "{}", ran.stderr);
    assert_eq!(bench.number(entries).await, before);
}

#[tokio::test]
async fn a_malformed_command_line_is_refused_before_anything_is_reached() {
    let bench = Bench::new().await;
    let long = "x".repeat(201);
    for args in [
        &["revive", "mia", "--amount", "0", "--reason", "x"][..],
        &["revive", "mia", "--amount", "-1", "--reason", "x"],
        &["revive", "mia", "--amount", "1e3", "--reason", "x"],
        &["revive", "mia", "--amount", "0.000000001", "--reason", "x"],
        &["revive", "mia", "--amount", "NaN", "--reason", "x"],
        &["revive", "mia", "--amount", "1"],
        &["revive", "mia", "--amount", "1", "--reason", " \t"],
        &["revive", "mia", "--amount", "1", "--reason", &long],
        &["revive", "no such", "--amount", "1", "--reason", "x"],
        &["revive", "99999999999999999999", "--amount", "1", "--reason", "x"],
        &["revive", "mia", "--amount", "1", "--reason", "x", "--by", "two words"],
        &["inspect-ledger", "--workers", "0"],
        &["inspect-ledger", "--workers", "65"],
        &["no-such-command"],
        &[],
    ] {
        let ran = bench.finish(bench.bare_command(args)).ended_with(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}");
    }
}

#[tokio::test]
async fn a_retired_bot_is_out_for_good() {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().handle("Mia").balance("3.50").create().await;
    let args = ["retire", "Mia", "--reason", "done", "--by", "ada@home", "--yes"];
    let ran = bench.run(&args).ended_with(0);
    assert!(ran.stdout.contains(&format!("Mia (bot {}) is now RETIRED", bot.id)), "{}", ran.stdout);
    assert!(ran.stdout.contains("RETIRED -3.50000000, RETIRE:ada@home"), "{}", ran.stdout);
    let audit = "SELECT count(*) FROM audit_log WHERE action = 'RETIRE' AND actor = 'ada@home'";
    assert_eq!(bench.number(audit).await, 1);
    for args in [&args[..], &["revive", "Mia", "--amount", "1", "--reason", "regret"]] {
        let ran = bench.run(args).ended_with(1);
        assert!(ran.stderr.contains("a retired bot cannot be revived"), "{}", ran.stderr);
    }
    bench.arena.assert_sound().await;
}

#[tokio::test]
async fn without_a_terminal_retiring_needs_yes() {
    let bench = Bench::new().await;
    bench.arena.bot().handle("Mia").create().await;
    let ran = bench.run(&["retire", "Mia", "--reason", "done"]).ended_with(1);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(bench.number("SELECT count(*) FROM bots WHERE status = 'RETIRED'").await, 0);
}

#[tokio::test]
async fn a_pause_is_set_and_ended_and_the_log_says_by_whom() {
    let bench = Bench::new().await;
    let bot = bench.arena.bot().handle("Mia").create().await;
    let paused = "SELECT count(*) FROM arena_pause WHERE reason = 'a look'";
    let ran =
        bench.run(&["pause", "--reason", "a look", "--by", "ada", "--json"]).ended_with(0).json();
    assert_eq!(ran["paused"]["reason"], "a look");
    assert_eq!(bench.number(paused).await, 1);
    let again = bench.run(&["pause", "--reason", "other"]).ended_with(0);
    assert!(again.stdout.contains("is paused already"), "{}", again.stdout);
    bench.run(&["resume"]).ended_with(0);
    assert_eq!(bench.number(paused).await, 0);
    bench.run(&["pause", "--bot", "mia", "--reason", "odd bets"]).ended_with(0);
    let held = "SELECT count(*) FROM wallets WHERE pause_reason = 'odd bets'";
    assert_eq!(bench.number(held).await, 1);
    bench.run(&["resume", "--bot", &bot.id.to_string()]).ended_with(0);
    assert_eq!(bench.number(held).await, 0);
    let nobody = bench.run(&["pause", "--bot", "nobody", "--reason", "r"]).ended_with(1);
    assert!(nobody.stderr.contains("no bot has this handle or id"), "{}", nobody.stderr);
    bench.run(&["pause"]).ended_with(2);
    let log = bench.run(&["audit", "--limit", "3", "--json"]).ended_with(0).json();
    let actions: Vec<_> =
        log["items"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["RESUME_BOT", "PAUSE_BOT", "RESUME_ARENA"]);
    let by_ada = bench.run(&["audit", "--action", "PAUSE_ARENA"]).ended_with(0);
    assert!(by_ada.stdout.contains("ada") && by_ada.stdout.contains("a look"), "{}", by_ada.stdout);
    bench.run(&["audit", "--action", "BET", "--bot", "mia"]).ended_with(1);
}

#[tokio::test]
async fn each_act_carries_a_name() {
    let bench = Bench::new().await;
    let who = async || {
        let row = bench
            .arena
            .owner_client()
            .await
            .query_one("SELECT actor FROM audit_log ORDER BY id DESC LIMIT 1", &[])
            .await
            .unwrap();
        row.get::<_, String>(0)
    };
    let act = |by: &[&str], operator: Option<&str>| {
        let mut command = bench.command(&[&["genesis"][..], by].concat());
        if let Some(operator) = operator {
            command.env("ARENACTL_OPERATOR", operator);
        }
        bench.finish(command)
    };
    // Each makes one bot.
    bench.personas(&["mia"]);
    act(&["--by", "ada"], Some("bob")).ended_with(0);
    assert_eq!(who().await, "ada");
    bench.personas(&["mia", "max"]);
    act(&[], Some("bob")).ended_with(0);
    assert_eq!(who().await, "bob");
    bench.personas(&["mia", "max", "moe"]);
    act(&[], None).ended_with(0);
    let of_the_system = std::process::Command::new("id").arg("-un").output().unwrap();
    assert_eq!(who().await, String::from_utf8(of_the_system.stdout).unwrap().trim());
    let refused = act(&[], Some("two words")).ended_with(78);
    assert!(refused.stderr.contains("ARENACTL_OPERATOR"), "{}", refused.stderr);
    act(&["--by", "x\ny"], None).ended_with(2);
}
