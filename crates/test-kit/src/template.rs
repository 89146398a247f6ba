//! The migrated template database, made once for each state of `migrations/`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

use tokio::sync::OnceCell;
use tokio_postgres::Client;
use uuid::Uuid;

const OWNER: &str = "arena_owner";
const APP: &str = "arena_app";
const PASSWORD: &str = "for-tests-only";
/// Held while roles and template are made: "TEMPLATE" in ASCII.
const TEMPLATE_LOCK: i64 = 0x5445_4d50_4c41_5445;

pub(crate) fn variable(name: &str) -> String {
    #[allow(clippy::disallowed_methods, reason = "tests are told where their services are")]
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run tests by `make test`, or one crate's by `scripts/with-test-services cargo test -p CRATE`")
    })
}

fn url_of(user: Option<&str>, database: &str) -> String {
    let url = variable("TEST_DATABASE_URL");
    let (scheme, rest) = url.split_once("://").expect("a URL with a scheme");
    let (credentials, host) = rest.rsplit_once('@').expect("a URL with credentials");
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    match user {
        Some(user) => format!("{scheme}://{user}:{PASSWORD}@{host}/{database}"),
        None => format!("{scheme}://{credentials}@{host}/{database}"),
    }
}

pub(crate) fn app_url(database: &str) -> String {
    url_of(Some(APP), database)
}

pub(crate) fn owner_url(database: &str) -> String {
    url_of(Some(OWNER), database)
}

pub(crate) fn superuser_url(database: &str) -> String {
    url_of(None, database)
}

pub(crate) async fn connect(url: &str) -> Client {
    crate::connect(url).await
}

/// A separate database for one test. It goes with the cluster.
pub(crate) async fn clone_database() -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(make_template).await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    let admin = connect(&superuser_url("postgres")).await;
    let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}");
    admin.batch_execute(&create).await.unwrap();
    name
}

/// A database without anything, which the schema's owner owns.
pub(crate) async fn empty_database() -> String {
    empty_database_with("").await
}

/// The same with further words for `CREATE DATABASE`.
pub(crate) async fn empty_database_with(options: &str) -> String {
    let name = format!("test_{}", Uuid::new_v4().simple());
    let admin = connect(&superuser_url("postgres")).await;
    lock_templates(&admin).await;
    make_roles(&admin).await;
    unlock_templates(&admin).await;
    let create = format!("CREATE DATABASE {name} OWNER {OWNER} {options}");
    admin.batch_execute(&create).await.unwrap();
    name
}

/// A separate database that is migrated here, after `sql` ran in the empty one with a superuser's rights. No
/// template: what the migrations find decides what they make.
pub(crate) async fn migrate_after(sql: &str) -> String {
    let name = format!("test_{}", Uuid::new_v4().simple());
    let admin = connect(&superuser_url("postgres")).await;
    lock_templates(&admin).await;
    make_roles(&admin).await;
    unlock_templates(&admin).await;
    let create = format!("CREATE DATABASE {name} OWNER {OWNER}");
    admin.batch_execute(&create).await.unwrap();
    let empty = connect(&superuser_url(&name)).await;
    empty.batch_execute(sql).await.unwrap();
    db::migrations::run(&owner_url(&name)).await.unwrap();
    name
}

/// Several test binaries may get here at once.
async fn lock_templates(admin: &Client) {
    admin.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
}

async fn unlock_templates(admin: &Client) {
    admin.execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
}

async fn make_roles(admin: &Client) {
    for role in [OWNER, APP] {
        let create = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \
             THEN CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; END IF; END $$"
        );
        admin.batch_execute(&create).await.unwrap();
    }
}

async fn make_template() -> String {
    let name = format!("template_{:016x}", migrations_fingerprint());
    let admin = connect(&superuser_url("postgres")).await;
    lock_templates(&admin).await;
    let known = admin
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap()
        .is_some();
    if !known {
        make_roles(&admin).await;
        // Under another name until it is whole: a killed test run leaves no half template behind.
        let draft = format!("draft_{}", Uuid::new_v4().simple());
        admin.batch_execute(&format!("CREATE DATABASE {draft} OWNER {OWNER}")).await.unwrap();
        db::migrations::run(&owner_url(&draft)).await.unwrap();
        spread_sequences(&draft).await;
        disconnect_everybody(&admin, &draft).await;
        admin.batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}")).await.unwrap();
    }
    unlock_templates(&admin).await;
    name
}

async fn spread_sequences(database: &str) {
    let client = connect(&superuser_url(database)).await;
    let rows = client
        .query("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1", &[])
        .await
        .unwrap();
    for (index, row) in rows.iter().enumerate() {
        let sequence: &str = row.get(0);
        let start = (index + 1) * 10_000;
        let restart = format!("ALTER SEQUENCE {sequence} RESTART WITH {start}");
        client.batch_execute(&restart).await.unwrap();
    }
}

/// A template must have no sessions; those just dropped may still be on their way out.
async fn disconnect_everybody(admin: &Client, database: &str) {
    crate::eventually("the template has no sessions", || async {
        let gone = admin
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                &[&database],
            )
            .await
            .unwrap()
            .is_empty();
        gone.then_some(())
    })
    .await;
}

fn migrations_fingerprint() -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files: Vec<_> = std::fs::read_dir(&root)
        .expect("a directory of migrations")
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.strip_prefix(&root).unwrap().hash(&mut hasher);
        std::fs::read(&file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}
