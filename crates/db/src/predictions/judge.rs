//! The two prices that decide a prediction, and the result if they are missing.

use std::collections::HashMap;

use ledger_core::Timestamp;
use ledger_core::economy::EconomyRules;
use ledger_core::prediction::{
    self, Found, Known, OpenPrediction, PredictionStatus, PriceSample, PriceSource, Verdict,
    VoidReason,
};

use super::settle::{MissingPrices, Open, Unpriced, Want};
use crate::error::DbResult;
use crate::pool::Connection;
use crate::prices;

/// The time and the prices that the judgements of one transaction share, as first read: most
/// predictions of a batch begin and end with the same samples. Later records count in the next
/// call.
pub(super) struct SharedReads {
    pub(super) now: Timestamp,
    /// By source, time and how far the rules look.
    pub(super) known: HashMap<(PriceSource, Timestamp, i64, i64), Known>,
}

impl SharedReads {
    pub(super) async fn open(conn: &mut Connection) -> DbResult<SharedReads> {
        Ok(SharedReads { now: crate::now(conn).await?, known: HashMap::new() })
    }

    async fn known(
        &mut self,
        conn: &mut Connection,
        source: PriceSource,
        due: Timestamp,
        rules: &EconomyRules,
    ) -> DbResult<Known> {
        let looks = (rules.sample_grace_seconds, rules.in_time_seconds());
        let key = (source, due, looks.0, looks.1);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let known = prices::known(conn, source, due, rules).await?;
        self.known.insert(key, known);
        Ok(known)
    }
}

/// The next step for a prediction.
pub(super) enum Judgement {
    Decided(Judged),
    /// A sample may still be taken in time.
    Waits,
    Wants(Want),
}

/// A prediction with its verdict and the samples that gave it.
pub(super) struct Judged {
    pub(super) open: Open,
    pub(super) verdict: Verdict,
    pub(super) start: Option<PriceSample>,
    pub(super) end: Option<PriceSample>,
    pub(super) unpriced: Option<Unpriced>,
}

/// Finds a prediction's two prices: first of its own source, by samples or history; if that has
/// none within the grace period, of the other real sources, start and end of the same one.
pub(super) async fn judge(
    conn: &mut Connection,
    reads: &mut SharedReads,
    open: Open,
    missing: MissingPrices,
) -> DbResult<Judgement> {
    let now = reads.now;
    let Open { prediction, rules, .. } = &open;
    let first_due = prediction::start_due(prediction.created_at, rules);
    let in_time = rules.in_time_seconds();
    // Once set, a start price stays, even if an earlier sample arrives late.
    let start = match open.start {
        start @ Some(_) => start,
        None => prices::first_taken(conn, first_due, first_due.plus_seconds(in_time)).await?,
    };
    let own = start.map(|start| start.source);
    let due = start.map_or(first_due, |start| prediction::end_due(&start, rules));
    if let Some(start) = start {
        let end = reads.known(conn, start.source, due, rules).await?;
        if let Found::Price(end) = end.find(due, rules) {
            return Ok(decided(open, start, end));
        }
    }
    if now <= due.plus_seconds(in_time) {
        return Ok(Judgement::Waits);
    }
    let elsewhere = own.is_none_or(PriceSource::is_real)
        && (own.is_none() || now > due.plus_seconds(rules.sample_grace_seconds));
    if elsewhere {
        for source in others(own) {
            if let Some((start, end)) = pair(conn, reads, source, first_due, rules).await? {
                return Ok(decided(open, start, end));
            }
        }
    }
    let all_asked = match missing {
        MissingPrices::Await => false,
        MissingPrices::Asked { seconds } => seconds >= rules.sample_patience_seconds,
        MissingPrices::Void => true,
    };
    if all_asked && now > prediction::waits_until(prediction.created_at, rules) {
        let (start, end) = last_resort(conn, start, first_due, rules).await?;
        if let Some((start, end)) = start.zip(end) {
            return Ok(decided(open, start, end));
        }
        // A void names its start where there was one.
        let unpriced = lean(conn, prediction, first_due, due).await?;
        return Ok(Judgement::Decided(Judged {
            open,
            verdict: Verdict::Void(VoidReason::SampleMissing),
            start,
            end: None,
            unpriced: Some(unpriced),
        }));
    }
    let latest = rules.prediction_horizon_seconds + 2 * rules.sample_grace_seconds;
    Ok(Judgement::Wants(Want {
        source: own,
        elsewhere,
        due: if elsewhere { first_due } else { due },
        last: first_due.plus_seconds(latest),
    }))
}

