//! The addresses of the stack's parts.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use daemon::process::Refusal;

use crate::address::{ServerUrl, authority, connectable};
use crate::first_settings::{POSTGRES_PORT, REDIS_PORT};
use crate::part::Part;
use crate::place::Place;
use crate::say::say;
use crate::settings::{DATABASE_OWNER_URL, DATABASE_URL, REDIS_URL, Settings};
use crate::{Told, cannot, files, ports};

/// Where a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) part: Part,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A server that we start.
    pub(crate) is_private: bool,
}

impl Seat {
    pub(crate) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// Whether we start it.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_private || self.part.is_service()
    }
}

/// The whole stack, in the order of its start.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) seats: Vec<Seat>,
    /// The `.env` that it reads.
    pub(crate) env_file: PathBuf,
    /// Whether its environment gave it its `DATABASE_URL`.
    pub(crate) has_given_database: bool,
}

impl Stack {
    /// By the settings.
    pub(crate) fn of(place: &Place, settings: &Settings) -> Told<Stack> {
        let marked = settings.marked();
        let is_marked = |name: &str| marked.iter().any(|known| known == name);
        // A server named in the environment is never private.
        let is_private =
            |name: &str, url: &str| is_marked(name) && !settings.is_from_environment(url);
        let url = |name: &str, port| {
            let text = settings.get(name).unwrap_or_default();
            ServerUrl::parse(name, &text, port)
        };
        let mut postgres = url(DATABASE_URL, 5432)?;
        let is_private_postgres = is_private("postgres", DATABASE_URL);
        let given_alone = settings.is_from_environment(DATABASE_URL)
            && !settings.is_from_environment(DATABASE_OWNER_URL)
            && is_marked("postgres");
        if given_alone || settings.get(DATABASE_OWNER_URL).is_none() {
            return Err(Refusal::config(
                "DATABASE_URL is given but DATABASE_OWNER_URL is not. Set it to the URL of the role that owns \
                 the database's schema (arena_owner), with which arenactl migrates.",
            ));
        }
        let owner = url(DATABASE_OWNER_URL, 5432)?;
        // Services that go through a pooler have its port; Postgres itself is where its owner finds it.
        if is_private_postgres && postgres.is_pooled {
            postgres = owner;
        }
        let redis = url(REDIS_URL, 6379)?;
        let is_private_redis = is_private("redis", REDIS_URL);
        if redis.scheme != "redis" && (redis.scheme != "rediss" || is_private_redis) {
            return Err(Refusal::config(format!(
                "REDIS_URL must begin with redis://, or with rediss:// for a Redis of your own with TLS; the \
                 services do not speak {}:// there.",
                redis.scheme
            )));
        }
        let server =
            |part, ServerUrl { host, port, .. }, is_private| Seat { part, host, port, is_private };
        let mut seats = vec![
            server(Part::Postgres, postgres, is_private_postgres),
            server(Part::Redis, redis, is_private_redis),
        ];
        for part in Part::SERVICES {
            let host = if part == Part::Api { "API_HOST" } else { "HEALTH_HOST" };
            let host = settings.get(host).unwrap_or_else(|| "127.0.0.1".to_owned());
            seats.push(Seat {
                part,
                host: connectable(&host),
                port: settings.port_of(part)?,
                is_private: false,
            });
        }
        Ok(Stack {
            seats,
            env_file: place.env_file.clone(),
            has_given_database: settings.is_from_environment(DATABASE_URL),
        })
    }

    pub(crate) fn seat(&self, part: Part) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.part == part)
    }

    pub(crate) fn is_private(&self, part: Part) -> bool {
        self.seat(part).is_some_and(|seat| seat.is_private)
    }

    fn ports(&self) -> Vec<u16> {
        self.seats.iter().map(|seat| seat.port).collect()
    }

    /// Stores the running parts and their addresses, for later commands with other settings.
    pub(crate) fn remember(&self, place: &Place) -> Told<()> {
        let mut text = String::new();
        for seat in &self.seats {
            let (name, host, port) = (seat.part.name(), &seat.host, seat.port);
            let mark = if seat.is_private { "1" } else { "" };
            let _ = writeln!(text, "{name} {host} {port} {mark}");
        }
        let _ = writeln!(text, "env {}", self.env_file.display());
        let given = if self.has_given_database { DATABASE_URL } else { "" };
        let _ = writeln!(text, "environment {given}");
        let path = place.run().join("stack");
        files::write(&path, 0o600, &text).map_err(|error| cannot("write", &path, &error))
    }

    /// The state stored by [`Stack::remember`]; `None` unless a part of it runs.
    pub(crate) fn recall(place: &Place) -> Option<Stack> {
        let runs = place.supervisor().read().is_some()
            || Part::ALL.iter().any(|part| place.pid(*part).is_some());
        let text = fs::read_to_string(place.run().join("stack")).ok()?;
        runs.then(|| Stack::from_text(place, &text)).flatten()
    }

    fn from_text(place: &Place, text: &str) -> Option<Stack> {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(known, _)| *known == name).map(|(_, rest)| rest)
        };
        let seats: Option<Vec<Seat>> = Part::ALL
            .into_iter()
            .map(|part| {
                let mut fields = value(part.name())?.split(' ');
                Some(Seat {
                    part,
                    host: fields.next()?.to_owned(),
                    port: fields.next()?.parse().ok()?,
                    is_private: fields.next() == Some("1"),
                })
            })
            .collect();
        Some(Stack {
            seats: seats?,
            env_file: value("env").map_or_else(|| place.env_file.clone(), PathBuf::from),
            has_given_database: value("environment").is_some_and(|given| !given.is_empty()),
        })
    }
}

