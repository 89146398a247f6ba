//! `arenactl after-recovery`: the last step after a recovery of Postgres itself to an earlier moment.
//!
//! A recovery to a point in time restores a whole cluster, so numbers of bots and transactions are assigned
//! again. So the arena gets a new identity, as after a restore.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::audit;
use db::catalogue;
use ledger_core::{Hash, Timestamp};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::migrate::DATABASE_OWNER_URL;
use super::{changed_schema, whole_audit};
use crate::output::{Judged, Plain};
use crate::postgres::{self, Postgres};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Continue although the schema differs from the migrations; each difference is listed
    ///
    /// Added objects then run with the owner's rights.
    #[arg(long)]
    accept_schema: bool,
}

/// An arena that continues from an earlier moment.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    as_of: Timestamp,
    bots: u64,
    entries: u64,
    heads_digest: Hash,
    sound: bool,
    /// Differences of the schema from the migrations: none, or accepted.
    schema_differences: Vec<String>,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Report, Failure> {
    let url = sources.connection_url(DATABASE_OWNER_URL, postgres::SCHEMES)?;
    let postgres = Postgres::connect_migrated(DATABASE_OWNER_URL, &url, 1).await?;
    let failed = |error| postgres.failure(error, "cannot give the arena a new identity");
    let schema_differences = catalogue::differences(postgres.database()).await.map_err(failed)?;
    // Before its triggers run.
    if !schema_differences.is_empty() && !args.accept_schema {
        return Err(changed_schema(
            "the schema differs from the migrations, and nothing was changed",
            &schema_differences,
            "Find out who changed it before anything is started, and undo it; or --accept-schema if you made \
             these changes yourself",
        ));
    }
    db::backup::begin_anew(url.expose_secret()).await.map_err(failed)?;
    let audit = audit::audit(postgres.database(), whole_audit()).await.map_err(failed)?;
    Ok(Report {
        as_of: audit.as_of,
        bots: audit.bots,
        entries: audit.entries,
        heads_digest: audit.heads_digest,
        sound: audit.is_sound(),
        schema_differences,
    })
}

impl Judged for Report {
    fn verdict(self) -> Result<(), Failure> {
        if self.sound {
            return Ok(());
        }
        Err(anyhow::anyhow!("the ledger is broken: run inspect-ledger before anything is started")
            .into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the arena has a new identity: it refuses earlier tokens, cursors and positions in streams"
        )?;
        writeln!(f, "  as of         {}", self.as_of)?;
        writeln!(f, "  bots          {}", self.bots)?;
        writeln!(f, "  entries       {}", self.entries)?;
        writeln!(f, "  heads digest  {}", self.heads_digest)?;
        let state = if self.sound { "clean" } else { "NOT clean" };
        write!(f, "  audit         {state}")?;
        for difference in &self.schema_differences {
            write!(f, "\naccepted: {}", Plain(difference))?;
        }
        Ok(())
    }
}
