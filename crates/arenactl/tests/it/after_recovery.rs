//! The last step after a recovery of Postgres to a point in time: a new identity, and no change if the schema
//! differs.

use serde_json::json;

use crate::bench::Bench;

async fn identity(bench: &Bench) -> uuid::Uuid {
    let client = bench.arena.owner_client().await;
    let row = client.query_one("SELECT id FROM arena_identity", &[]).await;
    row.unwrap().get(0)
}

const RECORDED: &str =
    "SELECT count(*) FROM audit_log WHERE action = 'AFTER_RECOVERY' AND actor = 'ada'";

#[tokio::test]
async fn what_was_put_back_is_an_arena_of_its_own_and_the_log_says_who_made_it_one() {
    let bench = Bench::new().await;
    bench.arena.bot().create().await;
    let before = identity(&bench).await;
    let ran = bench.run(&["after-recovery", "--by", "ada", "--json"]).ended_with(0).json();
    assert_ne!(identity(&bench).await, before);
    assert_eq!(bench.number(RECORDED).await, 1);
    assert_eq!((&ran["sound"], &ran["bots"]), (&json!(true), &json!(1)));
    assert_eq!(ran["schema_differences"], json!([]));
    let kept = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM leases)";
    assert_eq!(bench.number(kept).await, 0);
}

#[tokio::test]
async fn a_changed_schema_is_named_and_its_triggers_do_not_run() {
    let bench = Bench::new().await;
    bench.arena.bot().create().await;
    let before = identity(&bench).await;
    let tampering = "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''it ran''; END'; \
         CREATE TRIGGER look BEFORE UPDATE ON arena_identity EXECUTE FUNCTION look()";
    let owner = bench.arena.owner_client().await;
    owner.batch_execute(tampering).await.unwrap();
    let ran = bench.run(&["after-recovery"]).ended_with(1);
    for part in ["trigger CREATE TRIGGER look", "--accept-schema", "nothing was changed"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("it ran"), "{}", ran.stderr);
    assert_eq!(identity(&bench).await, before);
    // An operator who made the change can continue, and sees the differences.
    let harmless = "DROP TRIGGER look ON arena_identity";
    owner.batch_execute(harmless).await.unwrap();
    let ran = bench.run(&["after-recovery", "--accept-schema"]).ended_with(0);
    let named = "accepted: is there and should not be: function public.look()";
    assert!(ran.stdout.contains(named), "{}", ran.stdout);
    assert_ne!(identity(&bench).await, before);
}

/// The log is full: its numbers are used up.
pub(crate) async fn no_more_acts_fit(client: &tokio_postgres::Client) {
    let full = "SELECT setval(pg_get_serial_sequence('audit_log', 'id'), 9223372036854775807)";
    client.batch_execute(full).await.unwrap();
}

#[tokio::test]
async fn an_act_that_is_over_is_reported_whatever_becomes_of_the_log() {
    let bench = Bench::new().await;
    no_more_acts_fit(&bench.arena.owner_client().await).await;
    let before = identity(&bench).await;
    let ran = bench.run(&["after-recovery", "--json"]).ended_with(1);
    assert!(
        ran.stderr.contains("AFTER_RECOVERY is done, but not in the audit log"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.json()["sound"], true);
    assert_ne!(identity(&bench).await, before);
}
