//! Ended processes are restarted; leftovers of a killed supervisor are found.

use std::fs;

use crate::bench::{Bench, PARTS, signal, until};

#[test]
fn whoever_is_killed_is_started_again() {
    let mut bench = Bench::new();
    bench.open();
    let kill = |name: &str, seconds: u32| {
        let old = bench.pid(name).unwrap();
        signal(old, "KILL");
        bench.says(&format!(
            "{name} (pid {old}) died with code 137; starting it again in {seconds} s"
        ));
        until(&format!("{name} runs again"), || bench.pid(name).is_some_and(|pid| pid != old));
    };
    // The second time within a minute it waits longer.
    kill("ticker", 1);
    kill("ticker", 2);
    for name in PARTS.into_iter().filter(|name| *name != "ticker").rev() {
        kill(name, 1);
    }
    until("all are ready again", || bench.status().code == Some(0));
    bench.says("ticker is ready again");
    bench.close("TERM");
}

#[test]
fn what_a_killed_supervisor_leaves_behind_is_cleared_up() {
    let mut bench = Bench::new();
    bench.open();
    bench.kill_supervisor();
    // It continues, although the servers' output is no longer read.
    for _ in 0..50 {
        bench.psql("DO $$ BEGIN RAISE WARNING 'somebody may read this'; END $$");
    }
    assert_eq!(bench.psql("SELECT 1"), "1");
    bench.status().ended_with(3).says("run_system.sh itself is not running");
    bench.open();
    bench.kill_supervisor();
    bench.arenactl(&["reset"]).ended_with(1);
    assert!(bench.pid("api").is_some(), "an unanswered question stops nothing");
    bench
        .arenactl(&["stop"])
        .ended_with(0)
        .says("stopped bot-runner oracle ticker api redis postgres")
        .says("its processes are stopped");
    bench.is_empty();

    // A pid file whose number now belongs to another process: this one.
    let stale = format!("{} 1\n", std::process::id());
    let run = bench.data().join("run");
    fs::write(run.join("api.pid"), &stale).unwrap();
    bench.arenactl(&["stop"]).ended_with(0).says("its processes are stopped");
    fs::write(run.join("api.pid"), &stale).unwrap();
    fs::write(run.join("supervisor.pid"), &stale).unwrap();
    bench.open();
    bench.close("TERM");

    // Two servers on the same files would destroy them.
    bench.forget_ports(&["PRIVATE_POSTGRES_PORT", "PRIVATE_REDIS_PORT"]);
    bench.open();
    bench.kill_supervisor();
    let redis = bench.pid("redis").unwrap();
    fs::remove_file(run.join("redis.pid")).unwrap();
    let before = bench.env_text();
    let refusal = bench.refusal().ended_with(69);
    refusal.says(&format!("redis-server (pid {redis}) already serves "));
    assert_eq!(bench.env_text(), before);
    signal(redis, "TERM");
    until("it ends", || supervisor::process::born(redis).is_none());
}

/// As under `nohup`: signals that were ignored at the start stay ignored.
#[test]
fn a_hangup_that_is_ignored_stops_nothing() {
    let mut bench = Bench::new();
    let up = format!("trap '' HUP; exec '{}' up", bench.bin().join("arenactl").display());
    bench.start_as(bench.command("/bin/sh", &["-c", &up]));
    bench.opens();
    signal(bench.supervisor_pid(), "HUP");
    // It goes on watching.
    let old = bench.pid("oracle").unwrap();
    signal(old, "KILL");
    until("the oracle runs again", || bench.pid("oracle").is_some_and(|pid| pid != old));
    bench.close("TERM");
}

/// Between the birth of a process and its pid file there is no moment at which a signal is heard: whenever it
/// comes, nothing is left.
#[test]
fn a_signal_at_any_moment_of_the_start_leaves_no_orphan() {
    let mut bench = Bench::new();
    bench.open();
    bench.close("TERM");
    for awaited in ["postgres", "redis", "api", "bot-runner"] {
        bench.start();
        until(awaited, || bench.pid(awaited).is_some());
        bench.close("INT");
    }
}
