//! Whole runs, small enough for a test.

use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::market::MarketSource;
use simulation::agents::Kind;
use simulation::{Outcome, Settings};

/// Ticks half a virtual minute apart and grants small enough to see deaths: two and a half hours,
/// long enough for the slowest market.
fn settings(ticks: i64, seed: u64, enforcement: Enforcement) -> Settings {
    Settings {
        ticks,
        agents: 18,
        seed,
        rules: EconomyRules {
            tick_rate_seconds: 30,
            enforcement,
            genesis_grant: "150.00".parse().unwrap(),
            ..EconomyRules::default()
        },
    }
}

async fn run(settings: Settings) -> Outcome {
    simulation::run(settings, |_| {}).await.unwrap()
}

fn of(outcome: &Outcome, kind: Kind) -> impl Iterator<Item = &simulation::accounts::AgentAccount> {
    outcome.agents.iter().filter(move |agent| agent.kind == kind)
}

#[tokio::test]
async fn all_four_kinds_of_markets_are_opened_bet_on_decided_and_paid_and_the_idle_die() {
    let outcome = run(settings(300, 1, Enforcement::Enforce)).await;
    for source in outcome.sources.values() {
        assert!(source.opened > 0, "{source:?}");
        assert!(source.resolved > 0, "{source:?}");
        assert!(source.bets > 0 && source.staked_units > 0, "{source:?}");
        assert!(source.paid_units > 0 && source.minted_units > 0, "{source:?}");
        let decided_or_open = source.resolved + source.void + source.expired;
        assert!(source.opened - decided_or_open <= 6, "{source:?}");
    }
    let research = outcome.sources.get(&MarketSource::Research);
    assert!(research.unwrap().expired > 0, "some questions are too hard");
    for idle in of(&outcome, Kind::Idle) {
        // 150.00 at 0.50, 0.75, … up to 3.00 a tick.
        assert_eq!((idle.alive, idle.balance_units, idle.settled), (false, 0, 0));
        assert_eq!(idle.died_in, Some(73), "as `an idle bot` of the rules");
    }
    assert!(of(&outcome, Kind::Calibrated).all(|agent| agent.settled > 0 && agent.brier_count > 0));
    assert!(of(&outcome, Kind::Researcher).any(|agent| agent.won > 0));
    assert!(outcome.agents.iter().any(|agent| agent.alive), "some make a living");
    assert!(outcome.acts.wagers > 0 && outcome.acts.slips > 0 && outcome.acts.answers > 0);
    assert!(outcome.escrow.0 > 0, "predictions are open at the end: {:?}", outcome.escrow);
    page_needs_nothing_else(&outcome);
}

fn page_needs_nothing_else(outcome: &Outcome) {
    let html = simulation::report::html(outcome).unwrap();
    assert_eq!(html.matches("<svg ").count(), html.matches("</svg>").count());
    assert_eq!(html.matches("<svg ").count(), 5);
    for tag in ["<script", "<link", "<img", "href=", "src=", "url(", "NaN"] {
        assert!(!html.contains(tag), "{tag}");
    }
    let digest = outcome.audit.heads_digest.to_string();
    assert!(html.contains(&digest));
    let table = simulation::table::text(outcome);
    assert!(
        table.contains(&digest) && table.contains("overconfident") && table.contains("research")
    );
}

#[tokio::test]
async fn nobody_dies_of_a_phantom() {
    let outcome = run(settings(100, 1, Enforcement::Observe)).await;
    for idle in of(&outcome, Kind::Idle) {
        assert_eq!(idle.balance_units, 15_000_000_000);
        assert!(idle.shadow_units < 0);
        assert_eq!(idle.died_in, Some(73), "it would have died in the same tick");
    }
}

#[tokio::test]
async fn one_seed_is_one_ledger_and_another_is_another() {
    let [one, same, other] = [1, 1, 2].map(|seed| settings(90, seed, Enforcement::Enforce));
    let [one, same, other] = [run(one).await, run(same).await, run(other).await];
    assert_eq!(one.audit.heads_digest, same.audit.heads_digest);
    assert_eq!(one.agents, same.agents);
    assert_eq!(one.history, same.history);
    assert_eq!(one.sources, same.sources);
    assert_ne!(one.audit.heads_digest, other.audit.heads_digest);
    assert!(one.sources.values().all(|source| source.opened > 0), "{:?}", one.sources);
}
