//! A short drill: every kind of fault once, under load. `make drill` is the long one.

use std::time::SystemTime;

use system_tests::drill::{self, KINDS, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_of_each_kind_under_load_loses_nothing() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let options = Options { seed: now.unwrap().as_micros() as u64, faults: KINDS, agents: 4 };
    println!("SEED={} FAULTS={KINDS} make drill", options.seed);
    let report = drill::run(&options).await;
    println!("{report}");
}
