//! `arenactl restore MANIFEST`: restores a backup into an empty database, and proves that it is the backed-up
//! one.
//!
//! A dump is a program: pg_restore runs it with the rights of the restoring role. So this checks the manifest's
//! HMAC and the dump's SHA-256 before it uses the dump, on a private copy. Then it compares the tables and
//! functions with the migrations' before it loads rows, because checks and defaults may call functions. Then it
//! compares everything, before a trigger can run.
//!
//! From the first row on until the audit came out equal the database is marked as unfinished, and nothing
//! starts on it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, anyhow};
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use db::audit;
use db::backup;
use db::catalogue::{self, Extent};
use db::migrations::{self, SchemaState};
use ledger_core::{Hash, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use supervisor::files::directory_of;
use uuid::Uuid;

use super::backup::{FORMAT, FORMAT_BEFORE, Manifest, copy};
use super::{changed_schema, whole_audit};
use crate::backup_key::{BACKUP_KEY, BACKUP_KEY_PREVIOUS, Keys};
use crate::dump_tools;
use crate::output::{Plain, counted};
use crate::postgres::{self, Postgres};

pub(crate) const RESTORE_DATABASE_URL: &str = "RESTORE_DATABASE_URL";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The manifest of a backup: arena-….json, with its dump in the same directory
    manifest: PathBuf,
    /// Restore although no BACKUP_KEY proves that the backup is yours
    ///
    /// Its maker can run any code in the database with the restoring role's rights, and choose the bots' keys.
    #[arg(long)]
    unauthenticated: bool,
    /// Restore although the schema differs from the migrations; each difference is listed
    ///
    /// Added objects may then run with the owner's rights.
    #[arg(long)]
    accept_schema: bool,
}

/// An arena that continues from a backup.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    as_of: Timestamp,
    /// Which it was, and which it is from now on.
    arena_before: Uuid,
    arena: Uuid,
    bots: u64,
    entries: u64,
    heads_digest: Hash,
    /// Whether a key that is known here made the manifest.
    authenticated: bool,
    /// The unproven facts.
    unproven: Vec<String>,
    /// Differences of the schema from the migrations: none, or accepted.
    schema_differences: Vec<String>,
    /// The roles that may act in it as services do.
    services_roles: Vec<String>,
    /// Migrations that this build has and the backup lacked.
    migrated: usize,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(RESTORE_DATABASE_URL, postgres::SCHEMES);
    let keys = Keys::read(&mut reader);
    reader.finish()?;
    let (manifest, authenticated) = read_proven(&args.manifest, &keys)?;
    if !authenticated && !args.unauthenticated {
        return Err(not_proven(&args.manifest, &manifest, &keys).into());
    }
    let dump = directory_of(&args.manifest).join(&manifest.dump);
    let dump = take(&dump, &manifest)?;
    let postgres = Postgres::connect(RESTORE_DATABASE_URL, &url, 2).await?;
    let major = must_be_fit(&postgres, &manifest.services_roles).await?;
    let program = dump_tools::find(sources, "pg_restore", major.max(manifest.server_major))?;
    fill(&program, &url, &dump, &["--section=pre-data"]).await?;
    let at = &manifest.migration;
    must_be_as_migrated(&postgres, at, Extent::BeforeRows, args).await?;
    migrations::mark_unfinished(&mut *postgres.connection().await?)
        .await
        .map_err(|error| postgres.failure(error, "cannot mark the database as unfinished"))?;
    let rest = ["--section=data", "--section=post-data"];
    fill(&program, &url, &dump, &rest).await?;
    let schema_differences = must_be_as_migrated(&postgres, at, Extent::Whole, args).await?;
    let report = prove(&postgres, &url, &manifest).await?;
    Ok(Report {
        authenticated,
        unproven: unproven(&manifest, authenticated, &schema_differences),
        schema_differences,
        ..report
    })
}

/// The manifest, and whether a key that is known here made it. A wrong proof and a missing one are treated alike:
/// an attacker can remove it.
pub(crate) fn read_proven(path: &Path, keys: &Keys) -> anyhow::Result<(Manifest, bool)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = parse(path, &text)?;
    let authenticated = match &manifest.authentication {
        None => false,
        Some(claimed) => keys.made(&text, claimed)?,
    };
    Ok((manifest, authenticated))
}

fn not_proven(path: &Path, manifest: &Manifest, keys: &Keys) -> anyhow::Error {
    let what = path.display();
    let otherwise = "--unauthenticated restores it anyway, and trusts its maker";
    match &manifest.authentication {
        None => anyhow!(
            "{what} is not authenticated, as backups were before there was a {BACKUP_KEY}: nothing proves \
             that it is yours. {otherwise}"
        ),
        Some(claimed) if keys.is_empty() => anyhow!(
            "{what} was made under the key {}, and {BACKUP_KEY} is not set: take it from where you keep \
             it. {otherwise}",
            Plain(&claimed.key)
        ),
        Some(claimed) => anyhow!(
            "{what} is forged, damaged, or made under another key than those of {BACKUP_KEY} and \
             {BACKUP_KEY_PREVIOUS}: it names the key {}, and yours is {}. {otherwise}",
            Plain(&claimed.key),
            keys.present
                .as_ref()
                .map_or_else(|| "an older one".to_owned(), crate::backup_key::Key::id)
        ),
    }
}

