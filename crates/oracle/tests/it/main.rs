//! The oracle against a real Postgres, a real Redis and a CoinGecko on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod coingecko;
mod config;
mod kraken;
mod leadership;
mod markets;
mod process;
mod reaper;
mod sampling;
mod service;
mod settlement;
mod support;
