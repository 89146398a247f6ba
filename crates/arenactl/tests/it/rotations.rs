//! Rotations as an operator starts them: each is in the audit log under its operator's name.

use std::fs;
use std::process::{Child, Stdio};

use cache::passwords::PasswordAdmin;
use db::roles::RoleAdmin;
use url::Url;

use crate::bench::Bench;

/// A rotation of `bench`, whose `.env` is `settings` and whose environment has no more than it must.
fn rotate(
    bench: &Bench,
    settings: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Child {
    fs::write(bench.dir.path().join(".env"), settings).unwrap();
    let mut command = bench.bare_command(arguments);
    command
        .args(["--by", "ada", "--json"])
        .env("BOTS_ENV_FILE", bench.keys_file())
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A role that stands where the services' role stands, in this arena's database alone; its URL.
async fn stand_in(bench: &Bench) -> String {
    let mut admin_url = Url::parse(&test_kit::superuser_url()).unwrap();
    let mut url = Url::parse(&bench.arena.database_url()).unwrap();
    admin_url.set_path(url.path());
    let role = format!("stand_in_{}", uuid::Uuid::new_v4().simple());
    let mut admin = RoleAdmin::open(admin_url.as_str()).await.unwrap();
    admin.succeed("arena_app", &role, "first").await.unwrap();
    drop(admin);
    let client = test_kit::connect(admin_url.as_str()).await;
    let over = format!("COMMENT ON ROLE {role} IS NULL; REVOKE ALL ON ledger FROM arena_app");
    client.batch_execute(&over).await.unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("first")).unwrap();
    url.into()
}

async fn redis_user(name: &str) -> String {
    let mut url = Url::parse(&test_kit::redis_url()).unwrap();
    let admin = PasswordAdmin::open(url.as_str()).await.unwrap();
    admin.make(name, "first").await.unwrap();
    url.set_username(name).unwrap();
    url.set_password(Some("first")).unwrap();
    url.into()
}

/// All at once: each gives running services their time to go over.
#[tokio::test]
async fn each_is_in_the_audit_log_under_its_operators_name() {
    const OLD: &str = "a-secret-of-more-than-32-characters-x";
    let benches = [Bench::new().await, Bench::new().await, Bench::new().await, Bench::new().await];
    let [role, redis, secret_key, admin_token] = &benches;
    let database_url = stand_in(role).await;
    let admin_url = test_kit::superuser_url();
    let redis_url = test_kit::redis_url();
    let redis_user = redis_user(&format!("user_{}", uuid::Uuid::new_v4().simple())).await;
    let secrets = format!("SECRET_KEY={OLD}\nADMIN_TOKEN={OLD}\n");
    let of = |bench: &Bench| bench.arena.database_url();
    let children = [
        rotate(
            role,
            &format!("DATABASE_URL={database_url}\n"),
            &["rotate-role", "app"],
            &[("DATABASE_ADMIN_URL", &admin_url), ("REDIS_URL", &redis_url)],
        ),
        rotate(
            redis,
            &format!("REDIS_URL={redis_user}\n"),
            &["rotate-redis"],
            &[("REDIS_ADMIN_URL", &redis_url), ("DATABASE_URL", &of(redis))],
        ),
        rotate(
            secret_key,
            &secrets,
            &["rotate-secret-key", "--finish"],
            &[("REDIS_URL", &redis_url), ("DATABASE_URL", &of(secret_key))],
        ),
        rotate(
            admin_token,
            &secrets,
            &["rotate-admin-token", "--finish"],
            &[("REDIS_URL", &redis_url), ("DATABASE_URL", &of(admin_token))],
        ),
    ];
    let actions = ["ROTATE_ROLE", "ROTATE_REDIS", "ROTATE_SECRET_KEY", "ROTATE_ADMIN_TOKEN"];
    for ((bench, child), action) in benches.iter().zip(children).zip(actions) {
        let ran = bench.wait(child);
        let recorded =
            format!("SELECT count(*) FROM audit_log WHERE action = '{action}' AND actor = 'ada'");
        assert_eq!(bench.number(&recorded).await, 1, "{action}: {}{}", ran.stdout, ran.stderr);
        // Remaining objects of arena_app in that one database are reported, as a failure.
        let ran = ran.ended_with(i32::from(action == "ROTATE_ROLE"));
        assert!(ran.json()["credentials"]["checks"].is_array());
    }
}
