//! Whole cycles against a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cycle;
mod service;
