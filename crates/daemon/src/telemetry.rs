//! Logs: readable on a terminal, JSON otherwise, always on stderr; and traces, if configured.
//!
//! A log line is a sentence and fields. Secrets are kept out by their types: they live in
//! `SecretString`, whose `Debug` shows nothing and which has no `Display`.

use std::io::IsTerminal as _;
use std::sync::Mutex;

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::cadence::panic_text;
use crate::config::Sources;
pub use crate::failure::chain;
use crate::log_file::LogFile;
use crate::traces;

/// The HTTP server logs an error if a client sends invalid data or disconnects: any client could fill the log
/// with them. We log internal failures ourselves. We also log failures of sending traces ourselves, with the
/// reason and not for each batch.
const SERVICE_FILTER: &str =
    "info,actix_http::h1::dispatcher=off,opentelemetry_sdk=off,opentelemetry-otlp=off";

/// Starts logging for the service; `RUST_LOG`, from the environment or `.env`, chooses the level (default `info`,
/// without the HTTP server's errors about clients). Panics are logged too. A second call changes nothing.
pub fn init(service: &str) {
    init_with(service, SERVICE_FILTER);
}

/// Like [`init`], with another default: a command for people is quiet unless something is wrong.
pub fn init_with(service: &str, default_filter: &str) {
    let sources = Sources::load();
    let wanted = sources.given("RUST_LOG");
    let parsed = wanted.as_deref().map(EnvFilter::try_new);
    let is_malformed = matches!(parsed, Some(Err(_)));
    let filter = match parsed {
        Some(Ok(filter)) => filter,
        _ => EnvFilter::new(default_filter),
    };
    // A failure to write cannot be reported: the message would fail too.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(writer(&sources)).log_internal_errors(false);
    let lines = if std::io::stderr().is_terminal() {
        lines.boxed()
    } else {
        let lines = lines.json().flatten_event(true).with_current_span(true);
        lines.with_span_list(false).boxed()
    };
    let (spans, trouble) = match traces::layer(service, &sources) {
        Ok(spans) => (spans, None),
        Err(trouble) => (None, Some(trouble)),
    };
    let installed =
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
    if installed.is_err() {
        return;
    }
    if let Some(trouble) = trouble {
        tracing::warn!(trouble, "no traces are sent");
    }
    log_panics();
    if is_malformed {
        tracing::warn!(default = default_filter, "RUST_LOG cannot be read; using the default");
    }
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "starting");
}

/// Standard error, which rotates if it is a log file.
fn writer(sources: &Sources) -> BoxMakeWriter {
    match LogFile::of_standard_error(sources) {
        Some(log) => BoxMakeWriter::new(Mutex::new(log)),
        None => BoxMakeWriter::new(std::io::stderr),
    }
}

/// Panics go the way of all other lines, so that a log in JSON stays one.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, message_text = panic_text(panic.payload()), "panicked");
    }));
}
