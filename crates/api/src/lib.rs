//! The arena's HTTP API: the one way for an agent to see, to act and to spend.
//!
//! A request enters through [`server`] (request ids, time limit, problems), is checked ([`shape`]),
//! counted ([`limits`]) under its client's [`address`], authenticated ([`auth`]) and checked
//! against the row of its endpoint ([`table`], [`endpoint`]). Then it reaches its handler in
//! [`routes`]: a function named for the verb, in a file named for the noun, beside that row.
//! Handlers parse at the door and let `db` do the rest in one transaction.
//!
//! This crate must never make a rule's decision, contain SQL, or show internal errors to clients.

mod address;
mod answers;
mod app;
mod auth;
mod body;
mod call;
pub mod config;
mod connections;
mod cursor;
mod dry_run;
mod endpoint;
mod error;
mod headers;
mod idempotency;
mod keys;
mod limits;
mod locks;
mod metrics;
mod openapi;
mod pricing;
mod readiness;
mod request_log;
mod routes;
mod secrets;
mod server;
mod shape;
mod standings;
mod streams;
mod table;
mod usage;
mod views;
mod wagers;

use std::process::ExitCode;

pub use address::{ForwardingHeader, Networks, Proxies};
pub use config::ApiConfig;
pub use connections::ConnectionLimits;
use daemon::command_line::{Build, Service};
use daemon::config::Sources;
use daemon::process::Failure;
use daemon::shutdown::Shutdown;
pub use headers::Origins;
pub use limits::ClientLimits;
pub use metrics::MetricsAccess;
pub use request_log::RequestLog;
pub use secrets::{SecretRing, SecretSettings};
pub use server::{ANSWER_MAX_BYTES, Running, start, start_with};
use service::clock;
pub use streams::StreamPatience;

/// The whole program: answers its command line, or serves until a signal.
///
/// It is not in `main.rs`, which contains the commit and is compiled again for each one.
pub fn main(build: Build) -> ExitCode {
    let service = Service {
        name: "api",
        about: "The arena's HTTP API.",
        build,
        needs: &["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ADMIN_TOKEN"],
        host: "API_HOST",
        port: ("API_PORT", 8000),
    };
    daemon::process::serve(&service, run())
}

/// Runs the service until a stop is requested.
///
/// # Errors
/// When the configuration cannot be used, a dependency cannot be reached, or the port is taken.
pub async fn run() -> Result<(), Failure> {
    let config = ApiConfig::read(&Sources::load())?;
    let shutdown = Shutdown::install()?;
    start(config, shutdown).await?.stopped().await?;
    Ok(())
}
