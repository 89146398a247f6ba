//! Login roles: a new role replaces another, to rotate its credentials.
//!
//! All state is in Postgres. A comment marks a successor as long as its predecessor exists, so that
//! an interrupted rotation can be continued. Each function is one transaction or one statement, and
//! does nothing the second time.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use crate::error::{DbError, DbResult};
use crate::opening::{connect_raw, split_pooler};
use crate::pool::Database;

/// "ROLES" in ASCII; one rotation at a time in a database.
const ROTATION_LOCK: i64 = 0x52_4f4c_4553;
const MARK: &str = "Takes the place of ";
/// Changing an owner locks tables for an instant. It must not queue before the services for long:
/// rather it tries again.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Settings whose stored form is a list of quoted names already.
const NAME_LISTS: &str = "'local_preload_libraries', 'search_path', 'session_preload_libraries', \
    'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories'";

const GRANTABLE: &str = "CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END";

/// The rights of the role `$1`, as statements that grant them to `$2`.
const SAME_FOR: &str = "
WITH old AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
database_settings AS (
    SELECT CASE WHEN d.datname IS NULL THEN '' ELSE format(' IN DATABASE %I', d.datname) END AS place,
           split_part(pair, '=', 1) AS name,
           substr(pair, strpos(pair, '=') + 1) AS value
    FROM old JOIN pg_db_role_setting s ON s.setrole = old.oid
    LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS pair)
SELECT format('GRANT %I TO %I%s', r.rolname, $2::text,
              CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END) AS statement
FROM old JOIN pg_auth_members m ON m.member = old.oid JOIN pg_roles r ON r.oid = m.roleid
UNION SELECT format('GRANT %I TO %I%s', $2::text, r.rolname,
              CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM old JOIN pg_auth_members m ON m.roleid = old.oid JOIN pg_roles r ON r.oid = m.member
WHERE r.rolname <> $2::text
UNION SELECT format('ALTER ROLE %I%s SET %s TO %s', $2::text, place, name,
              CASE WHEN lower(name) IN (NAME_LISTS) THEN value ELSE quote_literal(value) END)
FROM database_settings
UNION SELECT format('GRANT %s ON DATABASE %I TO %I%s', a.privilege_type, d.datname, $2::text, GRANTABLE)
FROM old, pg_database d, aclexplode(d.datacl) a
WHERE a.grantee = old.oid
UNION SELECT format('GRANT %s ON SCHEMA %I TO %I%s', a.privilege_type, n.nspname, $2::text, GRANTABLE)
FROM old, pg_namespace n, aclexplode(n.nspacl) a
WHERE a.grantee = old.oid
UNION SELECT format('GRANT %s ON %s %I.%I TO %I%s', a.privilege_type,
              CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, $2::text,
              GRANTABLE)
FROM old, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE a.grantee = old.oid AND c.relowner <> old.oid
UNION SELECT format('GRANT %s (%I) ON TABLE %I.%I TO %I%s', a.privilege_type, t.attname, n.nspname, c.relname,
              $2::text, GRANTABLE)
FROM old, pg_attribute t JOIN pg_class c ON c.oid = t.attrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(t.attacl) a
WHERE a.grantee = old.oid AND NOT t.attisdropped
UNION SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I%s', p.oid::regprocedure, $2::text, GRANTABLE)
FROM old, pg_proc p, aclexplode(p.proacl) a
WHERE a.grantee = old.oid AND p.proowner <> old.oid
UNION SELECT format('GRANT USAGE ON TYPE %s TO %I%s', t.oid::regtype, $2::text, GRANTABLE)
FROM old, pg_type t, aclexplode(t.typacl) a
WHERE a.grantee = old.oid AND t.typowner <> old.oid
UNION SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON %s TO %s%s',
              CASE WHEN f.defaclrole = old.oid THEN $2::text ELSE r.rolname END,
              CASE WHEN n.nspname IS NULL THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END, a.privilege_type,
              CASE f.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                   WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' WHEN a.grantee = old.oid THEN quote_ident($2::text)
                   ELSE quote_ident(g.rolname) END,
              GRANTABLE)
