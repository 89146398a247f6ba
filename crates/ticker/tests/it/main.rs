//! Whole ticks against a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod service;
mod tick;
