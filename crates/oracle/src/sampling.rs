//! When to ask for a price, whom to ask, and where to keep the answer.
//!
//! A price goes to Postgres first, because settlement reads that; then to Redis, where tickets look
//! and where it may be lost. What was asked when, and who wants to be left alone, is read from
//! Postgres, so that a restart or another oracle asks no sooner than this one would have.

use std::sync::PoisonError;
use std::time::Duration;

use bus::prices::FreshPrice;
use db::DbResult;
use db::prices::PriceRow;
use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;
use tracing::{debug, info, warn};

use crate::backoff;
use crate::cycle::Oracle;
use crate::sources::{FeedError, Peace, PriceFeed, Quote};

/// A sample may come early by so much, because a cycle never begins at the exact moment.
const EARLY_MICROS: i64 = 500_000;

/// What a cycle did about the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// The last sample is young enough.
    NotDue,
    Recorded {
        source: PriceSource,
        quote: Quote,
    },
    /// The source repeated what it had said before; nothing was added to the history.
    Repeated {
        source: PriceSource,
        quote: Quote,
    },
    /// No source answered; each one's reason is in the log.
    NoAnswer,
}

/// Samples the price if that is due.
pub(crate) async fn sample(oracle: &Oracle, now: Timestamp) -> DbResult<Sampled> {
    let newest = db::prices::page(&mut *oracle.database.get().await?, None, 1).await?;
    let newest = newest.into_iter().next();
    if !is_due(oracle, newest.as_ref(), now) {
        restore(oracle, newest.as_ref(), now).await;
        return Ok(Sampled::NotDue);
    }
    for feed in &oracle.feeds {
        if let Some(quote) = ask(oracle, feed.as_ref(), now).await? {
            return keep(oracle, feed.source(), quote, now).await;
        }
    }
    restore(oracle, newest.as_ref(), now).await;
    Ok(Sampled::NoAnswer)
}

/// Whether the interval has passed since the last sample, whoever took it, and since this process
/// last asked: a source that fails or repeats itself leaves no new sample.
fn is_due(oracle: &Oracle, newest: Option<&PriceRow>, now: Timestamp) -> bool {
    let last_asked = *oracle
        .last_asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let interval_micros = oracle.sample_interval_seconds.saturating_mul(1_000_000);
    [newest.map(|row| row.sampled_at), last_asked]
        .into_iter()
        .flatten()
        .all(|at| {
            // The distance, so that a clock set back does not silence the oracle for long.
            let distance = now.micros().saturating_sub(at.micros()).saturating_abs();
            distance.saturating_add(EARLY_MICROS) >= interval_micros
        })
}

/// One feed's answer. `None` if it is to be left alone or gave none.
async fn ask(oracle: &Oracle, feed: &dyn PriceFeed, now: Timestamp) -> DbResult<Option<Quote>> {
    let source = feed.source();
    let cooldown = db::leases::cooldown(&mut *oracle.database.get().await?, source).await?;
    if let Some(cooldown) = cooldown.filter(|cooldown| cooldown.active) {
        debug!(%source, until = %cooldown.until, "source is cooling down; not asked");
        return Ok(None);
    }
    *oracle
        .last_asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(now);
    let answer = tokio::select! {
        answer = feed.quote(now) => answer,
        () = oracle.shutdown.wait() => {
            debug!(%source, "no longer waiting for the source: the process stops");
            return Ok(None);
        }
    };
    match answer {
        Ok(quote) => {
            if cooldown.is_some() {
                db::leases::clear_cooldown(&mut *oracle.database.get().await?, source).await?;
                info!(%source, "source answers again");
            }
            Ok(Some(quote))
        }
        Err(error) => {
            let strikes = cooldown.map_or(0, |cooldown| cooldown.strikes);
            refused(oracle, source, strikes, &error).await?;
            Ok(None)
        }
    }
}

/// Logs why a source gave no price, and leaves it alone if it wants that.
async fn refused(
    oracle: &Oracle,
    source: PriceSource,
    strikes: i32,
    error: &FeedError,
) -> DbResult<()> {
    let Some(Peace {
        retry_after_seconds,
    }) = error.wants_peace()
    else {
        warn!(%source, %error, "price source gave no price");
        return Ok(());
    };
    let strikes = strikes.saturating_add(1);
    let seconds = backoff::cooldown_seconds(strikes, retry_after_seconds);
    db::leases::cool_down(&mut *oracle.database.get().await?, source, strikes, seconds).await?;
    warn!(
        %source,
        %error,
        strikes,
        cooldown_seconds = seconds,
        retries_used_up = strikes > backoff::RETRIES_MAX,
        "price source cools down"
    );
    Ok(())
}

/// Postgres first, then Redis, then whoever listens.
async fn keep(
    oracle: &Oracle,
    source: PriceSource,
    mut quote: Quote,
    now: Timestamp,
) -> DbResult<Sampled> {
    // A provider whose clock runs ahead must not date a sample after the wagers of agents who have
    // already seen it: no sample is of a time later than the question.
    quote.provider_at = quote.provider_at.min(now);
    let mut conn = oracle.database.get().await?;
    let recorded = db::prices::record(&mut conn, source, quote.price, quote.provider_at).await?;
    drop(conn);
    let fresh = FreshPrice {
        price: quote.price,
        source,
        provider_at: quote.provider_at,
        sampled_at: recorded.map_or(now, |row| row.sampled_at),
    };
    publish(oracle, &fresh, oracle.price_ttl()).await;
    if recorded.is_none() {
        debug!(%source, "price source repeats itself");
        return Ok(Sampled::Repeated { source, quote });
    }
    oracle.bus.wake_soon();
    info!(%source, price = %quote.price, provider_at = %quote.provider_at, "sampled the price");
    Ok(Sampled::Recorded { source, quote })
}

/// Gives a Redis that lost the price what is left of it, rather than halt the arena until the next
/// sample.
async fn restore(oracle: &Oracle, newest: Option<&PriceRow>, now: Timestamp) {
    let Some(row) = newest else { return };
    let age = Duration::from_micros(
        u64::try_from(now.micros().saturating_sub(row.sampled_at.micros())).unwrap_or(0),
    );
    let Some(left) = oracle
        .price_ttl()
        .checked_sub(age)
        .filter(|left| !left.is_zero())
    else {
        return;
    };
    match oracle.bus.price().await {
        Ok(Some(_)) => return,
        Ok(None) => info!("Redis has no price though Postgres has a fresh one; putting it back"),
        Err(error) => {
            warn!(%error, "could not see whether Redis has the price; putting it there");
        }
    }
    let fresh = FreshPrice {
        price: row.sample.price,
        source: row.sample.source,
        provider_at: row.sample.provider_at,
        sampled_at: row.sampled_at,
    };
    publish(oracle, &fresh, left).await;
}

async fn publish(oracle: &Oracle, fresh: &FreshPrice, ttl: Duration) {
    if let Err(error) = oracle.bus.put_price(fresh, ttl).await {
        warn!(%error, "the price did not reach Redis: no tickets until then; settlement goes on");
    }
}
