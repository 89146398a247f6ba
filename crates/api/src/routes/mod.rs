//! Every endpoint there is, one file for each noun. Each file declares its endpoints beside their
//! handlers.

pub(crate) mod arena;
mod audit;
mod auth;
mod bets;
mod bots;
mod common;
mod docs;
mod economy;
mod health;
mod insights;
mod keys;
mod ledger;
mod markets;
mod metrics;
mod pauses;
mod posts;
mod predictions;
mod prelude;
mod prices;
mod problems;
mod standings;
mod ticks;
mod usage;
mod web;

use crate::endpoint::Endpoint;
use crate::streams;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    [
        arena::endpoints,
        audit::endpoints,
        auth::endpoints,
        bets::endpoints,
        bots::endpoints,
        docs::endpoints,
        economy::endpoints,
        health::endpoints,
        insights::endpoints,
        keys::endpoints,
        ledger::endpoints,
        markets::endpoints,
        metrics::endpoints,
        pauses::endpoints,
        posts::endpoints,
        predictions::endpoints,
        prices::endpoints,
        problems::endpoints,
        standings::endpoints,
        streams::endpoints,
        ticks::endpoints,
        usage::endpoints,
        web::endpoints,
    ]
    .into_iter()
    .flat_map(|endpoints| endpoints())
    .map(Endpoint::told_dry)
    .collect()
}