FROM old, pg_default_acl f JOIN pg_roles r ON r.oid = f.defaclrole
     LEFT JOIN pg_namespace n ON n.oid = f.defaclnamespace, aclexplode(f.defaclacl) a
     LEFT JOIN pg_roles g ON g.oid = a.grantee
WHERE old.oid IN (f.defaclrole, a.grantee)
ORDER BY statement";

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub pid: i32,
    pub application: String,
    pub database: String,
}

/// A superuser's session in the database whose roles are to change.
pub struct RoleAdmin {
    client: Client,
}

/// The role that the URL logs in as.
pub fn role_of(url: &str) -> Option<String> {
    // The driver does not support our parameters.
    let (url, _) = crate::tls::split(&split_pooler(url).0).ok()?;
    let config: tokio_postgres::Config = url.parse().ok()?;
    config.get_user().map(str::to_owned)
}

/// The rights of a login by the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub reads: bool,
    pub appends: bool,
    pub rewrites: bool,
    pub owns_ledger: bool,
}

/// Logs in and reads that role's rights on the ledger.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn standing(url: &str) -> DbResult<Standing> {
    let client = connect_raw(url).await?;
    let ask = "SELECT has_table_privilege('ledger', 'SELECT'), \
        has_table_privilege('ledger', 'INSERT'), \
        has_table_privilege('ledger', 'UPDATE') OR has_table_privilege('ledger', 'DELETE') \
        OR has_table_privilege('ledger', 'TRUNCATE'), \
        pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'ledger'::regclass";
    let row = client.query_one(ask, &[]).await?;
    Ok(Standing {
        reads: row.get(0),
        appends: row.get(1),
        rewrites: row.get(2),
        owns_ledger: row.get(3),
    })
}

