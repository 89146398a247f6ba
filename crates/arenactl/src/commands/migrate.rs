//! `arenactl migrate`: the database gets the schema of this build. Two at once wait for each other.

use std::fmt;

use daemon::config::Sources;
use daemon::process::Failure;
use db::migrations::{self, KNOWN, Migrated, SchemaState};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::output::counted;
use crate::postgres::{self, Postgres};

pub(crate) const DATABASE_OWNER_URL: &str = "DATABASE_OWNER_URL";

/// The applied changes; all are empty if there were none.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Versions of migrations, in order.
    applied: Vec<String>,
    /// Entry types that the database did not know.
    entry_types: Vec<String>,
    /// Sources of markets that the database did not know.
    sources: Vec<String>,
}

pub(crate) async fn run(sources: &Sources) -> Result<Report, Failure> {
    let url = sources.connection_url(DATABASE_OWNER_URL, postgres::SCHEMES)?;
    // The migrator itself may wait long for another one, so this first checks that Postgres answers.
    let postgres = Postgres::connect(DATABASE_OWNER_URL, &url, 1).await?;
    // One that a restore did not finish is left as it is.
    state(&postgres).await?;
    let migrated = migrations::run(url.expose_secret()).await;
    let migrated = migrated.map_err(|error| postgres.failure(error, "cannot migrate"))?;
    if let SchemaState::Ahead { unknown } = state(&postgres).await? {
        fail!(
            "the database of {} has {unknown} {KNOWN} that this build does not know: use the build that \
             migrated it",
            postgres.what(),
        );
    }
    let Migrated { versions, entry_types, sources } = migrated;
    Ok(Report { applied: versions, entry_types, sources })
}

async fn state(postgres: &Postgres) -> Result<SchemaState, Failure> {
    let state = postgres.database().schema_state().await;
    state.map_err(|error| postgres.failure(error, "cannot migrate"))
}

impl Report {
    /// Whether anything was to be done.
    pub(crate) const fn changed(&self) -> bool {
        !self.applied.is_empty() || !self.entry_types.is_empty() || !self.sources.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.changed() {
            return f.write_str("the schema is up to date, nothing to apply");
        }
        for version in &self.applied {
            writeln!(f, "applied  {version}")?;
        }
        for label in &self.entry_types {
            writeln!(f, "added    entry type {label}")?;
        }
        for label in &self.sources {
            writeln!(f, "added    source of markets {label}")?;
        }
        let count = counted(self.applied.len(), "migration");
        write!(f, "{count} applied, the schema is up to date")
    }
}
