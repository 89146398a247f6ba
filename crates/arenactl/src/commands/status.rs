//! `arenactl status`: how the arena stands, by Postgres and the services' logs alone, so that it answers
//! when no service does.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use daemon::config::Sources;
use daemon::process::Failure;
use db::supply::Census;
use ledger_core::money::Price;
use ledger_core::prediction::PriceSource;
use ledger_core::{Pause, TickNumber, Timestamp};
use serde::{Deserialize, Serialize};

use super::services_database;
use crate::output::{Judged, Plain};

/// The period for which errors are counted.
const ERROR_SECONDS: i64 = 60;
/// The length of a log's end that is read.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// The length of an error's message that is shown.
const MESSAGE_CHARS: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the services' logs [default: logs in ARENA_DATA_DIR, else in .data]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Show the processes that `up` started
    #[arg(long)]
    services: bool,
    /// Show processes and arena again each second, until q or Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,
}

impl Args {
    pub(crate) fn is_about_services(&self) -> bool {
        self.services || self.watch
    }
}

#[derive(Serialize)]
pub(crate) struct Report {
    /// `null` if Postgres does not answer.
    arena: Option<Arena>,
    trouble: Option<String>,
    /// `null` where the logs cannot be read.
    errors: Option<Vec<Errors>>,
    #[serde(skip)]
    logs: PathBuf,
    #[serde(skip)]
    failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Arena {
    tick: Option<Tick>,
    price: Option<LastPrice>,
    alive: i64,
    dead: i64,
    paused: Option<Pause>,
}

#[derive(Debug, Serialize)]
struct Tick {
    number: TickNumber,
    age_seconds: i64,
}

#[derive(Debug, Serialize)]
struct LastPrice {
    value: Price,
    source: PriceSource,
    /// By the source's own time.
    age_seconds: i64,
}

/// The last minute of one service's log.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Errors {
    service: String,
    count: usize,
    last: String,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let now = service::clock::now();
    let (arena, failure) = match arena(sources, now).await {
        Ok(arena) => (Some(arena), None),
        Err(failure) => (None, Some(failure)),
    };
    let logs = match &args.logs {
        Some(logs) => logs.clone(),
        None => supervisor::Place::new(sources)?.logs(),
    };
    Ok(Report {
        arena,
        trouble: failure.as_ref().map(ToString::to_string),
        errors: errors(&logs, now).ok(),
        logs,
        failure,
    })
}

async fn arena(sources: &Sources, now: Timestamp) -> Result<Arena, Failure> {
    let postgres = services_database(sources).await?;
    let mut conn = postgres.connection().await?;
    let failed = |error| postgres.failure(error, "cannot read the arena's state");
    let tick = db::ticks::latest_begun(&mut conn).await.map_err(failed)?;
    let price = db::prices::newest(&mut conn).await.map_err(failed)?;
    let Census { alive, dead, .. } = db::supply::census(&mut conn).await.map_err(failed)?;
    let paused = db::pauses::arena(&mut conn).await.map_err(failed)?;
    let age = |since: Timestamp| now.seconds_since(since).max(0);
    Ok(Arena {
        tick: tick.map(|(number, since)| Tick { number, age_seconds: age(since) }),
        price: price.map(|row| LastPrice {
            value: row.price,
            source: row.source,
            age_seconds: age(row.provider_at),
        }),
        alive,
        dead,
        paused,
    })
}

/// The errors of each log in the directory. Fails if it cannot be read: then the number is unknown.
fn errors(logs: &Path, now: Timestamp) -> io::Result<Vec<Errors>> {
    let mut logs = fs::read_dir(logs)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    Ok(logs.iter().filter_map(|log| errors_of(log, now)).collect())
}

fn errors_of(log: &Path, now: Timestamp) -> Option<Errors> {
    #[derive(Deserialize)]
    struct Line {
        timestamp: Timestamp,
        level: String,
        #[serde(default)]
        message: String,
    }
    let (mut count, mut last) = (0, String::new());
    // It may have been rotated within the minute.
    for path in [log.with_added_extension("1").as_path(), log] {
        let text = supervisor::end_of(path, 0, LOG_BYTES_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let suspects = text.lines().filter(|line| line.contains("ERROR"));
        for line in suspects.filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            if line.level == "ERROR" && now.seconds_since(line.timestamp) <= ERROR_SECONDS {
                count += 1;
                last = line.message.chars().take(MESSAGE_CHARS).collect();
            }
        }
    }
    (count > 0).then(|| Errors {
        service: log.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        count,
        last,
    })
}

impl Judged for Report {
    fn verdict(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl fmt::Display for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tick {
            Some(tick) => writeln!(f, "tick    {}, begun {} s ago", tick.number, tick.age_seconds)?,
            None => writeln!(f, "tick    none yet")?,
        }
        match &self.price {
            Some(price) => writeln!(
                f,
                "price   {} by {}, {} s old",
                price.value, price.source, price.age_seconds
            )?,
            None => writeln!(f, "price   none yet")?,
        }
        write!(f, "bots    {} alive, {} dead", self.alive, self.dead)?;
        if let Some(pause) = &self.paused {
            write!(f, "\npaused  since {}: {}", pause.since, Plain(&pause.reason))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.arena {
            Some(arena) => write!(f, "{arena}")?,
            None => write!(
                f,
                "arena   not known: Postgres does not answer. Is it running, and does DATABASE_URL lead to \
                 it?"
            )?,
        }
        let Some(errors) = &self.errors else {
            let logs = self.logs.display().to_string();
            return write!(
                f,
                "\nerrors  not known: {} cannot be read; --logs names another directory",
                Plain(&logs)
            );
        };
        if errors.is_empty() {
            write!(f, "\nerrors  none in the last minute")?;
        }
        for Errors { service, count, last } in errors {
            let (service, last) = (Plain(service), Plain(last));
            write!(f, "\nerrors  {service}: {count} in the last minute, the last: {last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn errors_of_the_last_minute_are_counted_over_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let line = |time: &str, level: &str, message: &str| {
            format!(
                "{{\"timestamp\":\"2026-11-29T{time}Z\",\"level\":\"{level}\",\"message\":\"{message}\"}}\n"
            )
        };
        write(
            "api.log.1",
            &(line("10:00:00.1", "ERROR", "long ago") + &line("10:09:30.1", "ERROR", "first")),
        );
        write(
            "api.log",
            &(line("10:09:58.1", "ERROR", "second\\u001b[2J")
                + &line("10:09:59.1", "INFO", "no ERROR")
                + "ERROR, and no JSON\n"),
        );
        write("ticker.log", &line("10:09:59.1", "WARN", "a warning"));
        write("notes.txt", &line("10:09:59.1", "ERROR", "no log"));
        let now: Timestamp = "2026-11-29T10:10:00Z".parse().unwrap();
        let found = errors(dir.path(), now).unwrap();
        let expected =
            Errors { service: "api".to_owned(), count: 2, last: "second\u{1b}[2J".to_owned() };
        assert_eq!(found, [expected]);
        let report = Report {
            arena: None,
            trouble: None,
            errors: Some(found),
            logs: dir.path().to_owned(),
            failure: None,
        };
        assert!(!report.to_string().contains('\u{1b}'));
        assert!(errors(&dir.path().join("nowhere"), now).is_err());
    }
}
