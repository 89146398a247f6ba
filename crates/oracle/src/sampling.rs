//! When to request a price, from which source, and where to store it.
//!
//! A price goes to Postgres first, because settlement reads that; then to Redis, for observations, where it may
//! be lost. Past requests and cooldowns are in Postgres, so that neither a restart nor another oracle sends
//! requests sooner.
//!
//! Feeds are queried in order. After one without a fresh price the next is queried at once; after one that
//! requested a wait, only real ones. While it has retries left, no simulated price replaces it: the arena halts
//! instead when the last price is too old. A simulated one is queried only after a source whose retries are used
//! up ([`backoff::RETRIES_MAX`]). A switch does not affect open predictions: each ends with its own source, if
//! necessary by its history.
//!
//! The age of a price is that of its provider's time, whenever it arrived. A repeated price does not renew it,
//! and a price that arrives too old does not end a halt. After a repeated price, or one that will be too old
//! before the next sample, the next real source is queried as well: its price counts if it is newer.

use std::time::Duration;

use cache::prices::FreshPrice;
use db::DbResult;
use db::leases::Struck;
use db::prices::PriceRow;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use tracing::{debug, info, warn};

use crate::backoff;
use crate::metrics;
use crate::sources::{FeedError, Peace, PriceFeed, Quote};
use crate::state::{Oracle, locked};

/// A round's result for the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// The last sample is young enough.
    NotDue,
    Recorded {
        source: PriceSource,
        quote: Quote,
    },
    /// The source repeated its last price; nothing was stored, and the price's age does not change.
    Repeated {
        source: PriceSource,
        quote: Quote,
    },
    /// No source answered; each one's reason is in the log.
    NoAnswer,
}

/// The result of a request to a feed.
enum Asked {
    Answered(Quote),
    /// It gave no price, or is in a cooldown with its retries used up: the next one is queried.
    Next,
    /// It requested a wait and is being retried: no simulated price replaces it meanwhile.
    Retried,
}

/// Samples the price if that is due.
pub(crate) async fn sample(oracle: &Oracle, now: Timestamp) -> DbResult<Sampled> {
    let newest = db::prices::newest(&mut *oracle.database.get().await?).await?;
    if let Some(row) = &newest {
        metrics::price_is_of(row.provider_at);
    }
    if !is_due(oracle, newest.as_ref(), now) {
        restore(oracle, newest.as_ref(), now).await;
        return Ok(Sampled::NotDue);
    }
    let mut real_only = false;
    let mut sampled = Sampled::NoAnswer;
    // One of the future is from before the clock was set back.
    let newest_at = newest.as_ref().map(|row| row.provider_at);
    let mut freshest = newest_at.filter(|at| *at <= now);
    for feed in &oracle.feeds {
        let source = feed.source();
        if real_only && !source.is_real() {
            continue;
        }
        let mut quote = match ask(oracle, feed.as_ref(), now).await? {
            Asked::Answered(quote) => quote,
            Asked::Next => continue,
            Asked::Retried => {
                real_only = true;
                continue;
            }
        };
        // If a provider's clock is ahead, a sample must not be dated after wagers of agents that have already
        // seen it: no sample has a time later than the request.
        quote.provider_at = quote.provider_at.min(now);
        if sampled != Sampled::NoAnswer && freshest.is_some_and(|at| quote.provider_at <= at) {
            debug!(%source, "its price is no newer than that of the source before it");
            continue;
        }
        let kept = keep(oracle, source, quote, freshest, now).await?;
        if matches!(kept, Sampled::Recorded { .. }) {
            freshest = freshest.max(Some(quote.provider_at));
            sampled = kept;
            if is_good_until_the_next(oracle, &quote, now) {
                break;
            }
        } else if sampled == Sampled::NoAnswer {
            sampled = kept;
        }
        real_only = true;
    }
    if !matches!(sampled, Sampled::Recorded { .. }) {
        restore(oracle, newest.as_ref(), now).await;
    }
    Ok(sampled)
}

/// Whether a price is still fresh when the next sample is taken.
fn is_good_until_the_next(oracle: &Oracle, quote: &Quote, now: Timestamp) -> bool {
    let age_seconds = now.seconds_since(quote.provider_at);
    age_seconds + oracle.rhythm.sample_seconds <= oracle.rules.price_ttl_seconds
}

/// Whether the interval has passed since the last sample by any oracle, and since this process' last request: a
/// failing or repeating source gives no new sample.
fn is_due(oracle: &Oracle, newest: Option<&PriceRow>, now: Timestamp) -> bool {
    let last_asked = *locked(&oracle.last_asked);
    let interval_micros = oracle.rhythm.sample_seconds.saturating_mul(1_000_000);
    let early_micros = oracle.rhythm.early_micros();
    [newest.map(|row| row.sampled_at), last_asked].into_iter().flatten().all(|at| {
        // The distance, so that a clock set back does not silence the oracle for long.
        let distance = now.micros().saturating_sub(at.micros()).saturating_abs();
        distance.saturating_add(early_micros) >= interval_micros
    })
}

