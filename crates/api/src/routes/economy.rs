//! The figures in force, and where the money is.

use std::time::Duration;

use actix_web::web::Bytes;
use api_types::{BotCount, Economy, IdleLife, KeptRules, Parameters, PriceNow};
use cache::CacheError;
use cache::prices::FreshPrice;
use db::supply::Census;
use ledger_core::market::MarketSource;
use ledger_core::{Hash, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::prelude::*;
use crate::answers::{self, Question};
use crate::app::CountedAt;
use crate::clock;
use crate::routes::common::ok;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/economy", show)
            .named("showEconomy", "arena", "Figures in force, tick, money supply, price")
            .answers::<Economy>(200, "The economy."),
        get("/economy/rules/{digest}", rules)
            .named("showRules", "arena", "A set of figures that was in force, by its digest")
            .about("Positions name the rules that settle them by it. The SHA-256 of `rules` is the digest.")
            .with(&["digest"])
            .answers::<KeptRules>(200, "The figures, one a line."),
    ]
}

/// How old a census may be: counting looks at every wallet.
const CENSUS_SECONDS: u64 = 10;

async fn show(app: Data<App>) -> ApiResult {
    let read = look(Data::clone(&app));
    app.answers.get(Some(Question::Economy), read).await
}

async fn look(app: Data<App>) -> ApiResult<Bytes> {
    let (counted, price) = tokio::join!(census(&app), price(&app));
    let (census, as_of) = counted?;
    let (tick, paused) = {
        let mut conn = app.database.get().await?;
        let tick = db::ticks::latest(&mut conn).await?;
        (tick, db::pauses::arena(&mut conn).await?)
    };
    answers::render(&Economy {
        mode: app.rules.enforcement,
        tick,
        tick_rate_seconds: app.rules.tick_rate_seconds.unsigned_abs(),
        bots: BotCount { alive: census.alive, dead: census.dead },
        supply: census.supply.text(),
        price: price?.map(price_now),
        paused,
        parameters: Parameters::from(&app.rules),
        idle_life: IdleLife::from(&app.rules),
        sources: MarketSource::ALL.iter().copied().map(Into::into).collect(),
        rules: app.rules.digest().to_string(),
        as_of,
    })
}

/// A set of figures that was in force.
async fn rules(digest: Path<String>, app: Data<App>) -> ApiResult {
    let unknown = || ApiError::not_found("such set of rules");
    let digest = Hash::from_hex(&digest).ok_or_else(unknown)?;
    let mut conn = app.database.get().await?;
    let kept = db::rules::find(&mut conn, digest).await?.ok_or_else(unknown)?;
    ok(&KeptRules {
        digest: digest.to_string(),
        rules: kept.text,
        first_used_at: kept.first_used_at,
    })
}

/// The fresh price, if there is one. Without Redis there is none, but the rest of the answer is useful.
async fn price(app: &App) -> Result<Option<FreshPrice>, ApiError> {
    if app.limiter.is_alone() {
        return Ok(None);
    }
    match app.fresh_price().await {
        Err(error @ CacheError::Corrupt(_)) => Err(error.into()),
        Err(error) => {
            warn!(%error, "the economy is shown without a price");
            Ok(None)
        }
        Ok(price) => Ok(price),
    }
}

/// The last census, or a new one. Concurrent callers wait for the same one.
async fn census(app: &App) -> Result<(Census, Timestamp), ApiError> {
    let mut kept = app.census.lock().await;
    if let Some(known) = &*kept
        && known.counted.elapsed() < Duration::from_secs(CENSUS_SECONDS)
    {
        return Ok((known.census, known.as_of));
    }
    let mut conn = app.database.get().await?;
    let census = db::supply::census(&mut conn).await?;
    let as_of = clock::now();
    *kept = Some(CountedAt { census, counted: Instant::now(), as_of });
    Ok((census, as_of))
}

fn price_now(fresh: FreshPrice) -> PriceNow {
    PriceNow {
        value: fresh.price.money(),
        source: fresh.source,
        at: fresh.provider_at,
        age_seconds: clock::now().seconds_since(fresh.provider_at).max(0),
    }
}
