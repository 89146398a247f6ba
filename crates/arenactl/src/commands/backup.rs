//! `arenactl backup --to DIR`: a dump of everything, with the results of an audit of the same moment, so that a
//! restore can prove that it is the same. The manifest is authenticated with `BACKUP_KEY`, which is not in the
//! dump.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, anyhow};
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use db::backup::{self, Dumped};
use db::catalogue;
use ledger_core::{Hash, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use supervisor::files::{directory_of, write};
use uuid::Uuid;

use super::migrate::DATABASE_OWNER_URL;
use super::whole_audit;
use crate::backup_key::{Authentication, BACKUP_KEY, Keys};
use crate::dump_tools;
use crate::output::{Judged, counted};
use crate::postgres::{self, Postgres};

pub(crate) const FORMAT: &str = "ledgerdome-backup/v2";
/// Before manifests were authenticated.
pub(crate) const FORMAT_BEFORE: &str = "ledgerdome-backup/v1";
/// Hashes of keys, encrypted answers, personas: only for the operator.
const MODE: u32 = 0o600;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it goes; three files that begin with the moment of the backup
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// The manifest of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    /// The moment that the dump and the audit saw.
    pub(crate) as_of: Timestamp,
    /// The arena it was taken of.
    pub(crate) arena: Uuid,
    /// The newest migration it has.
    pub(crate) migration: String,
    pub(crate) server_major: i64,
    /// Whom the dump grants to: they must be there where it is restored. Their names change with
    /// rotations.
    #[serde(default = "first_services_role")]
    pub(crate) services_roles: Vec<String>,
    pub(crate) bots: u64,
    pub(crate) entries: u64,
    pub(crate) markets: u64,
    pub(crate) heads_digest: Hash,
    /// Over the stored hashes of bots' keys and secrets.
    #[serde(default)]
    pub(crate) credentials_digest: Option<Hash>,
    /// Differences of the schema from its migrations.
    #[serde(default)]
    pub(crate) schema_differences: Vec<String>,
    /// Whether the audit found nothing wrong.
    pub(crate) sound: bool,
    /// The dump, in the same directory.
    pub(crate) dump: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: Hash,
    /// By `BACKUP_KEY`; absent without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<Authentication>,
}

/// For backups without this field.
fn first_services_role() -> Vec<String> {
    vec!["arena_app".to_owned()]
}

/// The written files.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    manifest: PathBuf,
    #[serde(flatten)]
    facts: Manifest,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(DATABASE_OWNER_URL, postgres::SCHEMES);
    let keys = Keys::read(&mut reader);
    reader.finish()?;
    let postgres = Postgres::connect_migrated(DATABASE_OWNER_URL, &url, 2).await?;
    let (arena, migration, server_major) = facts(&postgres).await?;
    let services_roles = backup::services_roles(&mut *postgres.connection().await?)
        .await
        .map_err(|error| postgres.failure(error, "cannot read who the services are"))?;
    let program = dump_tools::find(sources, "pg_dump", server_major)?;
    fs::create_dir_all(&args.to).with_context(|| format!("cannot create {}", args.to.display()))?;
    // Until it is complete it has a temporary name. The name is unique, in case two backups run at once.
    let partial = args.to.join(format!(".backup-{}.partial", std::process::id()));
    let mut partial = Partial::begin(&partial)?;
    let dump = async |snapshot: &str| dump(&program, &url, snapshot, &partial.file).await;
    let done = backup::audit_and_dump(postgres.database(), whole_audit(), dump).await;
    let Dumped { audit, credentials, dump: dumped } =
        done.map_err(|error| postgres.failure(error, "the audit did not end"))?;
    dumped?;
    let schema_differences = catalogue::differences(postgres.database())
        .await
        .map_err(|error| postgres.failure(error, "cannot compare the schema"))?;
    let name = format!("arena-{}", stamp(audit.as_of));
    let (bytes, sha256) = partial.digest().context("cannot read the dump again")?;
    let mut facts = Manifest {
        format: FORMAT.to_owned(),
        as_of: audit.as_of,
        arena,
        migration,
        server_major,
        services_roles,
        bots: audit.bots,
        entries: audit.entries,
        markets: audit.markets,
        heads_digest: audit.heads_digest,
        credentials_digest: Some(credentials),
        schema_differences,
        sound: audit.is_sound(),
        dump: format!("{name}.dump"),
        bytes,
        sha256,
        authentication: None,
    };
    if let Some(key) = &keys.present {
        facts.authentication = Some(key.authenticate(&facts)?);
    }
    let manifest = args.to.join(format!("{name}.json"));
    finish(&partial, &manifest, &facts).context("cannot finish the backup")?;
    Ok(Report { manifest, facts })
}

