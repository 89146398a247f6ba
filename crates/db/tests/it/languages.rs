//! Errors are recognised by codes, also on a server with another language.

use db::bots::{self, Credentials, NewBot};
use db::error::Conflict;
use db::usage::{self, Usage, UsageReport};
use db::{Database, DatabaseConfig, DbError};
use ledger_core::BotId;
use ledger_core::economy::Enforcement::Observe;
use test_kit::{Arena, eventually};

const LOCALE: &str = "de_DE.UTF-8";

/// The arena's database as sessions see it that begin now: in German. `None` where the machine has no
/// German.
async fn german(arena: &Arena) -> Option<Database> {
    let superuser = arena.owner_client().await;
    let row = superuser
        .query_one(
            "SELECT format('ALTER DATABASE %I SET lc_messages = %L', current_database(), $1::text)",
            &[&LOCALE],
        )
        .await
        .unwrap();
    if let Err(error) = superuser.batch_execute(row.get(0)).await {
        let told = format!(
            "{LOCALE} is missing, so errors in another language are not tested ({error}): \
             apt-get install locales && localedef -i de_DE -f UTF-8 {LOCALE}"
        );
        #[allow(clippy::disallowed_methods, reason = "tests are told what they must not leave out")]
        let must_not_be_left_out = std::env::var("TEST_LC_MESSAGES").is_ok();
        assert!(!must_not_be_left_out, "{told}");
        eprintln!("{told}");
        return None;
    }
    let speaks = arena.owner_client().await;
    let refused = speaks.query_one("SELECT 1/0", &[]).await.unwrap_err();
    let message = refused.as_db_error().unwrap().message();
    assert_eq!(message, "Division durch Null", "the server's messages are not translated");
    let config = DatabaseConfig { url: arena.database_url(), pool_size: 4 };
    Some(Database::connect(config).await.unwrap())
}

fn report(bot_id: BotId) -> UsageReport {
    let usage = Usage {
        provider: "mock".to_owned(),
        model: "mock".to_owned(),
        llm_calls: 1,
        unreported_calls: 0,
        input_tokens: 1,
        output_tokens: 1,
        cached_input_tokens: None,
        reasoning_tokens: None,
        cost_usd: None,
        priced_usd: None,
    };
    UsageReport { bot_id, usage, note: String::new() }
}

async fn record(database: &Database, bot_id: BotId) -> Result<(), DbError> {
    let mut conn = database.get().await?;
    let done = usage::report(&mut conn, &report(bot_id), Observe, None).await;
    done.map(drop)
}

#[tokio::test]
async fn what_passes_by_itself_is_known_in_german() {
    let arena = Arena::new().await;
    let Some(database) = german(&arena).await else {
        return;
    };
    let bot = arena.bot().create().await.id;
    let holder = arena.owner_client().await;
    let hold = "BEGIN; SELECT FROM wallets FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    // A time-out for the lock, a statement that is cancelled, a session that is ended.
    let timed_out = record(&database, bot).await.unwrap_err();
    assert!(timed_out.retryable(), "{timed_out:?}");
    assert!(timed_out.to_string().contains("Zeit"), "{timed_out}");
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let interrupt = eventually("the report waits for the wallet", || async {
            let sql = format!(
                "SELECT {end}(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND wait_event_type = 'Lock'"
            );
            let client = arena.owner_client().await;
            client.query_opt(&sql, &[]).await.unwrap()
        });
        let (ended, _) = tokio::join!(record(&database, bot), interrupt);
        let ended = ended.unwrap_err();
        assert!(ended.retryable(), "{end}: {ended:?}");
    }
    holder.batch_execute("ROLLBACK").await.unwrap();
    eventually("a report is taken again", || async { record(&database, bot).await.ok() }).await;
}

#[tokio::test]
async fn a_deadlock_is_known_in_german() {
    let arena = Arena::new().await;
    let Some(database) = german(&arena).await else {
        return;
    };
    let bot = arena.bot().create().await.id;
    let holder = arena.owner_client().await;
    // The report has locked the wallet and waits for the totals; their holder waits for the wallet.
    record(&database, bot).await.unwrap();
    holder
        .batch_execute(
            "BEGIN; SET LOCAL deadlock_timeout = '60s'; SELECT FROM agent_totals FOR UPDATE",
        )
        .await
        .unwrap();
    let closing = async {
        eventually("the report waits for the totals", || async {
            let sql = "SELECT pid FROM pg_stat_activity \
                        WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let client = arena.owner_client().await;
            client.query_opt(sql, &[]).await.unwrap()
        })
        .await;
        holder.batch_execute("SELECT FROM wallets FOR UPDATE").await
    };
    let (refused, _) = tokio::join!(record(&database, bot), closing);
    let refused = refused.unwrap_err();
    assert!(refused.retryable(), "{refused:?}");
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_known_in_german() {
    let arena = Arena::new().await;
    let Some(database) = german(&arena).await else {
        return;
    };
    let taken = arena.bot().handle("mia").create().await;
    let owner = arena.owner_client().await;
    // Of a pipeline whose first statement fails, the first failure counts.
    owner.batch_execute("ALTER TABLE agent_metrics RENAME TO gone").await.unwrap();
    let missing = record(&database, taken.id).await.unwrap_err();
    assert!(
        matches!(&missing, DbError::Query(text) if text.contains("agent_metrics")),
        "{missing:?}"
    );
    assert!(!missing.retryable());
    owner.batch_execute("ALTER TABLE gone RENAME TO agent_metrics").await.unwrap();
    let credentials =
        Credentials { api_key_hash: "$argon2id$x".to_owned(), api_secret_sha256: [7; 32] };
    let mut conn = database.get().await.unwrap();
    let new = NewBot {
        handle: &"MIA".parse().unwrap(),
        persona: "",
        hosted: false,
        credentials: &credentials,
        actor: "test",
        while_paused: db::pauses::WhilePaused::Proceed,
    };
    let refused = bots::register(&mut conn, &new, arena.rules(), None).await;
    assert!(matches!(refused, Err(DbError::Conflict(Conflict::HandleTaken))), "{refused:?}");
}
