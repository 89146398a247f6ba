//! Bringing the database to the schema this build knows, one migrator at a time.

use diesel::expression::SqlLiteral;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use ledger_core::EntryType;
use ledger_core::market::MarketSource;

use crate::connection::Connection;
use crate::error::{DbError, DbResult};
use crate::schema::{market_sources, markets};

pub(crate) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Held for the session by whoever migrates: "LEDGER" in ASCII.
const MIGRATION_LOCK: i64 = 0x4c45_4447_4552;

/// Stands among the versions of migrations from the first row that a restore loads until its audit came out
/// equal: a build that knows nothing of it sees a migration that it does not know, and refuses to start too.
/// It comes before all others, so that it never is the newest.
const UNFINISHED: &str = "00000000000000";

/// The things that `arenactl migrate` adds to a database, for messages.
pub const KNOWN: &str = "migration(s), entry type(s) or source(s) of markets";

/// How the database stands to this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    Current,
    /// The database lacks so many of this build's [`KNOWN`].
    Behind {
        missing: usize,
    },
    /// The database has so many [`KNOWN`] that this build does not know.
    Ahead {
        unknown: usize,
    },
}

impl SchemaState {
    /// What is wrong with it, and what to do.
    pub fn fault(&self) -> Option<String> {
        match self {
            SchemaState::Current => None,
            SchemaState::Behind { missing } => {
                Some(format!("lacks {missing} {KNOWN}: run arenactl migrate"))
            }
            SchemaState::Ahead { unknown } => Some(format!(
                "has {unknown} {KNOWN} that this build does not know: run a newer build"
            )),
        }
    }
}

/// What a run of the migrator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Versions applied, or taken back, in order.
    pub versions: Vec<String>,
    /// Entry types that the run added.
    pub entry_types: Vec<String>,
    /// Sources of markets that the run added.
    pub sources: Vec<String>,
}

/// Applies every pending migration, and adds this build's entry types and sources of markets. `owner_url` is the
/// schema owner's, direct and not through a transaction pooler, because the lock belongs to the session.
///
/// # Errors
/// When Postgres refuses a migration, for want of the owner's rights, say: see [`DbError`]. Those before it
/// stay applied.
#[crate::boxed]
pub async fn run(owner_url: &str) -> DbResult<Migrated> {
    let mut migrated = run_from(owner_url, MIGRATIONS).await?;
    // If the process crashes in between, the database counts as behind, and the next run comes here.
    let mut conn = locked(owner_url).await?;
    let types: Vec<String> = diesel::select(entry_types()).get_result(&mut conn).await?;
    migrated.entry_types = missing(&EntryType::ALL.map(EntryType::as_str), &types);
    for label in &migrated.entry_types {
        // This blocks no other session and changes no row.
        let add = format!("ALTER TYPE public.entry_type ADD VALUE IF NOT EXISTS '{label}'");
        conn.batch_execute(&add).await?;
    }
    let labels = sources().into_iter().map(|label| market_sources::label.eq(label));
    migrated.sources = diesel::insert_into(market_sources::table)
        .values(labels.collect::<Vec<_>>())
        .on_conflict_do_nothing()
        .returning(market_sources::label)
        .get_results(&mut conn)
        .await?;
    Ok(migrated)
}

/// The labels of the enum.
fn entry_types() -> SqlLiteral<Array<Text>> {
    diesel::dsl::sql("enum_range(NULL::public.entry_type)::text[]")
}

/// The labels in `these` that `others` lacks.
fn missing(these: &[impl AsRef<str>], others: &[impl AsRef<str>]) -> Vec<String> {
    let is_there = |label: &str| others.iter().any(|other| other.as_ref() == label);
    let labels = these.iter().map(AsRef::as_ref);
    labels.filter(|label| !is_there(label)).map(str::to_owned).collect()
}

/// The sources of markets that this build knows.
fn sources() -> Vec<&'static str> {
    MarketSource::ALL.iter().map(|source| source.as_str()).collect()
}