/// Roles that may append to the ledger, by a grant or through another role whose rights they have or can take
/// (`SET ROLE`), and are neither `role` nor its successor or predecessor in a rotation. Superusers, the ledger's
/// owner and its members are excluded. A role without login through which `role` has its rights does not count:
/// the migrations grant to such a one in a fresh cluster under settings whose role was rotated.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn others_that_append(database: &Database, role: &str) -> DbResult<Vec<String>> {
    let ask = "WITH ledger AS (SELECT oid, relowner FROM pg_class WHERE oid = 'public.ledger'::regclass), \
         granted AS (SELECT g.oid FROM pg_roles g, ledger l \
                      WHERE has_table_privilege(g.oid, l.oid, 'INSERT') AND NOT g.rolsuper \
                        AND NOT pg_has_role(g.oid, l.relowner, 'USAGE')), \
         own AS (SELECT oid FROM pg_roles WHERE rolname = $1::text) \
         SELECT r.rolname::text FROM pg_roles r, ledger l \
         WHERE EXISTS (SELECT FROM granted g WHERE pg_has_role(r.oid, g.oid, 'MEMBER')) \
           AND NOT r.rolsuper AND NOT pg_has_role(r.oid, l.relowner, 'USAGE') AND r.rolname !~ '^pg_' AND r.rolname <> $1::text \
           AND shobj_description(r.oid, 'pg_authid') IS DISTINCT FROM $2::text || $1::text \
           AND NOT EXISTS (SELECT FROM own WHERE shobj_description(own.oid, 'pg_authid') = $2::text || r.rolname::text) \
           AND (r.rolcanlogin OR NOT EXISTS (SELECT FROM own WHERE pg_has_role(own.oid, r.oid, 'MEMBER'))) \
         ORDER BY 1";
    let client = database.dedicated().await?;
    let rows = client.query(ask, &[&role, &MARK]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

impl RoleAdmin {
    /// Logs in without waiting for the lock: two rotations at once are a mistake.
    ///
    /// # Errors
    /// [`DbError::Unavailable`] when the role cannot log in; [`DbError::Query`] while another rotation is at
    /// work.
    #[crate::boxed]
    pub async fn open(url: &str) -> DbResult<RoleAdmin> {
        let client = connect_raw(url).await?;
        let ask =
            "SELECT rolsuper, pg_try_advisory_lock($1) FROM pg_roles WHERE rolname = current_user";
        let row = client.query_one(ask, &[&ROTATION_LOCK]).await?;
        if !row.get::<_, bool>(0) {
            return Err(DbError::Query("the role is not a superuser".to_owned()));
        }
        if !row.get::<_, bool>(1) {
            return Err(DbError::Query("another rotation is running".to_owned()));
        }
        client.batch_execute("SET lock_timeout = '300ms'").await?;
        Ok(RoleAdmin { client })
    }

    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn exists(&self, role: &str) -> DbResult<bool> {
        let ask = "SELECT FROM pg_roles WHERE rolname = $1";
        Ok(self.client.query_opt(ask, &[&role]).await?.is_some())
    }

    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn is_superuser(&self, role: &str) -> DbResult<bool> {
        let ask = "SELECT FROM pg_roles WHERE rolname = $1 AND rolsuper";
        Ok(self.client.query_opt(ask, &[&role]).await?.is_some())
    }

    /// The predecessor of the role, while it exists.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn predecessor(&self, role: &str) -> DbResult<Option<String>> {
        let ask = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
        let row = self.client.query_opt(ask, &[&role]).await?;
        let comment: Option<String> = row.and_then(|row| row.get(0));
        let name = comment.and_then(|text| text.strip_prefix(MARK).map(str::to_owned));
        match name {
            Some(name) if self.exists(&name).await? => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// Makes `new` a role like `old`, with that password: attributes, settings, memberships and
    /// privileges, all or nothing. One that was made before is brought to the same state.
    ///
    /// # Errors
    /// When Postgres refuses: see [`DbError`]. Then nothing was changed.
    #[crate::boxed(?Send)]
    pub async fn succeed(&mut self, old: &str, new: &str, password: &str) -> DbResult<()> {
        // The server, and perhaps its log, gets only a hash and no password.
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let known = self.exists(new).await?;
        self.patiently(async |transaction| {
            if !known {
                run(transaction, "format('CREATE ROLE %I', $1::text)", &[new]).await?;
            }
            let attributes = "(SELECT format('ALTER ROLE %I LOGIN %s %s %s %s %s CONNECTION LIMIT %s \
                PASSWORD %L', $1::text, \
                CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END, \
                CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, \
                CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END, \
                CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END, \
                CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, \
                rolconnlimit, $2::text) FROM pg_roles WHERE rolname = $3::text)";
            run(transaction, attributes, &[new, &verifier, old]).await?;
            let mark = format!("{MARK}{old}");
            let comment = "format('COMMENT ON ROLE %I IS %L', $1::text, $2::text)";
            run(transaction, comment, &[new, &mark]).await?;
            let ask = SAME_FOR.replace("NAME_LISTS", NAME_LISTS);
            let ask = ask.replace("GRANTABLE", GRANTABLE);
            for row in transaction.query(&ask, &[&old, &new]).await? {
                transaction.batch_execute(row.get(0)).await?;
            }
            Ok(())
        })
        .await
    }

    /// Transfers the objects of `old` in this database to `new`: the database first, then all in
    /// it.
    ///
    /// # Errors
    /// When Postgres refuses: see [`DbError`].
    #[crate::boxed(?Send)]
    pub async fn hand_over(&mut self, old: &str, new: &str) -> DbResult<()> {
        self.patiently(async |transaction| {
            let ask = "SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba \
                WHERE d.datname = current_database() AND r.rolname = $1";
            if transaction.query_opt(ask, &[&old]).await?.is_some() {
                let database =
                    "format('ALTER DATABASE %I OWNER TO %I', current_database(), $1::text)";
                run(transaction, database, &[new]).await?;
            }
            let all = "format('REASSIGN OWNED BY %I TO %I', $1::text, $2::text)";
            run(transaction, all, &[old, new]).await
        })
        .await
    }

    /// The sessions of the role, in any database.
    ///
    /// # Errors
    /// If Postgres does not answer: see [`DbError`].
    #[crate::boxed]
    pub async fn sessions(&self, role: &str) -> DbResult<Vec<RoleSession>> {
        let ask = "SELECT pid, application_name, coalesce(datname, '') FROM pg_stat_activity \
            WHERE usename = $1 ORDER BY 2, 1";
        let rows = self.client.query(ask, &[&role]).await?;
        let session = |row: &tokio_postgres::Row| RoleSession {
            pid: row.get(0),
            application: row.get(1),
            database: row.get(2),
        };
        Ok(rows.iter().map(session).collect())
    }

    /// No new session can use the role.
    ///
    /// # Errors
    /// When Postgres refuses: see [`DbError`].
    #[crate::boxed(?Send)]
    pub async fn close(&mut self, role: &str) -> DbResult<()> {
        let no_login = "format('ALTER ROLE %I NOLOGIN', $1::text)";
        self.patiently(async |transaction| run(transaction, no_login, &[role]).await).await
    }

    /// Ends the role, and with it the mark on the one that took its place.
    ///
    /// # Errors
    /// If Postgres refuses, for example because the role still owns something: see [`DbError`].
    #[crate::boxed(?Send)]
    pub async fn remove(&mut self, old: &str, new: &str) -> DbResult<()> {
        self.patiently(async |transaction| {
            run(transaction, "format('DROP OWNED BY %I', $1::text)", &[old]).await?;
            run(transaction, "format('DROP ROLE %I', $1::text)", &[old]).await?;
            let unmark = "format('COMMENT ON ROLE %I IS NULL', $1::text)";
            run(transaction, unmark, &[new]).await
        })
        .await
    }

    /// Runs the work in a transaction, again if another transaction held its locks.
    async fn patiently(
        &mut self,
        work: impl AsyncFn(&Transaction<'_>) -> Result<(), tokio_postgres::Error>,
    ) -> DbResult<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let transaction = self.client.transaction().await?;
            let outcome = match work(&transaction).await {
                Ok(()) => transaction.commit().await,
                Err(error) => {
                    transaction.rollback().await?;
                    Err(error)
                }
            };
            match outcome {
                Err(error) if tries < LOCK_TRIES && is_passing(&error) => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(error) => return Err(told(&error)),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// Runs the statement that the expression makes of the values: Postgres quotes them, and takes no
/// parameters in statements of this kind.
async fn run(
    transaction: &Transaction<'_>,
    expression: &str,
    values: &[&str],
) -> Result<(), tokio_postgres::Error> {
    let values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    let row = transaction.query_one(&format!("SELECT {expression}"), &values).await?;
    transaction.batch_execute(row.get(0)).await
}

fn is_passing(error: &tokio_postgres::Error) -> bool {
    // The last is Postgres' error for two concurrent changes of one catalogue row.
    let passing =
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::INTERNAL_ERROR];
    error.code().is_some_and(|code| passing.contains(code))
}

/// With the detail, which lists objects that still depend on a role.
fn told(error: &tokio_postgres::Error) -> DbError {
    match error.as_db_error() {
        Some(refusal) => {
            let detail = refusal.detail().map(|detail| format!(" ({detail})"));
            DbError::Query(format!("{}{}", refusal.message(), detail.unwrap_or_default()))
        }
        None => DbError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::role_of;

    #[test]
    fn a_url_names_its_role_whatever_else_it_says() {
        for parameters in [
            "",
            "?pooler=transaction",
            "?sslmode=verify-full&sslrootcert=/ca.pem",
            "?application_name=x&sslmode=require",
        ] {
            let url = format!("postgres://an%20odd_role:p@h/d{parameters}");
            assert_eq!(role_of(&url).as_deref(), Some("an odd_role"), "{url}");
        }
        assert_eq!(role_of("no URL"), None);
    }
}
