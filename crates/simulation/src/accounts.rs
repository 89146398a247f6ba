//! The results of a simulation: the audit, and figures by kind of agent and by source.
//!
//! The figures are read from the database, not counted by the driver: the report shows the arena's own records.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use db::audit::{self, Options, Report};
use ledger_core::BotId;
use ledger_core::market::{MarketSource, MarketStatus};
use ledger_core::supply::{Supply, units_text};
use tokio_postgres::Client;

use crate::agents::{Agent, Kind};
use crate::driver::{Acts, Settings, Simulation, units};
use crate::history::{History, Standing};

/// One agent at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAccount {
    pub bot_id: BotId,
    pub kind: Kind,
    pub alive: bool,
    pub balance_units: i128,
    pub shadow_units: i128,
    pub settled: i64,
    pub won: i64,
    /// Payouts less stakes and lookup fees.
    pub profit_units: i128,
    /// Sum of the Brier scores, in units, and how many there are.
    pub brier_units: i128,
    pub brier_count: i64,
    pub died_in: Option<i64>,
}

/// The markets of one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceAccount {
    pub opened: i64,
    pub resolved: i64,
    pub void: i64,
    pub expired: i64,
    pub bets: i64,
    pub staked_units: i128,
    /// Payouts to bettors, including stakes.
    pub paid_units: i128,
    pub minted_units: i128,
}

/// How often predictions of this percentage were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    pub kind: Kind,
    pub percent: i64,
    pub times: i64,
    pub right: i64,
}

/// All reported results of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub settings: Settings,
    pub history: History,
    pub acts: Acts,
    pub agents: Vec<AgentAccount>,
    pub sources: BTreeMap<MarketSource, SourceAccount>,
    pub calibration: Vec<Said>,
    pub supply: Supply,
    /// Stakes of open predictions and of open bets, which together are the escrow.
    pub escrow: (i128, i128),
    pub audit: Report,
}

/// Audits a simulation and adds up what it came to.
///
/// # Errors
/// If the audit fails, or its totals differ from the running ones.
pub async fn close(simulation: Simulation) -> anyhow::Result<Outcome> {
    let audit = audit::audit(simulation.arena().database(), Options::default()).await?;
    let census = {
        let mut conn = simulation.arena().database().get().await?;
        db::supply::census(&mut conn).await?
    };
    let escrow = escrow(&simulation.watch).await?;
    sound(&audit, &census.supply, escrow)?;
    let standings = simulation.standings().await?;
    let Simulation { settings, agents, history, acts, watch, .. } = simulation;
    Ok(Outcome {
        agents: accounts(&watch, &agents, &standings, &history).await?,
        sources: sources(&watch).await?,
        calibration: calibration(&watch, &agents).await?,
        supply: census.supply,
        settings,
        history,
        acts,
        escrow,
        audit,
    })
}

/// No credits are missing or extra, and the escrow equals the open stakes.
fn sound(audit: &Report, supply: &Supply, escrow: (i128, i128)) -> anyhow::Result<()> {
    ensure!(
        audit.is_sound(),
        "the audit found {} faults, among them {:#?}",
        audit.faults_total,
        audit.faults.iter().take(5).collect::<Vec<_>>()
    );
    ensure!(supply.drift() == 0, "the books are off by {}", units_text(supply.drift()));
    ensure!(
        audit.supply == supply.text(),
        "the running totals {:?} are not the journal's {:?}",
        supply.text(),
        audit.supply
    );
    let (predictions, bets) = escrow;
    ensure!(
        predictions + bets == supply.escrow,
        "{} is at stake in predictions and {} in bets, and {} in escrow",
        units_text(predictions),
        units_text(bets),
        units_text(supply.escrow)
    );
    Ok(())
}

fn total(row: &tokio_postgres::Row, place: usize) -> anyhow::Result<i128> {
    let text: String = row.get(place);
    text.parse().with_context(|| format!("{text} is no sum"))
}

/// Stakes of what is open, from the positions themselves.
async fn escrow(client: &Client) -> anyhow::Result<(i128, i128)> {
    let row = client
        .query_one(
            "SELECT (SELECT trunc(coalesce(sum(wager_amount), 0) * 100000000)::text FROM predictions \
                      WHERE status = 'OPEN'), \
                    (SELECT trunc(coalesce(sum(stake), 0) * 100000000)::text FROM bets \
                      WHERE state = 'OPEN')",
            &[],
        )
        .await?;
    Ok((total(&row, 0)?, total(&row, 1)?))
}

