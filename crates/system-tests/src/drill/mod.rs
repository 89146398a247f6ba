//! Fault drills: the real stack under load, a fault at a random moment, and after each one
//! everything that must hold is looked at.
//!
//! The stack is `run_system.sh` with its own Postgres and Redis, and up to two more processes of each service on
//! the same two. The seed decides which fault happens when, but not what the processes do at that moment, so a
//! failure may need several runs to reproduce.

mod agents;
mod faults;
mod invariants;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger_core::market::MarketSource;
use test_kit::outside::Outside;

use crate::random::Random;
use crate::replicas::Replicas;
use crate::stack::{SERVICES, Stack, root};
use agents::Crowd;
pub use faults::{Fault, KINDS, Skipped};
pub use report::{Report, Struck};

/// How to drill.
#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    /// Faults, one after the other.
    pub faults: usize,
    /// Agents that trade meanwhile.
    pub agents: usize,
}

/// Everything that a fault works on.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) replicas: Replicas,
    pub(crate) random: Random,
    pub(crate) crowd: Crowd,
    /// Owns the database: it sets clocks and ends sessions.
    pub(crate) superuser_url: String,
    _outside: Outside,
    _personas: tempfile::TempDir,
}

/// The drill. Panics with seed, number and kind of the fault as soon as something does not hold.
pub async fn run(options: &Options) -> Report {
    let began = Instant::now();
    let mut scene = Scene::open(options).await;
    let mut kinds = Fault::possible(options.seed);
    let mut report = Report::new(options, &kinds.skipped);
    for number in 1..=options.faults {
        let fault = kinds.next();
        // Only the moment of the fault is random here; it waits for nothing.
        tokio::time::sleep(scene.random.millis(50, 900)).await;
        let struck = strike(&mut scene, fault, number, options).await;
        println!("{struck}");
        report.add(struck);
    }
    scene.close(options, &mut report).await;
    report.took = began.elapsed();
    report
}

async fn strike(scene: &mut Scene, fault: Fault, number: usize, options: &Options) -> Struck {
    let what = format!("seed {}, fault {number} ({fault})", options.seed);
    let before = scene.crowd.acknowledged();
    let began = Instant::now();
    fault.strike(scene).await;
    let struck_for = began.elapsed();
    // Recovered means: every process is ready, and agents get acknowledgements again.
    let limit = fault.back_within();
    scene.wait_until_ready(&what, limit).await;
    scene.crowd.trades_again(&what, before.len(), limit).await;
    let recovery = began.elapsed().saturating_sub(struck_for);
    let checked = invariants::check(scene, &what).await;
    Struck {
        number,
        fault,
        struck_for,
        recovery,
        acknowledged: scene.crowd.acknowledged().len() - before.len(),
        checked,
    }
}

impl Scene {
    async fn open(options: &Options) -> Scene {
        let outside = Outside::start().await;
        let personas = personas();
        let bots = personas.path().display().to_string();
        let sources = outside.settings();
        let mut settings: Vec<(&str, &str)> = HASTY.to_vec();
        settings.push(("BOTS_DIR", &bots));
        let hasty_sources = hasty_sources();
        settings.extend(hasty_sources.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        settings.extend(sources.lines().filter_map(|line| line.split_once('=')));
        let (stack, _) = Stack::start(&settings).await;
        let superuser_url = stack.superuser_url();
        let mut random = Random::seeded(options.seed);
        let mut replicas = Replicas::default();
        for name in SERVICES {
            replicas.add(&stack, name);
        }
        replicas.wait_until_ready("the drill's beginning", Duration::from_secs(60)).await;
        let articles = outside.address.to_string();
        let crowd = Crowd::start(&stack, &replicas, options.agents, articles, &mut random).await;
        crowd.trades_again("the drill's beginning", 0, Duration::from_secs(60)).await;
        faults::shadow_clock(&superuser_url).await;
        Scene {
            stack,
            replicas,
            random,
            crowd,
            superuser_url,
            _outside: outside,
            _personas: personas,
        }
    }

    async fn wait_until_ready(&mut self, what: &str, limit: Duration) {
        let ready = self.stack.wait_until_ready(limit);
        if tokio::time::timeout(limit, ready).await.is_err() {
            panic!("{what}: the stack was not ready again within {limit:?}");
        }
        self.replicas.wait_until_ready(what, limit).await;
    }

    /// The last looks: load ended, time goes on, everything due is settled, the whole is audited.
    async fn close(mut self, options: &Options, report: &mut Report) {
        let what = format!("seed {}, at the end", options.seed);
        self.crowd.stop().await;
        report.checked(invariants::check(&self, &what).await);
        report.acknowledged = self.crowd.acknowledged().len();
        report.entries = invariants::entries(&self).await;
        self.replicas.stop();
        let stopped = self.stack.stop();
        assert_eq!(stopped, Some(0), "{what}: run_system.sh did not stop");
    }
}

/// Settings under which minutes pass in seconds.
const HASTY: [(&str, &str); 8] = [
    ("ENFORCEMENT_MODE", "enforce"),
    ("TICK_RATE", "1"),
    ("ORACLE_INTERVAL_SECONDS", "1"),
    ("SETTLE_INTERVAL_SECONDS", "1"),
    ("PREDICTION_HORIZON", "3"),
    ("SAMPLE_LAG_SECONDS", "1"),
    ("HOUSE_LOSS_BUDGET_PER_HOUR", "1000000000.00"),
    ("BOUNTY_BUDGET_PER_HOUR", "1000000.00"),
];

/// Markets last for seconds; sources that allow only longer markets are turned off.
fn hasty_sources() -> Vec<(String, String)> {
    let of = |source: &MarketSource| match source.about().shortest_life() {
        ..=12 => (format!("{source}_SECONDS"), "12".to_owned()),
        _ => (format!("{source}_WEIGHT"), "0".to_owned()),
    };
    MarketSource::ALL.iter().map(of).collect()
}

/// Hosted bots that think every ten seconds.
fn personas() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["momentum-mia", "yolo-yara", "contrarian-carl", "bull-bruno"] {
        let text = std::fs::read_to_string(root().join(format!("bots/{name}.yaml"))).unwrap();
        let hasty = |line: &str| match line.starts_with("interval_seconds:") {
            true => "interval_seconds: 10".to_owned(),
            false => line.to_owned(),
        };
        let text: Vec<String> = text.lines().map(hasty).collect();
        std::fs::write(folder.path().join(format!("{name}.yaml")), text.join("\n")).unwrap();
    }
    folder
}

/// The default directory of reports.
pub fn report_path(seed: u64) -> PathBuf {
    std::env::temp_dir().join(format!("drill-{seed}.json"))
}

type Shared<T> = Arc<std::sync::Mutex<T>>;
