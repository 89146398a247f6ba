//! The bot runner against a stub arena, stub models and a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arena;
mod bots;
mod config;
mod decision;
mod persona;
mod prompt;
mod runner;
mod service;
#[path = "../../../arena-client/tests/it/stub.rs"]
#[allow(dead_code)]
mod stub;
mod turn;
