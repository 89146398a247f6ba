//! Benchmarks against the limits of the machine they run on.
//!
//! Each figure is a ratio of two things measured in turn in one run: ours, and what the same
//! Postgres does at best for the same rows. `make bench` runs them and prints one table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a benchmark; floats are ratios of times here, never money"
)]

mod audit;
mod footprint;
mod insights;
mod listeners;
mod load;
mod logins;
mod reads;
mod scale;
mod settlement;
mod simulation;
mod table;
mod tick;
mod wager;

use table::Table;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|chosen| chosen == name);
    let mut table = Table::new();
    if wanted("tick") {
        tick::bench(&mut table).await;
    }
    if wanted("audit") {
        audit::bench(&mut table).await;
    }
    if wanted("wager") {
        wager::bench(&mut table).await;
    }
    if wanted("reads") {
        reads::bench(&mut table).await;
    }
    if wanted("logins") {
        logins::bench(&mut table).await;
    }
    if wanted("settlement") {
        settlement::bench(&mut table).await;
    }
    if wanted("insights") {
        insights::bench(&mut table).await;
    }
    if wanted("listeners") {
        listeners::bench(&mut table).await;
    }
    if wanted("scale") {
        scale::bench(&mut table).await;
    }
    if wanted("simulation") {
        simulation::bench(&mut table).await;
    }
    if wanted("footprint") {
        footprint::bench(&mut table).await;
    }
    table.print();
    std::process::exit(i32::from(!table.all_reached()));
}
