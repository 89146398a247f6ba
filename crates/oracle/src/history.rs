//! What no sample told: a source's own history, read for predictions that wait for it.
//!
//! A source is silent when it refuses us, when we could not reach it, or when no oracle ran; somebody
//! who shares our address can even bring it about. Silence must not be worth anything to anybody, so a
//! price that was due then is asked for afterwards.
//!
//! A span is read once it is so long ago that no sample of it can be taken any more, and once only:
//! what a position is judged by never changes when more is read.

use std::collections::BTreeMap;

use db::DbResult;
use db::predictions::Want;
use db::prices::Span;
use ledger_core::Timestamp;
use ledger_core::prediction::{PriceSource, SAMPLE_AGE_MAX_SECONDS};
use tracing::{debug, info, warn};

use crate::backoff;
use crate::cycle::{MayContinue, Oracle};
use crate::metrics;
use crate::sources::PriceFeed;

/// Shorter spans are not worth a request: free histories have a price for each five minutes.
const SPAN_MIN_SECONDS: i64 = 300;
/// Longer spans are read in parts.
const SPAN_MAX_SECONDS: i64 = 6 * 3_600;
/// After a failure, for as many strikes as a source has.
const FAILURE_WAIT_SECONDS: [i64; 4] = [30, 60, 120, 240];

/// Reads what is wanted of each source that has it; answers whose history was read.
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

/// What to read of which source: from the earliest price that is wanted to the latest.
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
            if is_asked {
                let span = spans.entry(source).or_insert(Span {
                    begins_at: want.due,
                    ends_at: want.due,
                });
                span.begins_at = span.begins_at.min(want.due);
                span.ends_at = span.ends_at.max(want.last.plus_seconds(1)).min(settled);
            }
        }
    }
    spans
}

/// Reads the first part of a span that was not read yet, unless the source is to be left alone.
async fn read_one(
    oracle: &Oracle,
    feed: &dyn PriceFeed,
    span: Span,
    now: Timestamp,
) -> DbResult<bool> {
    let source = feed.source();
    // Its own name for failures of its history, so that these do not keep samples from being taken.
    let name = format!("{source} history");
    let (unread, cooldowns) = {
        let mut conn = oracle.database.get().await?;
        let unread = db::prices::unread(&mut conn, source, span).await?;
        let of_source = db::leases::cooldown(&mut conn, source.as_str()).await?;
        let of_history = db::leases::cooldown(&mut conn, &name).await?;
        (unread, (of_source, of_history))
    };
    let Some(mut span) = unread else {
        return Ok(false);
    };
    span.ends_at = span
        .ends_at
        .min(span.begins_at.plus_seconds(SPAN_MAX_SECONDS));
    let (of_source, of_history) = cooldowns;
    let is_cooling = |cooldown: &Option<db::leases::Cooldown>| {
        cooldown.as_ref().is_some_and(|cooldown| cooldown.active)
    };
    if span.ends_at < span.begins_at.plus_seconds(SPAN_MIN_SECONDS)
        || is_cooling(&of_source)
        || is_cooling(&of_history)
    {
        return Ok(false);
    }
    let answer = tokio::select! {
        answer = feed.history(span.begins_at, span.ends_at, now) => answer,
        () = oracle.shutdown.wait() => return Ok(false),
    };
    metrics::asked_for_history(source.as_str(), answer.is_ok());
    let mut conn = oracle.database.get().await?;
    match answer {
        Ok(quotes) => {
            let prices: Vec<_> = quotes
                .iter()
                .map(|quote| (quote.price, quote.provider_at))
                .collect();
            let kept = db::prices::record_history(&mut conn, source, span, &prices).await?;
            db::leases::clear_cooldown(&mut conn, &name).await?;
            if kept {
                info!(%source, from = %span.begins_at, to = %span.ends_at, prices = prices.len(),
                      "read the source's history for predictions that wait for it");
            } else {
                debug!(%source, "somebody else read this part of the history");
            }
            Ok(kept)
        }
        Err(error) => {
            let (strikes, seconds, name) = match error.wants_peace() {
                // It asks to be left alone altogether.
                Some(peace) => {
                    let strikes = of_source.map_or(0, |cooldown| cooldown.strikes) + 1;
                    let wait = backoff::cooldown_seconds(strikes, peace.retry_after_seconds);
                    (strikes, wait, source.as_str())
                }
                None => {
                    let strikes = of_history.map_or(0, |cooldown| cooldown.strikes) + 1;
                    let step = usize::try_from(strikes - 1).unwrap_or(0);
                    let wait = FAILURE_WAIT_SECONDS.get(step).copied();
                    (
                        strikes,
                        wait.unwrap_or(backoff::COOLDOWN_MAX_SECONDS),
                        name.as_str(),
                    )
                }
            };
            db::leases::cool_down(&mut conn, name, strikes, seconds).await?;
            warn!(%source, %error, strikes, next_try_seconds = seconds,
                  "the source's history could not be read; predictions wait for it");
            Ok(false)
        }
    }
}
