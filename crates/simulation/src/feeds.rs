//! The sources of a simulation: those of the services, over a transport that uses the [`World`] and no network.

use std::sync::Arc;

use async_trait::async_trait;
use db::prices::Span;
use ledger_core::market::MarketSource;
use ledger_core::prediction::PriceSource;
use ledger_core::{EconomyRules, Timestamp};
use oracle::sources::{FeedError, History, PriceFeed, Quote};
use sources::played::{Asked, Played};
use sources::{Feed, Http};

use crate::world::{Condition, World};

/// The price of the coin.
pub struct PriceOf(pub Arc<World>);

#[async_trait]
impl PriceFeed for PriceOf {
    fn source(&self) -> PriceSource {
        PriceSource::Simulated
    }

    async fn quote(&self, now: Timestamp) -> Result<Quote, FeedError> {
        let price = self.0.price(now).ok_or(FeedError::MissingField("price"))?;
        Ok(Quote { price, provider_at: now })
    }

    async fn history(&self, span: Span, _now: Timestamp) -> Result<History, FeedError> {
        let minutes = std::iter::successors(Some(span.begins_at), |at| Some(at.plus_seconds(60)));
        let quote = |provider_at| {
            let price = self.0.price(provider_at)?;
            Some(Quote { price, provider_at })
        };
        let within = minutes.take_while(|at| *at < span.ends_at);
        Ok(History::whole(within.filter_map(quote).collect(), span))
    }
}

/// The feeds of all sources, as by default, with answers from `world`.
pub(crate) fn of(
    world: impl Fn(&Asked<'_>) -> Played + Send + Sync + 'static,
    rules: &EconomyRules,
) -> Vec<Arc<dyn Feed>> {
    let http = Http::played(Arc::new(move |url, now| {
        let query = url.query().unwrap_or_default();
        let path = url.path();
        world(&Asked { path, query, now })
    }));
    MarketSource::ALL
        .iter()
        .filter_map(|source| sources::of(*source).feed(&mut (), &http, &rules.markets))
        .collect()
}

/// The same with the bad days that sources have.
pub fn all(world: &Arc<World>, rules: &EconomyRules) -> Vec<Arc<dyn Feed>> {
    let world = Arc::clone(world);
    let answer = move |asked: &Asked<'_>| {
        let (source, truth) = world.played().answer(asked);
        match source.map(|source| world.doing(source, asked.now)) {
            Some(Condition::Fails) => Played::status(503),
            Some(Condition::SlowDown(seconds)) => Played {
                headers: vec![("retry-after", seconds.to_string())],
                ..Played::status(429)
            },
            Some(Condition::Answers) | None => truth,
        }
    };
    of(answer, rules)
}
