//! `make simulate`: runs the whole economy on a virtual clock, audits it, and prints the results.
#![allow(clippy::print_stdout, reason = "a command for people: its table is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use ledger_core::economy::{EconomyRules, Enforcement};
use simulation::{Settings, report, table};

/// Ticks between two signs of life.
const PROGRESS_TICKS: i64 = 1_000;

/// Runs the whole economy in one process on a virtual clock, and audits it.
///
/// Time is virtual, the outside world and the agents are scripted, and everything else is the
/// services' own code on a real Postgres. The same arguments give the same ledger: compare the heads
/// digests.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Ticks to simulate.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(1..))]
    ticks: i64,
    /// Scripted agents; they take turns at the kinds there are.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    agents: u32,
    /// The seed of the world and the agents.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `enforce`: the insolvent die; `observe`: it is only noted when they would have.
    #[arg(long, default_value_t = Enforcement::Enforce)]
    mode: Enforcement,
    /// Virtual seconds from one tick to the next.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=3_600))]
    tick_seconds: i64,
    /// Where the report goes: one HTML file.
    #[arg(long, default_value = "simulation.html")]
    report: PathBuf,
}

// One thread: nothing here may depend on who is faster.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // A simulation is quiet unless something is wrong; that sources fail is part of the script.
    daemon::telemetry::init_with("simulate", "error");
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        ticks: arguments.ticks,
        agents: usize::try_from(arguments.agents)?,
        seed: arguments.seed,
        rules: EconomyRules {
            enforcement: arguments.mode,
            tick_rate_seconds: arguments.tick_seconds,
            ..EconomyRules::default()
        },
    };
    let began = Instant::now();
    let ticks = settings.ticks;
    let mut last = began;
    let outcome = simulation::run(settings, |tick| {
        if tick % PROGRESS_TICKS == 0 {
            let now = Instant::now();
            let micros = now.duration_since(last).as_micros().max(1);
            let rate = u128::from(PROGRESS_TICKS.unsigned_abs()) * 1_000_000 / micros;
            last = now;
            let seconds = began.elapsed().as_secs();
            // Benchmarks read this line.
            eprintln!("tick {tick} of {ticks}, {seconds} s, {rate} ticks a second");
        }
    })
    .await?;
    let seconds = began.elapsed().as_secs().max(1);
    println!("{}", table::text(&outcome));
    let html = report::html(&outcome)?;
    let path = &arguments.report;
    std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    let rate = ticks.unsigned_abs() / seconds;
    println!("{seconds} s, {rate} ticks a second, audit included; report: {}", path.display());
    Ok(())
}
