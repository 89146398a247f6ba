//! Prices without a sample: a source's own history, read for predictions that wait for it.
//!
//! A source has no sample if it refuses us, if we could not reach it, or if no oracle ran; another user of our
//! address can even cause this. No bot may profit from it, so the due price is requested later.
//!
//! A span is read when no new sample for it can arrive, and only once: so the prices that decide a position never
//! change. A part that the source omitted, or that is unreadable, does not count as time without prices.

pub(crate) mod left_out;

use std::collections::BTreeMap;

use db::leases::Struck;
use db::predictions::Want;
use db::prices::Span;
use db::{Connection, DbResult};
use ledger_core::Timestamp;
use ledger_core::prediction::{PriceSource, SAMPLE_AGE_MAX_SECONDS};
use tracing::{debug, info, warn};

use crate::backoff;
use crate::metrics;
use crate::sources::{FeedError, History, PriceFeed};
use crate::state::{MayContinue, Oracle, locked};

/// Shorter spans are not worth a request: free histories have a price for each five minutes.
const SPAN_MIN_SECONDS: i64 = 300;
/// Longer spans are read in parts.
const SPAN_MAX_SECONDS: i64 = 6 * 3_600;
/// After a failure, for as many strikes as a source has.
const FAILURE_WAIT_SECONDS: [i64; 4] = [30, 60, 120, 240];
/// How often an omitted or unreadable part is requested again; then the part after it is read without it.
const LEFT_OUT_AFTER: i32 = 3;

/// The first moment of a missing part.
fn first_untold(part: Span, told: &[Span]) -> Option<Timestamp> {
    let first = told.first().filter(|it| it.begins_at == part.begins_at);
    let until = first.map_or(part.begins_at, |it| it.ends_at);
    (until < part.ends_at).then_some(until)
}

/// Reads the wanted spans of each source with a history; returns the sources that were read.
pub(crate) async fn read(
    oracle: &Oracle,
    wants: &[Want],
    now: Timestamp,
    may_continue: MayContinue<'_>,
) -> DbResult<Vec<PriceSource>> {
    let mut told = Vec::new();
    for (source, span) in spans(oracle, wants, now) {
        let feed = oracle.feeds.iter().find(|feed| feed.source() == source);
        if let Some(feed) = feed
            && may_continue()
            && read_one(oracle, feed.as_ref(), span, now).await?
        {
            told.push(source);
        }
    }
    Ok(told)
}

/// The span to read of each source: from the earliest wanted price to the latest.
fn spans(oracle: &Oracle, wants: &[Want], now: Timestamp) -> BTreeMap<PriceSource, Span> {
    let settled = now.plus_seconds(-SAMPLE_AGE_MAX_SECONDS);
    let mut spans: BTreeMap<PriceSource, Span> = BTreeMap::new();
    let any_real = oracle.feeds.iter().any(|feed| feed.source().is_real());
    for want in wants {
        for feed in &oracle.feeds {
            let source = feed.source();
            let is_asked = match want.source {
                Some(own) => own == source || (want.elsewhere && source.is_real()),
                None => source.is_real() || !any_real,
            };
            let reaches_back = feed
                .reaches_back_seconds()
                .is_none_or(|seconds| want.due >= now.plus_seconds(-seconds));
            if is_asked && reaches_back {
                let span =
                    spans.entry(source).or_insert(Span { begins_at: want.due, ends_at: want.due });
                span.begins_at = span.begins_at.min(want.due);
                span.ends_at = span.ends_at.max(want.last.plus_seconds(1)).min(settled);
            }
        }
    }
    spans
}

/// Reads a part of a span that was not read yet, unless the source is to be left alone.
async fn read_one(
    oracle: &Oracle,
    feed: &dyn PriceFeed,
    span: Span,
    now: Timestamp,
) -> DbResult<bool> {
    let source = feed.source();
    // Its own name for failures of its history: these do not keep samples from being taken, and a sample
    // that is taken does not end them.
    let name = format!("{source} history");
    let (unread, of_source, of_history) = {
        let mut conn = oracle.database.get().await?;
        (
            db::prices::unread_parts(&mut conn, source, span).await?,
            db::leases::cooldown(&mut conn, source.as_str()).await?,
            db::leases::cooldown(&mut conn, &name).await?,
        )
    };
    let mut cooldowns = of_source.iter().chain(&of_history);
    if cooldowns.any(|cooldown| cooldown.active) {
        return Ok(false);
    }
    let strikes = of_history.map_or(0, |cooldown| cooldown.strikes);
    let Some(part) = next_part(&unread, strikes) else {
        return Ok(false);
    };
    let answer = tokio::select! {
        answer = feed.history(part, now) => answer,
        () = oracle.shutdown.wait() => return Ok(false),
    };
    // An answer without any price does not count: the source may not have the prices yet.
    let answer = answer.and_then(|history| match history {
        History { quotes, problem, .. } if quotes.is_empty() => {
            Err(problem.unwrap_or(FeedError::NoPrices))
        }
        history => Ok(history),
    });
    metrics::asked_for_history(source.as_str(), answer.is_ok());
    let mut conn = oracle.database.get().await?;
    let (kept, problem) = match answer {
        Ok(history) => {
            let untold = first_untold(part, &history.told);
            let before = locked(&oracle.left_out).before(source, untold);
            let leaves_out = before >= LEFT_OUT_AFTER;
            let kept = keep(&mut conn, source, part, &history, leaves_out).await?;
            (kept, history.problem.filter(|_| !leaves_out))
        }
        Err(error) => (false, Some(error)),
    };
    match problem {
        Some(error) => failed(&mut conn, source, &name, &error).await?,
        None => db::leases::clear_cooldown(&mut conn, &name).await?,
    }
    Ok(kept)
}