/// For the operator's own judgement, in words.
fn unproven(manifest: &Manifest, authenticated: bool, differences: &[String]) -> Vec<String> {
    let mut unproven = Vec::new();
    if !authenticated {
        unproven.push("that the backup is yours and unchanged".to_owned());
    }
    if manifest.credentials_digest.is_none() {
        unproven
            .push("that the hashes of keys and secrets are those that were backed up".to_owned());
    }
    if !differences.is_empty() {
        unproven
            .push("that nothing but the migrations' functions and triggers runs in it".to_owned());
    }
    unproven
}

fn parse(path: &Path, text: &str) -> anyhow::Result<Manifest> {
    let what = || format!("{} is no manifest of a backup", path.display());
    let manifest: Manifest = serde_json::from_str(text).with_context(what)?;
    if ![FORMAT, FORMAT_BEFORE].contains(&manifest.format.as_str()) {
        return Err(anyhow!(
            "{} has the format {:?}, not {FORMAT:?}",
            path.display(),
            manifest.format
        ));
    }
    if manifest.format == FORMAT && manifest.credentials_digest.is_none() {
        return Err(anyhow!("its credentials_digest is missing")).with_context(what);
    }
    // A name, never a way out of the directory.
    if Path::new(&manifest.dump).file_name() != Some(manifest.dump.as_ref()) {
        return Err(anyhow!("its dump {:?} is no name of a file", manifest.dump))
            .with_context(what);
    }
    Ok(manifest)
}

