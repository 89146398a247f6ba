//! `arenactl restore MANIFEST`: a backup comes to life in an empty database, and is proven to be
//! what was backed up.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use db::backup;
use db::inspect::{self, Options};
use db::migrations::SchemaState;
use ledger_core::{Hash, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::backup::{FORMAT, Manifest, digest};
use crate::dump_tools;
use crate::files::directory_of;
use crate::output::counted;
use crate::postgres::{self, Postgres};

pub(crate) const RESTORE_DATABASE_URL: &str = "RESTORE_DATABASE_URL";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The manifest of a backup: arena-….json, with its dump beside it
    manifest: PathBuf,
}

/// An arena that goes on from a backup.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    as_of: Timestamp,
    /// Which it was, and which it is from now on.
    arena_before: Uuid,
    arena: Uuid,
    bots: u64,
    entries: u64,
    heads_digest: Hash,
    /// Migrations that this build has and the backup lacks.
    to_migrate: usize,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(RESTORE_DATABASE_URL, postgres::SCHEMES);
    let url = reader.finish_with(url)?;
    let manifest = read(&args.manifest)?;
    let dump = directory_of(&args.manifest).join(&manifest.dump);
    verify(&dump, &manifest)?;
    let postgres = Postgres::connect(RESTORE_DATABASE_URL, &url, 2).await?;
    let major = must_be_fit(&postgres, &manifest.services_roles).await?;
    let program = dump_tools::find("pg_restore", major.max(manifest.server_major))?;
    fill(&program, &url, &dump).await?;
    prove(&postgres, &url, &manifest).await
}

fn read(path: &Path) -> anyhow::Result<Manifest> {
    let what = || format!("{} is no manifest of a backup", path.display());
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Manifest = serde_json::from_str(&text).with_context(what)?;
    if manifest.format != FORMAT {
        return Err(anyhow!(
            "{} has the format {:?}, not {FORMAT:?}",
            path.display(),
            manifest.format
        ));
    }
    // A name, never a way out of the directory.
    if Path::new(&manifest.dump).file_name() != Some(manifest.dump.as_ref()) {
        return Err(anyhow!("its dump {:?} is no name of a file", manifest.dump))
            .with_context(what);
    }
    Ok(manifest)
}

/// Before anything is written anywhere.
fn verify(dump: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let (bytes, sha256) =
        digest(dump).with_context(|| format!("cannot read {}", dump.display()))?;
    if (bytes, sha256) == (manifest.bytes, manifest.sha256) {
        return Ok(());
    }
    Err(anyhow!(
        "{} is damaged: it has {bytes} bytes with SHA-256 {sha256}, and should have {} with {}. Take \
         another copy",
        dump.display(),
        manifest.bytes,
        manifest.sha256
    ))
}

async fn must_be_fit(postgres: &Postgres, services_roles: &[String]) -> Result<i64, Failure> {
    let mut conn = postgres.connection().await?;
    let failed = |error| postgres.failure(error, "cannot look at the database");
    if !backup::is_empty(&mut conn).await.map_err(failed)? {
        let what = postgres.what();
        return Err(anyhow!(
            "the database of {what} is not empty: RESTORE_DATABASE_URL must name a new one \
             (CREATE DATABASE … OWNER arena_owner). If a restore was interrupted there, drop that one: it \
             is not finished"
        )
        .into());
    }
    for role in services_roles {
        if !backup::has_role(&mut conn, role).await.map_err(failed)? {
            return Err(anyhow!(
                "the role {role} does not exist there: create it first, as a superuser \
                 (CREATE ROLE {role} LOGIN PASSWORD '…')"
            )
            .into());
        }
    }
    backup::server_major(&mut conn).await.map_err(failed)
}

/// All of it or nothing. What follows is not: a database that was filled and not finished is never to
/// be started on, so a repeated restore refuses it too.
async fn fill(program: &Path, url: &SecretString, dump: &Path) -> anyhow::Result<()> {
    let mut command = dump_tools::command(program, url)?;
    command
        .args([
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-password",
        ])
        .arg("--dbname=")
        .arg(dump);
    dump_tools::run(command, "pg_restore").await
}

/// A new identity, and the audit against what the manifest says.
async fn prove(
    postgres: &Postgres,
    url: &SecretString,
    manifest: &Manifest,
) -> Result<Report, Failure> {
    let failed = |error| postgres.failure(error, "cannot finish the restored database");
    backup::begin_anew(url.expose_secret())
        .await
        .map_err(failed)?;
    let state = postgres.database().schema_state().await.map_err(failed)?;
    let to_migrate = match state {
        SchemaState::Current => 0,
        SchemaState::Behind { missing } => missing,
        SchemaState::Ahead { unknown } => {
            let unknown = counted(unknown, "migration");
            return Err(anyhow!(
                "the backup has {unknown} that this build does not know: restore it with the build \
                 that made it, or a newer one"
            )
            .into());
        }
    };
    let audit = inspect::audit(postgres.database(), Options::default()).await;
    let audit = audit.map_err(failed)?;
    let same = (audit.bots, audit.entries, audit.markets, audit.heads_digest)
        == (
            manifest.bots,
            manifest.entries,
            manifest.markets,
            manifest.heads_digest,
        );
    if !same {
        return Err(anyhow!(
            "what was restored is not what was backed up: {} entries with heads digest {}, and should \
             have {} with {}",
            audit.entries, audit.heads_digest, manifest.entries, manifest.heads_digest
        )
        .into());
    }
    if !audit.is_sound() {
        let first = audit
            .faults
            .first()
            .map(|fault| format!("{fault:?}"))
            .unwrap_or_default();
        return Err(anyhow!(
            "the restored ledger is what was backed up, and it is broken ({first}): run inspect-ledger"
        )
        .into());
    }
    Ok(Report {
        as_of: manifest.as_of,
        arena_before: manifest.arena,
        arena: postgres.database().identity().await.map_err(failed)?,
        bots: audit.bots,
        entries: audit.entries,
        heads_digest: audit.heads_digest,
        to_migrate,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "restored, and the audit is clean: it is what was backed up"
        )?;
        writeln!(f, "  as of         {}", self.as_of)?;
        writeln!(f, "  bots          {}", self.bots)?;
        writeln!(f, "  entries       {}", self.entries)?;
        write!(f, "  heads digest  {}", self.heads_digest)?;
        if self.to_migrate > 0 {
            let missing = counted(self.to_migrate, "migration");
            write!(
                f,
                "\nthis build has {missing} more: run `arenactl migrate` before you start it"
            )?;
        }
        Ok(())
    }
}
