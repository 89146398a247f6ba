//! A simulation's ticks a second when it is young and when it has a long history.

use std::collections::BTreeMap;
use std::process::Stdio;

use system_tests::stack;

use crate::table::Table;

const EARLY: u64 = 1_000;
const LATE: u64 = 50_000;
const GOAL: f64 = 100.0;
const LATE_GOAL: f64 = 0.9;

pub(crate) async fn bench(table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("simulation.html").display().to_string();
    let ticks = LATE.to_string();
    // On servers of its own, which share a CPU with it, as `make simulate` has them.
    let output = tokio::process::Command::new(stack::root().join("scripts/with-test-services"))
        .arg("--one-cpu")
        .arg(stack::bin_dir().join("simulate"))
        .args(["--ticks", &ticks, "--report", &report])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "simulate failed: {said}");
    let rates: BTreeMap<u64, f64> = said.lines().filter_map(rate).collect();
    let (early, late) = (rates[&EARLY], rates[&LATE]);
    println!("simulation: ticks a second, by thousand: {:.0?}", rates.values());
    table.at_least("ticks a second of a simulation, its first thousand", early, GOAL);
    table.at_least("ticks a second of a simulation, its fiftieth thousand", late, GOAL);
    let what = "a simulation's fiftieth thousand of ticks / its first";
    table.ratio(what, &[late], &[early], "ticks/s", LATE_GOAL);
}

/// `tick 1000 of 50000, 9 s, 111 ticks a second`.
fn rate(line: &str) -> Option<(u64, f64)> {
    let (tick, rest) = line.strip_prefix("tick ")?.split_once(" of ")?;
    let rate = rest.rsplit_once(", ")?.1.strip_suffix(" ticks a second")?;
    Some((tick.parse().ok()?, rate.parse().ok()?))
}
