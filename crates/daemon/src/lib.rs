//! What each process of the arena needs before it can do its own work: configuration, logs,
//! shutdown, cadence, health, metrics, traces and the way it ends.
//!
//! It knows no other crate of the workspace, and nothing of bots, money or SQL. It is the one
//! place that reads the process environment; everybody else is handed parsed values. No secret
//! passes from here into a log line or an error.

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
