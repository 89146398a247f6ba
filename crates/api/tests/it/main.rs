#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    unreachable_pub
)]

mod answers;
mod arena;
mod auth;
mod bad_input;
mod bots;
mod bounds;
mod browsers;
mod credentials;
mod docs;
mod drain;
mod dry_run;
mod economy;
mod health;
mod history;
mod http;
mod insights;
mod ledger;
mod lifecycle;
mod limits;
mod lists;
mod logins;
mod markets;
mod metrics;
mod operators;
mod page_tables;
mod pauses;
mod problems;
mod queries;
mod readiness;
mod request_log;
mod retries;
mod rights;
mod service;
mod standings;
mod state;
mod streams;
mod tls;
mod usage;
mod wagers;
mod way;
mod web;
