//! What a dump of the database does not carry by itself: what it was taken of, and what must be
//! different once it has come to life in another place.

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

/// Whose credentials are whose: bots in order of their ids, with what their keys and secrets are held
/// against, and what was before while that is still good.
const CREDENTIALS: &str = "COPY (SELECT b.id, b.handle, b.hosted, b.api_key_hash, \
           encode(b.api_secret_sha256, 'hex'), b.credential_version, \
           s.version, s.api_key_hash, encode(s.api_secret_sha256, 'hex'), \
           (extract(epoch FROM s.valid_until) * 1000000)::bigint \
      FROM bots b LEFT JOIN superseded_credentials s ON s.bot_id = b.id ORDER BY b.id) TO STDOUT";

/// What an audit and a dump of one moment came to.
pub struct Dumped<T> {
    pub audit: Report,
    pub credentials: Hash,
    pub dump: T,
}

/// Audits one consistent snapshot and hands its name to `dump`, which sees the same moment for as
/// long as it runs.
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
/// When Postgres cannot be asked: see [`DbError`].
pub async fn credentials(database: &Database) -> DbResult<Hash> {
    digest_of_credentials(&database.dedicated().await?).await
}

async fn digest_of_credentials(client: &Client) -> DbResult<Hash> {
    let rows = client.copy_out(CREDENTIALS).await?;
    let hasher =
        rows.try_fold(Sha256::new(), async |hasher, bytes| Ok(hasher.chain_update(&bytes))).await?;
    Ok(Hash(hasher.finalize().into()))
}

/// Whether this role may do more to the server than to databases of its own: a dump runs as whoever
/// restores it.
///
/// # Errors
/// When Postgres cannot be asked: see [`DbError`].
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
/// When Postgres cannot be asked: see [`DbError`].
pub async fn newest_migration(conn: &mut Connection) -> DbResult<Option<String>> {
    let newest = sql::<Nullable<Text>>("(SELECT max(version) FROM __diesel_schema_migrations)");
    Ok(diesel::select(newest).get_result(conn).await?)
}

/// The server's major version.
///
/// # Errors
/// When Postgres cannot be asked: see [`DbError`].
pub async fn server_major(conn: &mut Connection) -> DbResult<i64> {
    let major = sql::<BigInt>("current_setting('server_version_num')::bigint / 10000");
    Ok(diesel::select(major).get_result(conn).await?)
}

/// Whether nothing of anybody's is in this database yet.
///
/// # Errors
/// When Postgres cannot be asked: see [`DbError`].
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
/// When Postgres cannot be asked: see [`DbError`].
pub async fn has_role(conn: &mut Connection, name: &str) -> DbResult<bool> {
    let exists =
        sql::<Bool>("EXISTS (SELECT FROM pg_roles WHERE rolname = ").bind::<Text, _>(name).sql(")");
    Ok(diesel::select(exists).get_result(conn).await?)
}

/// The roles that the services have: who may append to the ledger without owning it.
///
/// # Errors
/// When Postgres cannot be asked: see [`DbError`].
pub async fn services_roles(conn: &mut Connection) -> DbResult<Vec<String>> {
    let roles = sql::<Array<Text>>(
        "ARRAY(SELECT r.rolname::text FROM pg_class c, aclexplode(c.relacl) a \
                 JOIN pg_roles r ON r.oid = a.grantee \
                WHERE c.oid = 'public.ledger'::regclass AND a.privilege_type = 'INSERT' \
                  AND a.grantee <> c.relowner ORDER BY 1)",
    );
    Ok(diesel::select(roles).get_result(conn).await?)
}

/// Makes a restored copy an arena of its own, in one transaction: a new identity, because bots that
/// were registered since the copy was taken are gone and their ids come again, so that tokens and
/// cursors of the other arena are refused; no kept answers with secrets, whose tokens are dead here; no
/// events, whose positions are transaction ids of another cluster; and nobody's word that chains were
/// verified. Told again it draws another identity and does no harm.
///
/// # Errors
/// When Postgres refuses, for want of the owner's rights, say: see [`DbError`]. Then nothing was changed.
pub async fn begin_anew(owner_url: &str) -> DbResult<()> {
    let mut conn = connect_owner(owner_url).await?;
    // Another cluster's database was not told who may connect to it.
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
