//! The whole economy in one process, on a virtual clock.
//!
//! A simulation is an arena as any other: the services' own code and a real Postgres. Only its environment is
//! scripted. The time is a row that the [`driver`] moves, the outside world is a function of a seed ([`world`]),
//! and the agents ([`agents`]) are a few lines each. So a day passes in minutes, and the same seed gives the same
//! ledger to the last hash.
//!
//! For development only: it needs the throw-away services of `scripts/with-test-services`.

pub mod accounts;
pub mod agents;
pub mod clock;
pub mod dice;
pub mod driver;
pub mod feeds;
pub mod history;
pub mod plots;
pub mod report;
pub mod table;
pub mod world;

pub use accounts::{Outcome, close};
pub use driver::{Settings, Simulation};

/// Runs a simulation from its beginning to its audit. `progress` is called at each tick.
///
/// # Errors
/// If anything fails except by a rule's refusal, or the audit fails.
pub async fn run(settings: Settings, mut progress: impl FnMut(i64)) -> anyhow::Result<Outcome> {
    let ticks = settings.ticks;
    let mut simulation = Simulation::begin(settings).await?;
    for tick in 1..=ticks {
        simulation.tick(tick).await?;
        progress(tick);
    }
    close(simulation).await
}