async fn facts(postgres: &Postgres) -> Result<(Uuid, String, i64), Failure> {
    let mut conn = postgres.connection().await?;
    let failed = |error| postgres.failure(error, "cannot inspect the database");
    let arena = postgres.database().identity().await.map_err(failed)?;
    let migration = backup::newest_migration(&mut conn).await.map_err(failed)?;
    let major = backup::server_major(&mut conn).await.map_err(failed)?;
    let migration = migration.ok_or_else(|| anyhow!("the database was never migrated"))?;
    Ok((arena, migration, major))
}

async fn dump(
    program: &Path,
    url: &SecretString,
    snapshot: &str,
    file: &File,
) -> anyhow::Result<()> {
    let file = file.try_clone().context("cannot write the dump")?;
    let mut command = dump_tools::command(program, url)?;
    command
        .args(["--format=custom", "--no-password", "--lock-wait-timeout=30000"])
        .arg(format!("--snapshot={snapshot}"))
        .stdout(Stdio::from(file));
    dump_tools::run(command, "pg_dump").await
}

/// A file in the making, which does not stay unless it gets its name. It is written and read through the same
/// open file: otherwise a person with write access to the directory could replace it, and the manifest would
/// authenticate the replacement.
struct Partial<'a> {
    path: &'a Path,
    file: File,
}

impl Partial<'_> {
    fn begin(path: &Path) -> anyhow::Result<Partial<'_>> {
        let open =
            || OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path);
        let _ = fs::remove_file(path);
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Partial { path, file })
    }

    fn digest(&mut self) -> io::Result<(u64, Hash)> {
        self.file.rewind()?;
        copy(&mut self.file, &mut io::sink())
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path);
    }
}

/// `20261127T150301Z`, in which names sort as their moments do.
fn stamp(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split('.').next().unwrap_or_default();
    format!("{}Z", whole.replace(['-', ':'], ""))
}

/// Copies all of it, and answers with the size and SHA-256 of what was copied.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, Hash)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, Hash(hasher.finalize().into())));
        }
        let part = buffer.get(..read).unwrap_or_default();
        to.write_all(part)?;
        hasher.update(part);
        bytes += read as u64;
    }
}

/// The dump first and its manifest last: where there is a manifest, the dump is whole.
fn finish(partial: &Partial<'_>, manifest: &Path, facts: &Manifest) -> io::Result<()> {
    let folder = directory_of(manifest);
    partial.file.sync_all()?;
    fs::rename(partial.path, folder.join(&facts.dump))?;
    write(manifest, MODE, &format!("{}\n", serde_json::to_string_pretty(facts)?))?;
    let (_, manifest_sha256) = copy(&mut File::open(manifest)?, &mut io::sink())?;
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    let sums = format!("{}  {}\n{manifest_sha256}  {name}\n", facts.sha256, facts.dump);
    write(&manifest.with_extension("sha256"), MODE, &sums)
}

impl Judged for Report {
    /// A failure if the backed-up data is broken or cannot be authenticated later; the backup is still written.
    fn verdict(self) -> Result<(), Failure> {
        let facts = &self.facts;
        if !facts.sound {
            fail!("the backup is written, but the ledger in it is broken: run inspect-ledger");
        }
        if !facts.schema_differences.is_empty() {
            fail!(
                "the backup is written, but the schema in it differs from the migrations ({}): \
                 `arenactl debug-auth` lists them; a restore will need --accept-schema",
                counted(facts.schema_differences.len(), "difference")
            );
        }
        if facts.authentication.is_none() {
            fail!(
                "the backup is written, but nothing proves later that it is yours: {BACKUP_KEY} is not \
                 set. Make one (`openssl rand -hex 32`), set it, keep a copy apart from the backups, and \
                 back up again"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(f, "backed up to {}", self.manifest.display())?;
        writeln!(f, "  as of         {}", facts.as_of)?;
        writeln!(f, "  bots          {}", facts.bots)?;
        writeln!(f, "  entries       {}", facts.entries)?;
        writeln!(f, "  bytes         {}", facts.bytes)?;
        writeln!(f, "  sha256        {}", facts.sha256)?;
        writeln!(f, "  heads digest  {}", facts.heads_digest)?;
        match &facts.authentication {
            Some(authentication) => write!(f, "  key           {}", authentication.key),
            None => write!(f, "  key           none: {BACKUP_KEY} is not set"),
        }
    }
}