/// The next part to read. After each failure another one: a part that cannot be read must not keep
/// the others from being read.
fn next_part(unread: &[Span], strikes: i32) -> Option<Span> {
    let long_enough = |part: &&Span| part.ends_at >= part.begins_at.plus_seconds(SPAN_MIN_SECONDS);
    let parts: Vec<&Span> = unread.iter().filter(long_enough).collect();
    let place = usize::try_from(strikes).unwrap_or(0).checked_rem(parts.len())?;
    parts.get(place).map(|part| Span {
        begins_at: part.begins_at,
        ends_at: part.ends_at.min(part.begins_at.plus_seconds(SPAN_MAX_SECONDS)),
    })
}

/// Stores the prices of a span up to the first missing moment; the part after it only when that moment was
/// requested often enough.
async fn keep(
    conn: &mut Connection,
    source: PriceSource,
    part: Span,
    history: &History,
    leaves_out: bool,
) -> DbResult<bool> {
    let prices: Vec<_> =
        history.quotes.iter().map(|quote| (quote.price, quote.provider_at)).collect();
    let told =
        history.told.iter().enumerate().filter(|(place, told)| {
            leaves_out || (*place == 0 && told.begins_at == part.begins_at)
        });
    let mut kept = false;
    for (_, told) in told {
        if db::prices::record_history(conn, source, *told, &prices).await? {
            kept = true;
            info!(%source, from = %told.begins_at, to = %told.ends_at, prices = prices.len(),
                  "read the source's history for predictions that wait for it");
        } else {
            debug!(%source, "another oracle read this part of the history");
        }
    }
    Ok(kept)
}

/// Starts a cooldown of a history, and of its source if that requested fewer requests.
async fn failed(
    conn: &mut Connection,
    source: PriceSource,
    name: &str,
    error: &FeedError,
) -> DbResult<()> {
    let peace = error.wants_peace();
    let seconds = |strikes: i32| match peace {
        Some(peace) => backoff::cooldown_seconds(strikes, peace.retry_after_seconds),
        None => usize::try_from(strikes - 1)
            .ok()
            .and_then(|step| FAILURE_WAIT_SECONDS.get(step).copied())
            .unwrap_or(backoff::COOLDOWN_MAX_SECONDS),
    };
    if matches!(error, FeedError::RateLimited { .. }) {
        db::leases::strike(conn, source.as_str(), seconds).await?;
    }
    let Struck { strikes, seconds } = db::leases::strike(conn, name, seconds).await?;
    warn!(%source, %error, strikes, next_try_seconds = seconds,
          "the source's history could not be read; predictions wait for it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::left_out::LeftOut;
    use super::*;

    #[test]
    fn a_moment_is_left_out_only_after_it_was_asked_for_often_enough_itself() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let mut left_out = LeftOut::default();
        let source = PriceSource::Kraken;
        let times: Vec<i32> = [Some(1), Some(1), Some(2), Some(2), None, Some(2), Some(2)]
            .into_iter()
            .map(|moment| left_out.before(source, moment.map(at)))
            .collect();
        assert_eq!(times, [0, 1, 0, 1, 0, 0, 1]);
        assert_eq!(left_out.before(PriceSource::Coingecko, Some(at(2))), 0);
        let span = |begins: i64, ends: i64| Span { begins_at: at(begins), ends_at: at(ends) };
        let part = span(10, 20);
        assert_eq!(first_untold(part, &[]), Some(at(10)));
        assert_eq!(first_untold(part, &[span(12, 20)]), Some(at(10)));
        assert_eq!(first_untold(part, &[span(10, 15), span(16, 20)]), Some(at(15)));
        assert_eq!(first_untold(part, &[part]), None);
    }

    #[test]
    fn a_part_that_cannot_be_read_keeps_no_other_from_being_read() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let span = |begins: i64, ends: i64| Span { begins_at: at(begins), ends_at: at(ends) };
        let unread = [span(0, 600), span(700, 999), span(2_000, 90_000)];
        let long = span(2_000, 2_000 + SPAN_MAX_SECONDS);
        assert_eq!(next_part(&unread, 0), Some(unread[0]));
        assert_eq!(next_part(&unread, 1), Some(long));
        assert_eq!(next_part(&unread, 2), Some(unread[0]));
        assert_eq!(next_part(&unread[1..2], 0), None, "too short");
        assert_eq!(next_part(&[], 3), None);
    }
}