/// The same for migrations from elsewhere, under the same lock.
///
/// # Errors
/// Those of [`run`].
pub async fn run_from<S>(owner_url: &str, source: S) -> DbResult<Migrated>
where
    S: MigrationSource<Pg> + Send + 'static,
{
    with_harness(owner_url, move |harness| {
        let applied = harness.run_pending_migrations(source)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Applies the first pending migration alone.
///
/// # Errors
/// Those of [`run`].
#[crate::boxed]
pub async fn run_next(owner_url: &str) -> DbResult<Migrated> {
    with_harness(owner_url, |harness| Ok(vec![harness.run_next_migration(MIGRATIONS)?.to_string()]))
        .await
}

/// Takes the latest migration back, and what only it had room for.
///
/// # Errors
/// When Postgres refuses: see [`DbError`]. Then it stays applied.
#[crate::boxed]
pub async fn revert_last(owner_url: &str) -> DbResult<Migrated> {
    with_harness(owner_url, |harness| {
        Ok(vec![harness.revert_last_migration(MIGRATIONS)?.to_string()])
    })
    .await
}

/// Takes every migration back. For tests and for starting over: all data goes with it.
///
/// # Errors
/// When Postgres refuses one: see [`DbError`]. Those behind it are gone then.
#[crate::boxed]
pub async fn revert_all(owner_url: &str) -> DbResult<Migrated> {
    with_harness(owner_url, |harness| {
        let reverted = harness.revert_all_migrations(MIGRATIONS)?;
        Ok(reverted.iter().map(ToString::to_string).collect())
    })
    .await
}

type Harness = AsyncMigrationHarness<AsyncPgConnection>;

async fn with_harness<F>(owner_url: &str, work: F) -> DbResult<Migrated>
where
    F: FnOnce(&mut Harness) -> diesel::migration::Result<Vec<String>> + Send + 'static,
{
    let conn = locked(owner_url).await?;
    // The harness blocks its thread; the session's lock goes with its connection, whatever happens.
    let versions = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        work(&mut harness).map_err(|error| DbError::Query(format!("migration failed: {error}")))
    })
    .await
    .map_err(|error| DbError::Query(format!("migration panicked: {error}")))??;
    Ok(Migrated { versions, entry_types: Vec::new(), sources: Vec::new() })
}

/// A connection that holds the migrators' lock: until it is closed, other migrators wait.
async fn locked(owner_url: &str) -> DbResult<AsyncPgConnection> {
    if crate::opening::is_pooled(owner_url) {
        return Err(DbError::Query(
            "migrations need a direct connection, because their lock belongs to the session: use a \
             URL of Postgres itself, without pooler=transaction"
                .to_owned(),
        ));
    }
    let mut conn = crate::opening::connect_owner(owner_url).await?;
    conn.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<diesel::sql_types::BigInt, _>(MIGRATION_LOCK)
        .execute(&mut conn)
        .await?;
    Ok(conn)
}

/// The versions of this build's migrations.
///
/// # Errors
/// When this build's migrations cannot be read: see [`DbError`].
pub fn known_versions() -> DbResult<Vec<String>> {
    let known: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS
        .migrations()
        .map_err(|error| DbError::Query(format!("cannot read the migrations: {error}")))?;
    Ok(known.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// Marks a database whose tables a restore has just made: nobody is to start on it.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn mark_unfinished(conn: &mut Connection) -> DbResult<()> {
    diesel::sql_query("INSERT INTO public.__diesel_schema_migrations (version) VALUES ($1)")
        .bind::<Text, _>(UNFINISHED)
        .execute(conn)
        .await?;
    Ok(())
}

/// The last act of a restore.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn mark_finished(conn: &mut Connection) -> DbResult<()> {
    diesel::sql_query("DELETE FROM public.__diesel_schema_migrations WHERE version = $1")
        .bind::<Text, _>(UNFINISHED)
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) fn is_unfinished(applied: &[String]) -> bool {
    applied.iter().any(|version| version == UNFINISHED)
}

/// Compares the database's migrations with this build's.
///
/// # Errors
/// [`DbError::Unfinished`] if a restore into it did not come to its end.
#[crate::boxed]
pub async fn state(conn: &mut Connection) -> DbResult<SchemaState> {
    let applied = applied(conn).await?;
    if is_unfinished(&applied) {
        return Err(DbError::Unfinished);
    }
    match state_of(&applied)? {
        SchemaState::Current => labels_known(conn).await,
        other => Ok(other),
    }
}

/// Compares entry types and sources of markets. A missing one counts like a missing migration. This build cannot
/// read rows of an unknown one. An unknown source counts once it has a market. An unknown entry type always counts,
/// because a search for its entries would read the whole ledger.
async fn labels_known(conn: &mut Connection) -> DbResult<SchemaState> {
    let types: Vec<String> = diesel::select(entry_types()).get_result(conn).await?;
    let known_types = EntryType::ALL.map(EntryType::as_str);
    let found: Vec<String> = market_sources::table.select(market_sources::label).load(conn).await?;
    let lacks = missing(&known_types, &types).len() + missing(&sources(), &found).len();
    if lacks > 0 {
        return Ok(SchemaState::Behind { missing: lacks });
    }
    let unknown_types = missing(&types, &known_types).len();
    let unknown = missing(&found, &sources());
    if unknown.is_empty() && unknown_types == 0 {
        return Ok(SchemaState::Current);
    }
    let has_markets =
        diesel::dsl::exists(markets::table.filter(markets::source.eq(market_sources::label)));
    let unknown: i64 = market_sources::table
        .filter(market_sources::label.eq_any(unknown))
        .filter(has_markets)
        .count()
        .get_result(conn)
        .await?;
    Ok(match usize::try_from(unknown).unwrap_or_default() + unknown_types {
        0 => SchemaState::Current,
        unknown => SchemaState::Ahead { unknown },
    })
}

/// The same while a restore is at work, of migrations alone: rows are yet to come.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn state_in_restore(conn: &mut Connection) -> DbResult<SchemaState> {
    let mut applied = applied(conn).await?;
    applied.retain(|version| version != UNFINISHED);
    state_of(&applied)
}

fn state_of(applied: &[String]) -> DbResult<SchemaState> {
    let known = known_versions()?;
    let unknown = applied.iter().filter(|version| !known.contains(version)).count();
    if unknown > 0 {
        return Ok(SchemaState::Ahead { unknown });
    }
    match known.len() - applied.len() {
        0 => Ok(SchemaState::Current),
        missing => Ok(SchemaState::Behind { missing }),
    }
}

/// The versions of the migrations that the database has, in order.
pub(crate) async fn applied(conn: &mut Connection) -> DbResult<Vec<String>> {
    if !is_migrated(conn).await? {
        return Ok(Vec::new());
    }
    let versions = diesel::dsl::sql::<Array<Text>>(
        "ARRAY(SELECT version FROM public.__diesel_schema_migrations ORDER BY version)::text[]",
    );
    Ok(diesel::select(versions).get_result(conn).await?)
}

/// Whether this role may read what was migrated here: before the first migration there is nothing,
/// and before the last one no right to see it.
async fn is_migrated(conn: &mut Connection) -> DbResult<bool> {
    let table = "coalesce(has_table_privilege(\
                 to_regclass('public.__diesel_schema_migrations')::oid, 'SELECT'), false)";
    let readable = diesel::dsl::sql::<diesel::sql_types::Bool>(table);
    Ok(diesel::select(readable).get_result(conn).await?)
}
