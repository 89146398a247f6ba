//! Shared by all processes of the arena: configuration, logs, shutdown, cadence, health, metrics, traces and exit
//! codes.
//!
//! It depends on no other crate of the workspace, and has nothing about bots, money or SQL. Only this crate reads
//! the process environment; all others get parsed values. No secret passes from here into a log line or an error.

pub mod cadence;
pub mod command_line;
pub mod config;
mod failure;
pub mod health;
pub mod hosts;
pub mod log_file;
pub mod metrics;
pub mod process;
pub mod shutdown;
pub mod telemetry;
pub mod traces;

/// An error of any origin. `anyhow::Error` converts into it, so binaries need no adapter.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
