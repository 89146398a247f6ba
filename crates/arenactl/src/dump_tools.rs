//! `pg_dump` and `pg_restore`: found, given the connection without a password on their command line, and run to
//! their end.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, anyhow, bail};
use daemon::config::Sources;
use secrecy::{ExposeSecret as _, SecretString};
use supervisor::private::{on_path, versions};
use tokio::process::Command;
use url::Url;

/// The program of the newest Postgres that is installed and at least as new as the server: one that
/// is older refuses to read it.
pub(crate) fn find(sources: &Sources, name: &str, server_major: i64) -> anyhow::Result<PathBuf> {
    let fitting = versions().filter(|(major, _)| *major >= server_major);
    let programs = fitting.map(|(major, dir)| (major, dir.join(name)));
    let oldest = programs.filter(|(_, program)| program.is_file()).min();
    // On other systems than Debian it is in PATH, and itself reports if it is too old.
    let elsewhere = || on_path(sources, name);
    oldest.map(|(_, program)| program).or_else(elsewhere).ok_or_else(|| {
        anyhow!(
            "{name} of PostgreSQL {server_major} or newer is missing: install \
             postgresql-client-{server_major}"
        )
    })
}

/// A command that finds its Postgres in its environment, which only its own user can read.
pub(crate) fn command(program: &Path, url: &SecretString) -> anyhow::Result<Command> {
    let url = Url::parse(url.expose_secret()).map_err(|_| anyhow!("the URL cannot be read"))?;
    let text = |part: &str| {
        percent_decoded(part)
            .ok_or_else(|| anyhow!("the URL has a percent sign that encodes nothing"))
    };
    let mut command = Command::new(program);
    // Variables exported for psql may be for another server.
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGHOST", url.host_str().unwrap_or("127.0.0.1"))
        .env("PGPORT", url.port().unwrap_or(5432).to_string())
        .env("PGUSER", text(url.username())?)
        .env("PGPASSWORD", text(url.password().unwrap_or_default())?)
        .env("PGDATABASE", text(url.path().trim_start_matches('/'))?)
        .env("PGAPPNAME", "arenactl")
        .env("PGCONNECT_TIMEOUT", "5")
        .envs(tls_of(&url))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// The URL's parameters of encryption, as libpq's variables.
fn tls_of(url: &Url) -> impl Iterator<Item = (&'static str, String)> {
    [("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT")].into_iter().filter_map(
        |(parameter, variable)| {
            let mut pairs = url.query_pairs();
            let (_, value) = pairs.find(|(name, _)| name == parameter)?;
            Some((variable, value.into_owned()))
        },
    )
}

/// Runs it; its stderr is the error. The caller sets its stdin.
pub(crate) async fn run(mut command: Command, what: &str) -> anyhow::Result<()> {
    // Not `output`, which would take the caller's standard output away.
    let run = async { command.spawn()?.wait_with_output().await };
    let output = run.await.with_context(|| format!("{what} cannot be run"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    bail!("{what} failed: {}", last.join(" / "))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn encryption_is_as_the_url_says() {
        let url = |query| Url::parse(&format!("postgres://u:p@h/d{query}")).unwrap();
        let told = |query| tls_of(&url(query)).collect::<Vec<_>>();
        assert_eq!(
            told("?sslrootcert=/my%20ca.pem&sslmode=verify-full"),
            [("PGSSLMODE", "verify-full".to_owned()), ("PGSSLROOTCERT", "/my ca.pem".to_owned())]
        );
        assert_eq!(told(""), []);
    }

    #[test]
    fn odd_passwords_come_through() {
        assert_eq!(percent_decoded("a%40b%21%20%24%25").unwrap(), "a@b! $%");
        assert_eq!(percent_decoded("plain").unwrap(), "plain");
        assert_eq!(percent_decoded("50%"), None);
        assert_eq!(percent_decoded("%zz"), None);
    }
}
