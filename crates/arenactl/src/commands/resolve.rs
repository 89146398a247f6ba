//! `arenactl resolve --explain MARKET`: derives a market's outcome again from the stored evidence.
//!
//! It decides nothing and writes nothing; only the oracle resolves. It shows whether the stored evidence leads to
//! the market's outcome, by the function that decided it.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::markets::{self, Evidence, Finding, Market};
use ledger_core::market::{MarketSource, MarketStatus, Taking};
use ledger_core::research::commitment;
use ledger_core::{Hash, MarketId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{market_failure, services_database};
use crate::arguments;
use crate::output::{Judged, Plain};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only explain how the outcome follows; never changes anything
    #[arg(long, required = true)]
    explain: bool,
    /// The market's id
    #[arg(value_parser = arguments::market_id)]
    market: MarketId,
}

/// How an outcome follows from the stored evidence.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    market_id: MarketId,
    source: MarketSource,
    question: String,
    criteria: serde_json::Value,
    status: MarketStatus,
    outcome: Option<String>,
    deadline: Timestamp,
    /// The outcome by the evidence, read again; `None` if nothing decides.
    derived: Option<String>,
    verdict: Verdict,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The stored evidence leads to the outcome.
    Confirmed,
    /// It leads to another outcome.
    Contradicted,
    /// There is no outcome to derive: the market is unsettled, void, or expired.
    NothingDecided,
}

/// One piece of evidence, read again.
#[derive(Debug, Serialize)]
struct Step {
    evidence_id: Option<i64>,
    what: String,
    fetched_at: Option<Timestamp>,
    /// Whether the kept bytes have the kept digest; `None` where only a part was kept.
    digest_matches: Option<bool>,
    said_then: String,
    says_now: String,
}

impl Judged for Explanation {
    /// A failure if the outcome does not follow, or if the stored bytes do not match their digest.
    fn verdict(self) -> Result<(), Failure> {
        let kept = self.steps.iter().all(|step| step.digest_matches != Some(false));
        if kept && self.verdict != Verdict::Contradicted {
            return Ok(());
        }
        let id = self.market_id;
        Err(anyhow::anyhow!("the outcome of market {id} does not follow from its evidence").into())
    }
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Explanation, Failure> {
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    let market = args.market;
    let failure = |error| market_failure(&postgres, error, "explain", market);
    let found = markets::find(&mut conn, market).await.map_err(failure)?;
    let evidence = markets::evidence_of(&mut conn, market).await.map_err(failure)?;
    Ok(explain(found, &evidence))
}

fn explain(market: Market, evidence: &[Evidence]) -> Explanation {
    let (steps, derived) = match market.source.about().takes {
        Taking::Answer => research(&market),
        Taking::Bet => readings(&market, evidence),
    };
    let verdict = match (&market.outcome, &derived) {
        (None, _) => Verdict::NothingDecided,
        (Some(outcome), Some(derived)) if outcome == derived => Verdict::Confirmed,
        (Some(_), _) => Verdict::Contradicted,
    };
    Explanation {
        market_id: market.id,
        source: market.source,
        question: market.description,
        criteria: serde_json::to_value(&market.criteria).unwrap_or_default(),
        status: market.status,
        outcome: market.outcome,
        deadline: market.deadline,
        derived,
        verdict,
        steps,
    }
}

/// Reads every fetch again; the one that decided is derived to the end.
fn readings(market: &Market, evidence: &[Evidence]) -> (Vec<Step>, Option<String>) {
    let mut derived = None;
    let steps = evidence.iter().map(|kept| {
        let fetch = &kept.fetch;
        let digest = Hash(Sha256::digest(&fetch.body).into());
        let digest_matches = fetch.sha256.filter(|_| !fetch.truncated).map(|kept| kept == digest);
        let (said_then, decided) = match &fetch.finding {
            Finding::Read { value, decides } => (value.clone(), decides.is_some()),
            Finding::Nothing { problem } => (format!("nothing: {problem}"), false),
        };
        let says_now = if decided {
            let reading =
                sources::derive(&market.criteria, &market.times(), fetch.fetched_at, &fetch.body);
            match reading {
                Ok(reading) => {
                    derived = market.criteria.decide(&reading).map(|side| side.to_string());
                    let side = derived.as_deref().unwrap_or("nothing");
                    format!("{reading}, so {side}")
                }
                Err(problem) => format!("nothing: the answer {problem}"),
            }
        } else {
            "decided nothing".to_owned()
        };
        Step {
            evidence_id: Some(kept.id),
            what: fetch.url.clone(),
            fetched_at: Some(fetch.fetched_at),
            digest_matches,
            said_then,
            says_now,
        }
    });
    let steps = steps.collect();
    (steps, derived)
}

/// Recomputes the commitment. Before the market has closed nothing of its secret is shown.
fn research(market: &Market) -> (Vec<Step>, Option<String>) {
    let Some(research) = &market.research else {
        return (Vec::new(), None);
    };
    let again = commitment(market.id, &research.nonce, &research.answer);
    let holds = again == research.commitment;
    let closed = market.status.is_settled();
    let says_now = match (closed, holds) {
        (false, true) => "the kept answer and nonce give it".to_owned(),
        (true, true) => format!(
            "SHA-256 of the answer '{}' with the nonce {} gives it",
            research.answer,
            research.nonce.reveal()
        ),
        (_, false) => "the stored answer and nonce give another one".to_owned(),
    };
    let step = Step {
        evidence_id: None,
        what: "the commitment published at the opening".to_owned(),
        fetched_at: None,
        digest_matches: Some(holds),
        said_then: research.commitment.to_string(),
        says_now,
    };
    let derived = (closed && holds).then(|| research.answer.to_string());
    (vec![step], derived)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Plain(&self.question))?;
        writeln!(f, "  market    {} ({}, {})", self.market_id, self.source, self.status)?;
        writeln!(f, "  criteria  {}", Plain(&self.criteria.to_string()))?;
        writeln!(f, "  deadline  {}", self.deadline)?;
        for step in &self.steps {
            let id = step.evidence_id.map_or(String::new(), |id| format!(" {id}"));
            writeln!(f, "  evidence{id}  {}", Plain(&step.what))?;
            if let Some(at) = step.fetched_at {
                writeln!(f, "    fetched    {at}")?;
            }
            let digest = match step.digest_matches {
                Some(true) => "matches",
                Some(false) => "DOES NOT MATCH what was kept",
                None => "not to be checked: a part was kept, or nothing came",
            };
            writeln!(f, "    digest     {digest}")?;
            writeln!(f, "    said then  {}", Plain(&step.said_then))?;
            writeln!(f, "    says now   {}", Plain(&step.says_now))?;
        }
        let outcome = self.outcome.as_deref().unwrap_or("none");
        match self.verdict {
            Verdict::Confirmed => write!(f, "The outcome {} follows.", Plain(outcome)),
            Verdict::NothingDecided => write!(f, "There is no outcome to derive."),
            Verdict::Contradicted => write!(
                f,
                "The outcome {} DOES NOT FOLLOW: the evidence says {}.",
                Plain(outcome),
                Plain(self.derived.as_deref().unwrap_or("nothing"))
            ),
        }
    }
}
