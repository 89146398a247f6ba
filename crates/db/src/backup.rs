//! Data about a dump that the dump itself lacks: its origin, and the changes that a restored copy
//! needs.

use diesel::dsl::sql;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::TryStreamExt as _;
use ledger_core::Hash;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use crate::audit::{self, Options, Report};
use crate::error::{DbError, DbResult};
use crate::opening::connect_owner;
use crate::pool::{Connection, Database};

/// The bots' credentials: bots in order of their ids, with the hashes of their keys and secrets,
/// and of former ones while they are valid.
const CREDENTIALS: &str = "COPY (SELECT b.id, b.handle, b.hosted, b.api_key_hash, \
           encode(b.api_secret_sha256, 'hex'), b.credential_version, \
           s.version, s.api_key_hash, encode(s.api_secret_sha256, 'hex'), \
           (extract(epoch FROM s.valid_until) * 1000000)::bigint \
      FROM bots b LEFT JOIN superseded_credentials s ON s.bot_id = b.id ORDER BY b.id) TO STDOUT";

/// The results of an audit and a dump of one moment.
pub struct Dumped<T> {
    pub audit: Report,
    pub credentials: Hash,
    pub dump: T,
}

/// Audits one consistent snapshot and passes its name to `dump`, which uses the same snapshot.
///
/// # Errors
/// When the database cannot be read: see [`DbError`]. Errors of `dump` are part of the answer.
pub async fn audit_and_dump<T>(
    database: &Database,
    options: Options,
    dump: impl AsyncFnOnce(&str) -> T,
) -> DbResult<Dumped<T>> {
    let beside = async |client: &Client, snapshot: &str| {
        let credentials = digest_of_credentials(client).await?;
        DbResult::Ok((credentials, dump(snapshot).await))
    };
    let (audit, beside) = audit::audit_beside(database, options, beside).await?;
    let (credentials, dump) = beside?;
    Ok(Dumped { audit, credentials, dump })
}

/// SHA-256 over the credentials of all bots: a hash of a key that was replaced changes it.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn credentials(database: &Database) -> DbResult<Hash> {
    digest_of_credentials(&database.dedicated().await?).await
}

async fn digest_of_credentials(client: &Client) -> DbResult<Hash> {
    let rows = client.copy_out(CREDENTIALS).await?;
    let hasher =
        rows.try_fold(Sha256::new(), async |hasher, bytes| Ok(hasher.chain_update(&bytes))).await?;
    Ok(Hash(hasher.finalize().into()))
}

/// Whether this role has rights beyond its own databases: a dump runs with the rights of the
/// restoring role.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn is_mighty(conn: &mut Connection) -> DbResult<bool> {
    let mighty = sql::<Bool>(
        "(SELECT bool_or(r.rolsuper OR r.rolname <> current_user) FROM pg_roles r \
           WHERE r.rolname = current_user \
              OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files') \
                 AND pg_has_role(current_user, r.oid, 'MEMBER'))",
    );
    Ok(diesel::select(mighty).get_result(conn).await?)
}

/// The newest migration that the database has.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn newest_migration(conn: &mut Connection) -> DbResult<Option<String>> {
    let newest = sql::<Nullable<Text>>("(SELECT max(version) FROM __diesel_schema_migrations)");
    Ok(diesel::select(newest).get_result(conn).await?)
}

/// The server's major version.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn server_major(conn: &mut Connection) -> DbResult<i64> {
    let major = sql::<BigInt>("current_setting('server_version_num')::bigint / 10000");
    Ok(diesel::select(major).get_result(conn).await?)
}

/// Whether this database is empty.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn is_empty(conn: &mut Connection) -> DbResult<bool> {
    let empty = sql::<Bool>(
        "NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                      WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema')",
    );
    Ok(diesel::select(empty).get_result(conn).await?)
}

/// Whether a role of this name is there, which a dump can grant to but not create.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn has_role(conn: &mut Connection, name: &str) -> DbResult<bool> {
    let exists =
        sql::<Bool>("EXISTS (SELECT FROM pg_roles WHERE rolname = ").bind::<Text, _>(name).sql(")");
    Ok(diesel::select(exists).get_result(conn).await?)
}

/// The roles of the services: those that may append to the ledger without owning it.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn services_roles(conn: &mut Connection) -> DbResult<Vec<String>> {
    let roles = sql::<Array<Text>>(
        "ARRAY(SELECT r.rolname::text FROM pg_class c, aclexplode(c.relacl) a \
                 JOIN pg_roles r ON r.oid = a.grantee \
                WHERE c.oid = 'public.ledger'::regclass AND a.privilege_type = 'INSERT' \
                  AND a.grantee <> c.relowner ORDER BY 1)",
    );
    Ok(diesel::select(roles).get_result(conn).await?)
}

/// Makes a restored copy a separate arena, in one transaction. It gets a new identity, so that it
/// refuses tokens and cursors of the other arena: bots registered since the copy are lost and their
/// ids are assigned again. It keeps no answers with secrets, whose tokens are invalid here, no
/// events, whose positions are transaction ids of another cluster, and no progress of
/// verifications. A repeated call is safe and draws another identity.
///
/// # Errors
/// If Postgres refuses, for example without the owner's rights: see [`DbError`]. Then nothing was
/// changed.
#[crate::boxed]
pub async fn begin_anew(owner_url: &str) -> DbResult<()> {
    let mut conn = connect_owner(owner_url).await?;
    // The right to connect is not set in another cluster's database.
    conn.transaction::<_, DbError, _>(async |conn| {
        conn.batch_execute(
            "TRUNCATE events; \
             UPDATE events_horizon SET xid = pg_current_xact_id(), id = 9223372036854775807; \
             UPDATE arena_identity SET id = gen_random_uuid(); \
             DELETE FROM leases; \
             TRUNCATE verified_heads; \
             DELETE FROM idempotency_keys WHERE encrypted; \
             DO $$ DECLARE role name; BEGIN \
                EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()); \
                FOR role IN SELECT r.rolname FROM pg_class c, aclexplode(c.relacl) a \
                              JOIN pg_roles r ON r.oid = a.grantee \
                             WHERE c.oid = 'public.ledger'::regclass AND a.privilege_type = 'INSERT' \
                               AND a.grantee <> c.relowner \
                LOOP \
                    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role); \
                    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role); \
                END LOOP; \
             END $$; \
             REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
        .await?;
        Ok(())
    })
    .await?;
    // Without statistics the first audit and the first ticks would read everything.
    conn.batch_execute("SET statement_timeout = 0").await?;
    conn.batch_execute("VACUUM (ANALYZE)").await?;
    Ok(())
}
