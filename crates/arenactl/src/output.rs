//! The output for the operator: text for people, or one JSON object for machines, on stdout.
//!
//! The only module that writes to stdout. Prompts and failures go to stderr, so that stdout can be
//! piped.

use std::fmt::{self, Display, Write as _};
use std::io::{self, BufWriter, ErrorKind, Write as _};

use anyhow::Context as _;
use daemon::process::Failure;
use serde::Serialize;
use serde_json::json;

use crate::Stopped;

/// Results that can be bad although the command worked.
pub(crate) trait Judged {
    fn verdict(self) -> Result<(), Failure>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    /// Prints a command's result.
    pub(crate) fn show<R: Serialize + Display>(self, report: &R) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = match self {
            Format::Text => writeln!(out, "{report}"),
            Format::Json => serde_json::to_writer(&mut out, report)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out)),
        };
        match written.and_then(|()| out.flush()) {
            // The reader has closed the pipe, as in `arenactl … | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other.context("cannot write to standard output")?),
        }
    }

    /// Prints a command's findings, which may be bad.
    pub(crate) fn judge<R: Serialize + Display + Judged>(self, report: R) -> Result<(), Stopped> {
        self.show(&report)?;
        report.verdict().map_err(Stopped::ByReport)
    }

    /// Prints why a command could not do its work, for machines; people read it on stderr.
    pub(crate) fn show_failure(self, failure: &Failure) {
        if self == Format::Json {
            let object = json!({ "error": failure.to_string(), "exit_code": failure.exit_code() });
            // If stdout is closed, the exit code still reports the result.
            let _ = writeln!(io::stdout().lock(), "{object}");
        }
    }
}

/// Standard output for a command whose result is data and not a report.
pub(crate) fn data() -> BufWriter<io::Stdout> {
    BufWriter::with_capacity(1 << 16, io::stdout())
}

/// Text from the database or a file, fit for a terminal: control characters are shown as escapes
/// and do nothing.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

/// `1 bot`, `2 bots`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