/// Asks one feed, unless it is to be left alone.
async fn ask(oracle: &Oracle, feed: &dyn PriceFeed, now: Timestamp) -> DbResult<Asked> {
    let source = feed.source();
    let cooldown =
        db::leases::cooldown(&mut *oracle.database.get().await?, source.as_str()).await?;
    if let Some(cooldown) = cooldown.filter(|cooldown| cooldown.active) {
        debug!(%source, until = %cooldown.until, "source is cooling down; not queried");
        return Ok(after_strikes(cooldown.strikes));
    }
    *locked(&oracle.last_asked) = Some(now);
    let answer = tokio::select! {
        answer = feed.quote(now) => answer,
        () = oracle.shutdown.wait() => {
            debug!(%source, "no longer waiting for the source: the process stops");
            return Ok(Asked::Next);
        }
    };
    metrics::asked(source.as_str(), answer.is_ok());
    let too_old = |quote: &Quote| {
        let age_seconds = now.seconds_since(quote.provider_at);
        (age_seconds > oracle.rules.price_ttl_seconds).then_some(FeedError::Stale { age_seconds })
    };
    match answer.and_then(|quote| too_old(&quote).map_or(Ok(quote), Err)) {
        Ok(quote) => {
            if cooldown.is_some() {
                db::leases::clear_cooldown(&mut *oracle.database.get().await?, source.as_str())
                    .await?;
                info!(%source, "source answers again");
            }
            Ok(Asked::Answered(quote))
        }
        Err(error) => refused(oracle, source, &error).await,
    }
}

/// Whether all sources after one in a cooldown may be queried, or only real ones.
fn after_strikes(strikes: i32) -> Asked {
    if strikes > backoff::RETRIES_MAX { Asked::Next } else { Asked::Retried }
}

/// Logs why a source gave no price, and leaves it alone if it wants that.
async fn refused(oracle: &Oracle, source: PriceSource, error: &FeedError) -> DbResult<Asked> {
    let Some(Peace { retry_after_seconds }) = error.wants_peace() else {
        warn!(%source, %error, "price source gave no price");
        return Ok(Asked::Next);
    };
    let mut conn = oracle.database.get().await?;
    let struck = db::leases::strike(&mut conn, source.as_str(), |strikes| {
        backoff::cooldown_seconds(strikes, retry_after_seconds)
    });
    let Struck { strikes, seconds } = struck.await?;
    warn!(
        %source,
        %error,
        strikes,
        cooldown_seconds = seconds,
        retries_used_up = strikes > backoff::RETRIES_MAX,
        "price source cools down"
    );
    Ok(after_strikes(strikes))
}

/// Postgres first, then Redis, then listeners.
async fn keep(
    oracle: &Oracle,
    source: PriceSource,
    quote: Quote,
    freshest: Option<Timestamp>,
    now: Timestamp,
) -> DbResult<Sampled> {
    let mut conn = oracle.database.get().await?;
    let recorded = db::prices::record(&mut conn, source, quote.price, quote.provider_at).await?;
    drop(conn);
    let Some(row) = recorded else {
        debug!(%source, "price source repeats itself; the price stays as old as it is");
        return Ok(Sampled::Repeated { source, quote });
    };
    metrics::price_is_of(row.provider_at);
    let fresh = fresh(&row);
    let is_newest = freshest.is_none_or(|at| fresh.provider_at >= at);
    // An older one of another source must not end the arena's price before its time.
    if is_newest && let Some(left) = fresh.freshness(now, oracle.rules.price_ttl_seconds) {
        publish(oracle, &fresh, left).await;
    }
    oracle.cache.wake_soon();
    info!(%source, price = %quote.price, provider_at = %quote.provider_at, "sampled the price");
    Ok(Sampled::Recorded { source, quote })
}

/// Restores a price that Redis lost for its remaining time, instead of halting the arena until the next sample.
async fn restore(oracle: &Oracle, newest: Option<&PriceRow>, now: Timestamp) {
    let Some(fresh) = newest.map(fresh) else {
        return;
    };
    let Some(left) = fresh.freshness(now, oracle.rules.price_ttl_seconds) else {
        return;
    };
    match oracle.cache.price().await {
        Ok(Some(_)) => return,
        Ok(None) => info!("Redis has no price though Postgres has a fresh one; putting it back"),
        Err(error) => {
            warn!(%error, "could not see whether Redis has the price; putting it there");
        }
    }
    publish(oracle, &fresh, left).await;
}

fn fresh(row: &PriceRow) -> FreshPrice {
    FreshPrice {
        price: row.price,
        source: row.source,
        provider_at: row.provider_at,
        sampled_at: row.sampled_at,
    }
}

async fn publish(oracle: &Oracle, fresh: &FreshPrice, ttl: Duration) {
    if let Err(error) = oracle.cache.put_price(fresh, ttl).await {
        warn!(%error, "the price did not reach Redis: no observations until then; settlement continues");
    }
}
