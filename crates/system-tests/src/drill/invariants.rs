//! The invariants after every fault.

use db::audit::{self, Options};
use db::{Database, DatabaseConfig};
use tokio_postgres::Client;

use super::Scene;
use super::agents::Done;

/// The checked facts, by name.
pub(crate) const ALL: [&str; 8] = [
    "acknowledged writes are there, once",
    "no bot was charged twice for a tick",
    "no bot was left out of a tick",
    "a tick's total is what was charged",
    "no position was closed twice",
    "wallets equal the ledger",
    "every chain verifies, escrows and supply come out",
    "no number of a tick was skipped",
];

/// The charges of each bot by tick.
const CHARGES: &str = "WITH charges AS ( \
    SELECT l.bot_id, substr(l.reference, 6)::bigint AS tick FROM ledger l \
     WHERE l.entry_type IN ('HEARTBEAT', 'LIQUIDATION') AND l.reference LIKE 'TICK:%')";

/// Looks at everything; panics with what was expected and found. Answers how many things it looked
/// at.
pub(crate) async fn check(scene: &Scene, what: &str) -> usize {
    let client = test_kit::connect(&scene.superuser_url).await;
    // All following queries see one snapshot.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.unwrap();
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let must_be_none = async |name: &str, sql: &str| {
        let found = count(sql).await;
        assert_eq!(found, 0, "{what}: {name}: {found} exceptions to\n{sql}");
    };
    must_be_none(
        ALL[1],
        &format!("{CHARGES} SELECT count(*) - count(DISTINCT (bot_id, tick)) FROM charges"),
    )
    .await;
    must_be_none(
        ALL[2],
        &format!(
            "{CHARGES}, lives AS (SELECT bot_id, min(tick) AS first, count(*) AS charged \
                                 FROM charges GROUP BY bot_id), \
                 failures AS (SELECT bot_id, count(*) AS passed_over FROM tick_failures GROUP BY bot_id) \
             SELECT count(*) FROM lives JOIN wallets w USING (bot_id) LEFT JOIN failures USING (bot_id) \
              WHERE w.last_tick - first + 1 <> charged + coalesce(passed_over, 0)"
        ),
    )
    .await;
    must_be_none(
        ALL[3],
        &format!(
            "{CHARGES}, charged AS (SELECT tick, count(*) AS bots FROM charges GROUP BY tick) \
             SELECT count(*) FROM ticks t LEFT JOIN charged c ON c.tick = t.number \
              WHERE t.closed_at IS NOT NULL AND t.bots <> coalesce(c.bots, 0)"
        ),
    )
    .await;
    must_be_none(
        ALL[4],
        "SELECT count(*) FROM (SELECT FROM ledger WHERE reference ~ '^(PREDICTION|MARKET):' \
            AND entry_type IN ('PAYOUT', 'SLASH', 'FORFEIT', 'REFUND', 'MARKET_PAYOUT', 'RESEARCH_PAYOUT') \
          GROUP BY bot_id, reference HAVING count(*) > 1) twice",
    )
    .await;
    must_be_none(
        ALL[5],
        "SELECT count(*) FROM wallets w JOIN LATERAL (SELECT max(sequence) AS sequence, \
             sum(amount) AS total FROM ledger l WHERE l.bot_id = w.bot_id) l ON true \
          WHERE w.sequence <> l.sequence OR w.balance <> l.total",
    )
    .await;
    must_be_none(ALL[7], "SELECT coalesce(max(number) - count(*), 0) FROM ticks").await;
    acknowledged(scene, &client, what).await;
    audit(scene, what).await;
    ALL.len()
}

/// Asked of the database as it is after the answers were given.
async fn acknowledged(scene: &Scene, _snapshot: &Client, what: &str) {
    let done = scene.crowd.acknowledged();
    let client = test_kit::connect(&scene.superuser_url).await;
    let of = |pick: fn(&Done) -> Option<i64>| done.iter().filter_map(pick).collect::<Vec<i64>>();
    let kinds: [(&str, Vec<i64>, &str); 4] = [
        (
            "registrations",
            of(|done| match done {
                Done::Registered(bot) => Some(*bot),
                _ => None,
            }),
            "SELECT count(*) FROM bots b JOIN ledger l ON l.bot_id = b.id AND l.sequence = 1 \
              WHERE b.id = ANY($1)",
        ),
        (
            "wagers",
            of(|done| match done {
                Done::Wagered { prediction } => Some(*prediction),
                _ => None,
            }),
            "SELECT count(*) FROM predictions p JOIN ledger l ON l.bot_id = p.bot_id \
                AND l.reference = 'OBS:' || p.observation_id \
              WHERE p.id = ANY($1) AND l.entry_type = 'WAGER' AND l.amount = -p.wager_amount",
        ),
        (
            "bets",
            of(|done| match done {
                Done::Bet { bet } => Some(*bet),
                _ => None,
            }),
            "SELECT count(*) FROM bets b JOIN ledger l ON l.bot_id = b.bot_id \
                AND l.reference = 'MARKET:' || b.market_id \
              WHERE b.id = ANY($1) AND l.entry_type = 'MARKET_STAKE' AND l.amount = -b.stake",
        ),
        (
            "answers",
            of(|done| match done {
                Done::Answered { action } => Some(*action),
                _ => None,
            }),
            "SELECT count(*) FROM audit_log WHERE id = ANY($1) AND action = 'ANSWER'",
        ),
    ];
    for (name, ids, sql) in kinds {
        let kept: i64 = client.query_one(sql, &[&ids]).await.unwrap().get(0);
        let expected = i64::try_from(ids.len()).unwrap();
        assert_eq!(
            kept, expected,
            "{what}: of {expected} acknowledged {name}, {kept} are there once"
        );
    }
}

async fn audit(scene: &Scene, what: &str) {
    let database =
        Database::connect(DatabaseConfig { url: scene.superuser_url.clone(), pool_size: 2 })
            .await
            .unwrap();
    let report = audit::audit(&database, Options::default()).await.unwrap();
    assert!(report.is_sound(), "{what}: the audit found {:#?}", report.faults);
}

pub(crate) async fn entries(scene: &Scene) -> i64 {
    let client = test_kit::connect(&scene.superuser_url).await;
    client.query_one("SELECT count(*) FROM ledger", &[]).await.unwrap().get(0)
}