async fn accounts(
    client: &Client,
    agents: &[Agent],
    standings: &[Standing],
    history: &History,
) -> anyhow::Result<Vec<AgentAccount>> {
    let rows = client
        .query(
            "SELECT bot_id, settled, won, trunc(profit * 100000000)::text, \
                    trunc(brier_sum * 100000000)::text, brier_count FROM agent_totals",
            &[],
        )
        .await?;
    let totals: BTreeMap<i64, _> = rows.iter().map(|row| (row.get::<_, i64>(0), row)).collect();
    let mut accounts = Vec::with_capacity(agents.len());
    for (place, (agent, standing)) in agents.iter().zip(standings).enumerate() {
        ensure!(agent.bot_id == standing.bot_id, "agents and wallets are out of step");
        let died_in = history.deaths.get(place).copied().flatten();
        let row = totals.get(&agent.bot_id.0);
        let count = |place: usize| row.map_or(0, |row| row.get(place));
        let sum = |place| row.map_or(Ok(0), |row| total(row, place));
        accounts.push(AgentAccount {
            bot_id: agent.bot_id,
            kind: agent.kind,
            alive: died_in.is_none(),
            balance_units: units(standing.balance),
            shadow_units: i128::from(standing.shadow_units),
            settled: count(1),
            won: count(2),
            profit_units: sum(3)?,
            brier_units: sum(4)?,
            brier_count: count(5),
            died_in,
        });
    }
    Ok(accounts)
}

async fn sources(client: &Client) -> anyhow::Result<BTreeMap<MarketSource, SourceAccount>> {
    let rows = client
        .query(
            "SELECT m.source::text, m.status::text, count(DISTINCT m.id), count(b.id), \
                    trunc(coalesce(sum(b.stake), 0) * 100000000)::text, \
                    trunc(coalesce(sum(b.payout), 0) * 100000000)::text, \
                    trunc(coalesce(sum(b.minted), 0) * 100000000)::text \
               FROM markets m LEFT JOIN bets b ON b.market_id = m.id \
              GROUP BY m.source, m.status",
            &[],
        )
        .await?;
    let mut sources: BTreeMap<_, SourceAccount> =
        MarketSource::ALL.map(|source| (source, SourceAccount::default())).into();
    for row in &rows {
        let (source, status): (&str, &str) = (row.get(0), row.get(1));
        let (source, status): (MarketSource, MarketStatus) = (source.parse()?, status.parse()?);
        let account = sources.entry(source).or_default();
        let markets: i64 = row.get(2);
        account.opened += markets;
        match status {
            MarketStatus::Open | MarketStatus::Locked => {}
            MarketStatus::Resolved => account.resolved += markets,
            MarketStatus::Void => account.void += markets,
            MarketStatus::Expired => account.expired += markets,
        }
        account.bets += row.get::<_, i64>(3);
        account.staked_units += total(row, 4)?;
        account.paid_units += total(row, 5)?;
        account.minted_units += total(row, 6)?;
    }
    Ok(sources)
}

async fn calibration(client: &Client, agents: &[Agent]) -> anyhow::Result<Vec<Said>> {
    let rows = client
        .query(
            "SELECT bot_id, round(confidence * 100)::bigint, count(*), count(*) FILTER (WHERE won) \
               FROM (SELECT bot_id, confidence, status = 'WON' AS won FROM predictions \
                      WHERE status IN ('WON', 'LOST') \
                      UNION ALL \
                     SELECT bot_id, confidence, state = 'WON' FROM bets \
                      WHERE state IN ('WON', 'LOST')) s \
              GROUP BY 1, 2",
            &[],
        )
        .await?;
    let kinds: BTreeMap<i64, Kind> = agents.iter().map(|one| (one.bot_id.0, one.kind)).collect();
    let mut said: BTreeMap<(Kind, i64), (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let bot: i64 = row.get(0);
        let kind = kinds.get(&bot).copied().context("a position of nobody")?;
        let (times, right) = said.entry((kind, row.get(1))).or_default();
        *times += row.get::<_, i64>(2);
        *right += row.get::<_, i64>(3);
    }
    Ok(said
        .into_iter()
        .map(|((kind, percent), (times, right))| Said { kind, percent, times, right })
        .collect())
}
