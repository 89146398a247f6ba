//! The clock that all code reads.

use ledger_core::economy::{EconomyRules, Enforcement};
use simulation::clock::{self, Clock};
use simulation::{Settings, Simulation};
use test_kit::Arena;

#[tokio::test]
async fn the_services_read_the_virtual_clock_and_only_the_driver_moves_it() {
    let arena = Arena::migrated_after(clock::INSTALL, 1).await;
    let mut clock = Clock::of(&arena).await.unwrap();
    let began = clock.now();
    assert_eq!(began.micros(), clock::START_MICROS);
    let read = async || db::now(&mut *arena.conn().await).await.unwrap();
    assert_eq!(read().await, began);
    clock.advance_to(began.plus_seconds(86_400)).await.unwrap();
    assert_eq!(read().await, began.plus_seconds(86_400));
    assert!(clock.advance_to(began).await.is_err(), "time runs one way");
    // A default of a column is bound to what its name meant when the table was made.
    let bot = arena.bot().create().await;
    let owner = arena.owner_client().await;
    let row = owner
        .query_one(
            "SELECT (extract(epoch FROM created_at) * 1000000)::bigint FROM bots WHERE id = $1",
            &[&bot.id.0],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), began.plus_seconds(86_400).micros());
}

/// Every instant that a run wrote, in any table, is from the virtual clock.
#[tokio::test]
async fn no_clock_escapes() {
    let settings = Settings {
        ticks: 150,
        agents: 9,
        seed: 5,
        rules: EconomyRules {
            tick_rate_seconds: 60,
            enforcement: Enforcement::Enforce,
            genesis_grant: "60.00".parse().unwrap(),
            ..EconomyRules::default()
        },
    };
    let mut simulation = Simulation::begin(settings).await.unwrap();
    for tick in 1..=150 {
        simulation.tick(tick).await.unwrap();
    }
    let owner = simulation.arena().owner_client().await;
    let columns = owner
        .query(
            "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c \
               JOIN information_schema.tables t USING (table_schema, table_name) \
              WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' \
                AND c.data_type LIKE 'timestamp%' AND c.table_name <> '__diesel_schema_migrations'",
            &[],
        )
        .await
        .unwrap();
    assert!(columns.len() > 20, "{}", columns.len());
    let mut written = 0;
    for column in &columns {
        let (table, column): (&str, &str) = (column.get(0), column.get(1));
        let query = format!(
            "SELECT count({column}), \
                    count({column}) FILTER (WHERE {column} < '2026-01-01' OR {column} > '2026-01-02') \
               FROM {table}"
        );
        let row = owner.query_one(&query, &[]).await.unwrap();
        let (all, escaped): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(escaped, 0, "{table}.{column} has times of another clock");
        written += i64::from(all > 0);
    }
    assert!(written > 15, "only {written} columns were written at all");
}
