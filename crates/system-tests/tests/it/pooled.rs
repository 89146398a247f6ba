//! A day with two processes of each service, all of them behind a PgBouncer with few servers.

use std::collections::BTreeSet;
use std::time::Duration;

use system_tests::replicas::Replicas;
use system_tests::stack::{SERVICES, Stack};
use test_kit::{PgBouncer, eventually};

use crate::day::{HASTY, hasty_personas, lived_through};

/// Connections that PgBouncer opens to Postgres: fewer than there are processes.
const SERVERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Transactions that went through it so far.
async fn transactions(bouncer: &PgBouncer) -> u64 {
    let rows = bouncer.show("STATS").await;
    let counted = rows.first().and_then(|row| row.get("total_xact_count"));
    counted.map_or(0, |count| count.parse().unwrap())
}

/// Every session of the services' role in Postgres is one of the pooler's, and these are few.
async fn assert_nobody_goes_around(bouncer: &PgBouncer) {
    let postgres = test_kit::connect(&test_kit::superuser_url()).await;
    eventually("all sessions are those of the pooler", || async {
        let sql = "SELECT client_port FROM pg_stat_activity \
                   WHERE datname = $1 AND usename = 'arena_app'";
        let sessions = postgres.query(sql, &[&bouncer.database]).await.unwrap();
        let servers = bouncer.show("SERVERS").await;
        let ports: BTreeSet<i32> = servers
            .iter()
            .map(|server| server.get("local_port").unwrap().parse().unwrap())
            .collect();
        let through = sessions.iter().all(|session| {
            let port: Option<i32> = session.get(0);
            port.is_some_and(|port| ports.contains(&port))
        });
        (through && (1..=SERVERS).contains(&sessions.len())).then_some(())
    })
    .await;
    let clients = bouncer.show("CLIENTS").await.len();
    assert!(clients >= 2 * SERVICES.len(), "{clients} clients");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_each_service_share_four_connections_for_a_day() {
    let (owner, app) = test_kit::empty_database().await;
    let Some(bouncer) = PgBouncer::before(&app, SERVERS).await else {
        eprintln!("SKIPPED: pgbouncer is not installed (apt-get install pgbouncer)");
        return;
    };
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("DATABASE_URL", bouncer.url()),
        ("DATABASE_OWNER_URL", owner.as_str()),
    ]);
    let (stack, _) = Stack::start(&settings).await;
    let mut replicas = Replicas::default();
    for service in SERVICES {
        replicas.add(&stack, service);
    }
    let what = "two of each behind a pooler";
    replicas.wait_until_ready(what, PATIENCE).await;
    let before = transactions(&bouncer).await;
    lived_through(&stack).await;
    assert_nobody_goes_around(&bouncer).await;
    eventually("a hundred more transactions went through it", || async {
        (transactions(&bouncer).await >= before + 100).then_some(())
    })
    .await;

    let logs = SERVICES.map(|service| (service, stack.log(service)));
    let others = replicas.iter().map(|replica| (replica.service, replica.log()));
    for (service, log) in logs.into_iter().chain(others) {
        assert!(!log.is_empty(), "{service} says what it does");
        assert!(!log.contains("prepared statement"), "{service}: {log}");
    }
    replicas.stop();
    assert_eq!(stack.stop(), Some(0));
}