/// A copy of the dump that has the manifest's digest, before anything is written to the database.
///
/// It has no name, so no other process can open it. A person with write access to the backups could change the
/// dump itself between this check and pg_restore.
fn take(dump: &Path, manifest: &Manifest) -> anyhow::Result<File> {
    let mut original =
        File::open(dump).with_context(|| format!("cannot read {}", dump.display()))?;
    let mut taken = tempfile::tempfile().context("cannot make a temporary file")?;
    let (bytes, sha256) = copy(&mut original, &mut taken).with_context(|| {
        format!(
            "cannot copy {} to where temporary files are, which must have room for it (TMPDIR names another \
             place)",
            dump.display()
        )
    })?;
    if (bytes, sha256) == (manifest.bytes, manifest.sha256) {
        return Ok(taken);
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
    let failed = |error| postgres.failure(error, "cannot inspect the database");
    if !backup::is_empty(&mut conn).await.map_err(failed)? {
        let what = postgres.what();
        fail!(
            "the database of {what} is not empty: RESTORE_DATABASE_URL must name a new one \
             (CREATE DATABASE … OWNER arena_owner). If a restore was interrupted there, drop that one: it \
             is not finished"
        );
    }
    if backup::is_mighty(&mut conn).await.map_err(failed)? {
        fail!(
            "RESTORE_DATABASE_URL logs in as a role that may do anything to the server, and a dump may run \
             anything that its role may: restore as the role that owns the database alone (arena_owner)"
        );
    }
    for role in services_roles {
        if !backup::has_role(&mut conn, role).await.map_err(failed)? {
            fail!(
                "the role {role} does not exist there: create it first, as a superuser \
                 (CREATE ROLE {role} LOGIN PASSWORD '…')"
            );
        }
    }
    backup::server_major(&mut conn).await.map_err(failed)
}

/// Parts of the dump, all of them or none. A database that was filled and not finished is never to be
/// started on, so a repeated restore refuses it too.
async fn fill(
    program: &Path,
    url: &SecretString,
    dump: &File,
    sections: &[&str],
) -> anyhow::Result<()> {
    let input = || -> io::Result<File> {
        let mut dump = dump.try_clone()?;
        dump.rewind()?;
        Ok(dump)
    };
    let input = input().context("cannot read the copy of the dump")?;
    let mut command = dump_tools::command(program, url)?;
    command
        .args(sections)
        .args(["--exit-on-error", "--single-transaction", "--no-owner", "--no-password"])
        .arg("--dbname=")
        .stdin(Stdio::from(input));
    dump_tools::run(command, "pg_restore").await
}

/// Where the schema differs; an error unless there is nothing, or it is accepted.
async fn must_be_as_migrated(
    postgres: &Postgres,
    migration: &str,
    extent: Extent,
    args: &Args,
) -> Result<Vec<String>, Failure> {
    let differences = catalogue::differences_at(postgres.database(), migration, extent)
        .await
        .map_err(|error| postgres.failure(error, "cannot compare the schema"))?;
    if differences.is_empty() || args.accept_schema {
        return Ok(differences);
    }
    Err(changed_schema(
        "the schema in this backup differs from its migrations",
        &differences,
        "Drop the database. Take an older backup, or --accept-schema if you made these changes yourself",
    ))
}

/// Every role that may append to the ledger counts as the services' role, so its name is compared with the
/// manifest.
fn must_be_the_services(found: &[String], manifest: &Manifest) -> anyhow::Result<()> {
    let set = |roles: &[String]| roles.iter().cloned().collect::<BTreeSet<_>>();
    if set(found) == set(&manifest.services_roles) {
        return Ok(());
    }
    let list = |roles: &[String]| match roles {
        [] => "none".to_owned(),
        roles => roles.join(", "),
    };
    let (found, named) = (list(found), list(&manifest.services_roles));
    Err(anyhow!(
        "the roles that may append to the restored ledger are {}, and the manifest names {}: somebody \
         changed one of the two. Drop the database and take another backup",
        Plain(&found),
        Plain(&named)
    ))
}

/// A new identity, and the audit against the manifest.
async fn prove(
    postgres: &Postgres,
    url: &SecretString,
    manifest: &Manifest,
) -> Result<Report, Failure> {
    let failed = |error| postgres.failure(error, "cannot finish the restored database");
    let (newest, services_roles, state) = {
        let mut conn = postgres.connection().await?;
        let newest = backup::newest_migration(&mut conn).await.map_err(failed)?;
        let roles = backup::services_roles(&mut conn).await.map_err(failed)?;
        let state = migrations::state_in_restore(&mut conn).await;
        (newest, roles, state.map_err(failed)?)
    };
    if newest.as_ref() != Some(&manifest.migration) {
        fail!("the dump's newest migration is not the one in its manifest");
    }
    must_be_the_services(&services_roles, manifest)?;
    let credentials = backup::credentials(postgres.database()).await.map_err(failed)?;
    if manifest.credentials_digest.is_some_and(|digest| digest != credentials) {
        fail!(
            "the restored keys and secrets are not the backed-up ones: they were replaced in the dump. Drop \
             the database and take another backup"
        );
    }
    // The following steps support only this build's schema.
    let migrated = match state {
        // Also with the same migrations: this writes the build's entry types and sources of markets.
        SchemaState::Current | SchemaState::Behind { .. } => {
            let migrated = db::migrations::run(url.expose_secret()).await;
            migrated.map_err(failed)?.versions.len()
        }
        SchemaState::Ahead { unknown } => {
            let unknown = counted(unknown, "migration");
            fail!(
                "the backup has {unknown} that this build does not know: restore it with the build \
                 that made it, or a newer one"
            );
        }
    };
    backup::begin_anew(url.expose_secret()).await.map_err(failed)?;
    let audit = audit::audit(postgres.database(), whole_audit()).await;
    let audit = audit.map_err(failed)?;
    is_what_was_backed_up(&audit, manifest)?;
    let arena = postgres.database().identity().await.map_err(failed)?;
    migrations::mark_finished(&mut *postgres.connection().await?).await.map_err(failed)?;
    Ok(Report {
        as_of: manifest.as_of,
        arena_before: manifest.arena,
        arena,
        bots: audit.bots,
        entries: audit.entries,
        heads_digest: audit.heads_digest,
        authenticated: false,
        unproven: Vec::new(),
        schema_differences: Vec::new(),
        services_roles,
        migrated,
    })
}

/// Compares the audit of the restored database with the manifest.
fn is_what_was_backed_up(audit: &audit::Report, manifest: &Manifest) -> Result<(), Failure> {
    let same = (audit.bots, audit.entries, audit.markets, audit.heads_digest)
        == (manifest.bots, manifest.entries, manifest.markets, manifest.heads_digest);
    if !same {
        fail!(
            "the restored ledger is not the backed-up one: {} entries with heads digest {}, expected {} with \
             {}",
            audit.entries,
            audit.heads_digest,
            manifest.entries,
            manifest.heads_digest
        );
    }
    if !audit.is_sound() {
        let first = audit.faults.first().map(|fault| format!("{fault:?}")).unwrap_or_default();
        fail!(
            "the restored ledger is the backed-up one, and it is broken ({first}): run inspect-ledger"
        );
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restored, and the audit is clean: it is what was backed up")?;
        writeln!(f, "  as of         {}", self.as_of)?;
        writeln!(f, "  bots          {}", self.bots)?;
        writeln!(f, "  entries       {}", self.entries)?;
        writeln!(f, "  heads digest  {}", self.heads_digest)?;
        write!(f, "  services      {}", Plain(&self.services_roles.join(", ")))?;
        for difference in &self.schema_differences {
            write!(f, "\naccepted: {}", Plain(difference))?;
        }
        for what in &self.unproven {
            write!(f, "\nNOT PROVEN: {what}")?;
        }
        if self.migrated > 0 {
            let migrated = counted(self.migrated, "migration");
            write!(f, "\nbrought to the schema of this build by {migrated}")?;
        }
        Ok(())
    }
}