/// The sources that may take the place of a prediction's own: other real ones of a real one, and any where it
/// has none yet.
fn others(own: Option<PriceSource>) -> impl Iterator<Item = PriceSource> {
    let may_be = move |source: &PriceSource| {
        own.is_none_or(|own| own.is_real() && *source != own && source.is_real())
    };
    PriceSource::ALL.into_iter().filter(may_be)
}

fn decided(open: Open, start: PriceSample, end: PriceSample) -> Judgement {
    let verdict = prediction::judge(open.prediction.direction, &start, &end);
    Judgement::Decided(Judged { open, verdict, start: Some(start), end: Some(end), unpriced: None })
}

/// Start and end of one source, if both are known.
async fn pair(
    conn: &mut Connection,
    reads: &mut SharedReads,
    source: PriceSource,
    first_due: Timestamp,
    rules: &EconomyRules,
) -> DbResult<Option<(PriceSample, PriceSample)>> {
    let start = reads.known(conn, source, first_due, rules).await?;
    let Found::Price(start) = start.find(first_due, rules) else {
        return Ok(None);
    };
    let due = prediction::end_due(&start, rules);
    let end = reads.known(conn, source, due, rules).await?;
    Ok(match end.find(due, rules) {
        Found::Price(end) => Some((start, end)),
        Found::Nothing | Found::NotYet => None,
    })
}

/// The prices within the grace period, once no source will have more: a late price is better than none. The own
/// source comes first; then the other one whose pair began first, real ones before simulated ones. A prediction
/// with a real source is judged only by real ones.
async fn last_resort(
    conn: &mut Connection,
    own: Option<PriceSample>,
    first_due: Timestamp,
    rules: &EconomyRules,
) -> DbResult<(Option<PriceSample>, Option<PriceSample>)> {
    let grace = rules.sample_grace_seconds;
    let mut starts = Vec::new();
    for source in others(own.map(|own| own.source)) {
        starts.extend(prices::first(conn, source, first_due, grace).await?);
    }
    starts.sort_by_key(|start| (!start.source.is_real(), start.provider_at, start.id));
    starts.splice(0..0, own);
    for start in &starts {
        let due = prediction::end_due(start, rules);
        if let Some(end) = prices::first(conn, start.source, due, grace).await? {
            return Ok((Some(*start), Some(end)));
        }
    }
    Ok((<[_]>::first(&starts).copied(), None))
}

/// How a prediction without prices would have ended by the nearest later ones.
async fn lean(
    conn: &mut Connection,
    prediction: &OpenPrediction,
    first_due: Timestamp,
    due: Timestamp,
) -> DbResult<Unpriced> {
    let start = nearest(conn, first_due).await?;
    let end = nearest(conn, due).await?;
    let verdict =
        start.zip(end).map(|(start, end)| prediction::judge(prediction.direction, &start, &end));
    Ok(Unpriced {
        direction: prediction.direction,
        would_have: match verdict {
            Some(Verdict::Right) => Some(PredictionStatus::Won),
            Some(Verdict::Wrong) => Some(PredictionStatus::Lost),
            Some(Verdict::Void(_)) | None => None,
        },
    })
}

async fn nearest(conn: &mut Connection, at: Timestamp) -> DbResult<Option<PriceSample>> {
    prices::first_taken(conn, at, at.plus_seconds(LEAN_SECONDS)).await
}

/// How far away the nearest prices may be for the likely result of a void prediction.
const LEAN_SECONDS: i64 = 86_400;
