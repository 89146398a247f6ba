//! The bot runner against a stub arena, stub models and a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arena;
mod bots;
mod budget;
mod config;
mod decision;
mod lookup;
mod markets;
mod portfolio;
mod prices;
mod prompt;
mod research;
mod runner;
mod service;
#[path = "../../../arena-client/tests/it/stub.rs"]
#[allow(dead_code, unused_imports)]
mod stub;
mod turn;