/// Refuses where a port that we need is taken. A private server whose port is taken by another process gets the
/// next free one, which is written to `.env`.
pub(crate) fn settle_ports(place: &Place) -> Told<(Settings, Stack)> {
    let mut settings = Settings::load(place)?;
    let mut stack = Stack::of(place, &settings)?;
    for part in [Part::Postgres, Part::Redis] {
        let Some(seat) = stack.seat(part).filter(|seat| seat.is_private) else {
            continue;
        };
        if seat.host != "127.0.0.1" {
            return Err(Refusal::config(format!(
                "{} is marked private (ARENA_PRIVATE_SERVICES in {}) but its URL names another host. Remove \
                 the mark to use that one.",
                part.name(),
                place.env_file.display()
            )));
        }
        if move_away(place, &settings, &stack, seat)? {
            settings = Settings::load(place)?;
            stack = Stack::of(place, &settings)?;
        }
    }
    let ours: Vec<&Seat> = stack.seats.iter().filter(|seat| seat.is_ours()).collect();
    for (index, seat) in ours.iter().enumerate() {
        let (name, port, words) = (seat.part.name(), seat.port, seat.part.port_words());
        if let Some(other) = ours[..index].iter().find(|other| other.port == port) {
            let other = other.part.name();
            return Err(Refusal::config(format!(
                "{name} and {other} both want port {port}. Change {words}."
            )));
        }
        if let Some(holder) = ports::holder(port) {
            let free = ports::next_after(port, &stack.ports())?;
            return Err(Refusal::unavailable(format!(
                "port {port}, wanted by {name}, is taken by {holder}. Stop that, or change {words} ({free} is \
                 free)."
            )));
        }
    }
    Ok((settings, stack))
}

/// Whether a private server was given another port. Not if this port was requested, and not if the process there
/// serves our own files: two servers would destroy them.
fn move_away(place: &Place, settings: &Settings, stack: &Stack, seat: &Seat) -> Told<bool> {
    let (name, old) = (seat.part.name(), seat.port);
    let Some(holder) = ports::holder(old) else {
        return Ok(false);
    };
    let (asked, urls): (_, &[&str]) = match seat.part {
        Part::Postgres => (POSTGRES_PORT, &[DATABASE_URL, DATABASE_OWNER_URL]),
        _ => (REDIS_PORT, &[REDIS_URL]),
    };
    if settings.get(asked) == Some(old.to_string()) {
        return Ok(false);
    }
    if let Some((_, pid)) = &holder.process
        && let Ok(serves) = fs::read_link(format!("/proc/{pid}/cwd"))
        && let Ok(own) = place.data.join(name).canonicalize()
        && serves.starts_with(own)
    {
        return Err(Refusal::unavailable(format!(
            "{holder} already serves {}, but has no pid file {}. Stop it first: kill {pid}",
            serves.display(),
            place.run().join(format!("{name}.pid")).display()
        )));
    }
    let new = ports::next_after(old, &stack.ports())?;
    let path = &place.env_file;
    let refused = |error| cannot("write", path, &error);
    let text = fs::read_to_string(path).map_err(refused)?;
    let moved = with_port(&text, urls, old, new);
    if moved == text {
        return Ok(false);
    }
    files::rewrite(path, &moved).map_err(refused)?;
    say(&format!(
        "port {old} is taken by {holder}: the private {name} moves to {new}, as {} now says",
        path.display()
    ));
    Ok(true)
}

/// The text of a `.env` with another port on the lines of these URLs.
fn with_port(text: &str, urls: &[&str], old: u16, new: u16) -> String {
    let before = format!("@127.0.0.1:{old}");
    let moved = |line: &str| {
        let pairs = daemon::config::env_file::parse(line);
        let is_url = pairs.iter().any(|(name, _)| urls.contains(&name.as_str()));
        let (head, tail) = line.split_once(&before).filter(|_| is_url)?;
        (!tail.starts_with(|next: char| next.is_ascii_digit()))
            .then(|| format!("{head}@127.0.0.1:{new}{tail}"))
    };
    text.split_inclusive('\n').map(|line| moved(line).unwrap_or_else(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_moves_on_its_own_lines_alone() {
        let text = "# postgres://a:b@127.0.0.1:5433/arena\n\
                    export DATABASE_URL='postgres://a:b@127.0.0.1:5433/arena'\r\n\
                    OTHER=postgres://a:b@127.0.0.1:5433/arena\n\
                    DATABASE_OWNER_URL=postgres://o:p@127.0.0.1:54330/arena\n\
                    DATABASE_OWNER_URL=postgres://o:p@127.0.0.1:5433";
        let expected = "# postgres://a:b@127.0.0.1:5433/arena\n\
                        export DATABASE_URL='postgres://a:b@127.0.0.1:7/arena'\r\n\
                        OTHER=postgres://a:b@127.0.0.1:5433/arena\n\
                        DATABASE_OWNER_URL=postgres://o:p@127.0.0.1:54330/arena\n\
                        DATABASE_OWNER_URL=postgres://o:p@127.0.0.1:7";
        let urls = [DATABASE_URL, DATABASE_OWNER_URL];
        assert_eq!(with_port(text, &urls, 5433, 7), expected);
    }
}
