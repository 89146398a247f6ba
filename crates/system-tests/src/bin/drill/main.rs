//! `make drill`: at least 200 faults against the real stack under load. `SEED` and `FAULTS` choose.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a development tool talks to its terminal, and is told what to do by its environment"
)]

use std::time::SystemTime;

use system_tests::drill::{self, Options};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number")))
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let options = Options {
        seed: number("SEED").unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs()),
        faults: usize::try_from(number("FAULTS").unwrap_or(200)).unwrap(),
        agents: 6,
    };
    println!("seed {}, {} faults", options.seed, options.faults);
    let report = drill::run(&options).await;
    println!("\n{report}");
    let path = drill::report_path(options.seed);
    std::fs::write(&path, format!("{:#}\n", report.json())).unwrap();
    println!("report: {}", path.display());
}
