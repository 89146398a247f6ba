#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    unreachable_pub
)]

mod arena;
mod auth;
mod bots;
mod docs;
mod economy;
mod health;
mod insights;
mod ledger;
mod lifecycle;
mod lists;
mod markets;
mod operators;
mod problems;
mod service;
mod standings;
mod usage;
mod wagers;
