#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cadence;
mod config;
mod env_file;
mod health;
mod process;
mod shutdown;
mod telemetry;
