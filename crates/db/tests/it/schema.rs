//! The Rust schema and the expected catalogue are generated from the migrated database, and this holds
//! them to that. The schema has the tables and columns that it names, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ledger_core::{EntryType, EventKind, Money};
use test_kit::Arena;
use tokio_postgres::Client;

const HEADER: &str = "// The tables and columns that queries name. `UPDATE_SCHEMA=1 make test` takes their types and keys from the
// migrated database: of a new one, write the name.

pub mod sql_types {
    pub use crate::sql::enums::*;
    pub use crate::sql::{Instant, MetricKind, RulesDigest, Units};
    pub use diesel::sql_types::*;
}

/// Each table with the types in scope, and all of them in one query.
macro_rules! tables {
    ($($table:ident ($($key:ident),+) { $($columns:tt)* })+) => {
        $(diesel::table! {
            use super::sql_types::*;
            $table ($($key),+) { $($columns)* }
        })+
        diesel::allow_tables_to_appear_in_same_query!($($table),+);
    };
}

tables! {";

#[tokio::test]
async fn the_rust_schema_is_that_of_the_migrated_database() {
    let arena = Arena::new().await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.rs");
    let named = named(&std::fs::read_to_string(path).unwrap());
    let generated = generate(&arena.owner_client().await, &named).await;
    #[allow(clippy::disallowed_methods, reason = "a switch for whoever changes a migration")]
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(
        kept == generated,
        "crates/db/src/schema.rs is not what the migrations make; run `UPDATE_SCHEMA=1 make test`"
    );
}

/// By name, with their labels.
type Enums = BTreeMap<String, BTreeSet<String>>;

#[tokio::test]
async fn enums_of_postgres_have_the_labels_of_those_in_rust() {
    let mut in_rust = db::schema::sql_types::enum_labels();
    in_rust.push(("event_kind", EventKind::ALL.map(EventKind::as_str).to_vec()));
    // This enum has no type in Rust.
    in_rust.push(("metric_kind", vec!["ACTION", "TICK"]));
    let owned = |labels: Vec<&str>| labels.into_iter().map(str::to_owned).collect();
    let in_rust: Enums =
        in_rust.into_iter().map(|(name, labels)| (name.to_owned(), owned(labels))).collect();
    let arena = Arena::new().await;
    let query = "SELECT typname::text, enumlabel::text FROM pg_enum JOIN pg_type t ON t.oid = enumtypid \
                  WHERE typnamespace = 'public'::regnamespace";
    let mut in_postgres = Enums::new();
    for row in arena.owner_client().await.query(query, &[]).await.unwrap() {
        in_postgres.entry(row.get(0)).or_default().insert(row.get(1));
    }
    let nothing = BTreeSet::new();
    for name in in_rust.keys().chain(in_postgres.keys()) {
        let labels = |of: &Enums| of.get(name).unwrap_or(&nothing).clone();
        let (rust, postgres) = (labels(&in_rust), labels(&in_postgres));
        assert_eq!(&rust - &postgres, nothing, "{name} of Postgres lacks these");
        assert_eq!(&postgres - &rust, nothing, "{name} of Rust lacks these");
    }
}

/// What each migration adds and takes away, as restoring and `debug-auth` expect it.
#[tokio::test(flavor = "multi_thread")]
async fn the_expected_catalogue_is_what_each_migration_makes() {
    let (owner, _) = test_kit::empty_database().await;
    let config = db::DatabaseConfig { url: owner.clone(), pool_size: 1 };
    let database = db::Database::connect(config).await.unwrap();
    let mut after_each = Vec::new();
    for version in db::migrations::known_versions().unwrap() {
        db::migrations::run_next(&owner).await.unwrap();
        after_each.push((version, db::catalogue::read(&database).await.unwrap()));
    }
    let generated = db::catalogue::generate(&after_each);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/catalogue/expected.txt");
    #[allow(clippy::disallowed_methods, reason = "a switch for whoever changes a migration")]
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(
        kept == generated,
        "crates/db/src/catalogue/expected.txt is not what the migrations make; run `UPDATE_SCHEMA=1 make test`"
    );
}

fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// The columns that a schema in Rust has, by their table.
fn named(schema: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut named = BTreeMap::<String, BTreeSet<String>>::new();
    let mut table = String::new();
    for line in schema.lines() {
        if let Some((name, _)) = line.trim().split_once(" (").filter(|_| line.ends_with(") {")) {
            name.clone_into(&mut table);
        } else if let Some((name, _)) = line.trim().split_once(" -> ") {
            let columns = named.entry(table.clone()).or_default();
            columns.insert(name.to_owned());
        }
    }
    named
}

async fn generate(client: &Client, named: &BTreeMap<String, BTreeSet<String>>) -> String {
    let mut tables = tables(client).await;
    tables.retain(|table, columns| {
        let named = named.get(table);
        columns.retain(|column| named.is_some_and(|named| named.contains(&column.name)));
        named.is_some()
    });
    let mut out = HEADER.to_owned();
    for (table, columns) in &tables {
        let key: Vec<_> = columns.iter().filter(|c| c.key.is_some()).collect();
        let mut key: Vec<_> = key.iter().map(|c| (c.key, c.name.as_str())).collect();
        key.sort_unstable();
        let key = key.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        writeln!(out, "\n    {table} ({key}) {{").unwrap();
        for column in columns {
            writeln!(out, "        {} -> {},", column.name, column.sql_type()).unwrap();
        }
        out.push_str("    }\n");
    }
    out.push_str("}\n");
    out
}

struct Column {
    name: String,
    postgres: String,
    nullable: bool,
    /// Its place in the primary key, or in the first index where there is no primary key.
    key: Option<i32>,
}

impl Column {
    fn sql_type(&self) -> String {
        let plain = match self.postgres.as_str() {
            "int8" => "Int8".to_owned(),
            "int4" => "Int4".to_owned(),
            "int2" => "Int2".to_owned(),
            // Those that the crate has types of its own for.
            "bytea" if self.name == "rules" => "RulesDigest".to_owned(),
            "numeric" => "Units".to_owned(),
            "timestamptz" => "Instant".to_owned(),
            other => camel(other),
        };
        if self.nullable { format!("Nullable<{plain}>") } else { plain }
    }
}

async fn tables(client: &Client) -> BTreeMap<String, Vec<Column>> {
    let rows = client
        .query(
            "SELECT c.relname, a.attname, t.typname, NOT a.attnotnull, \
                    array_position(i.indkey::int2[], a.attnum)::int4 \
               FROM pg_class c \
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               JOIN pg_type t ON t.oid = a.atttypid \
               LEFT JOIN LATERAL (SELECT indkey FROM pg_index WHERE indrelid = c.oid \
                                   ORDER BY indisprimary DESC, indexrelid LIMIT 1) i ON true \
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
                AND NOT c.relispartition AND c.relname NOT LIKE '\\_\\_diesel%' \
              ORDER BY c.relname, a.attnum",
            &[],
        )
        .await
        .unwrap();
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for row in rows {
        tables.entry(row.get(0)).or_default().push(Column {
            name: row.get(1),
            postgres: row.get(2),
            nullable: row.get(3),
            key: row.get(4),
        });
    }
    tables
}

/// The table of entry types in ledger-core, the enum and the CHECK: each type takes the same amounts.
#[tokio::test]
async fn the_ledger_takes_what_the_table_of_entry_types_says() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let labels: Vec<String> = owner
        .query("SELECT unnest(enum_range(NULL::entry_type))::text", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let labels: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
    let declared = BTreeSet::from(EntryType::ALL.map(EntryType::as_str));
    // As sets: `arenactl migrate` adds a new label at the end, wherever its row is.
    assert_eq!(labels, declared, "the enum entry_type");
    let check: String = owner
        .query_one(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'ledger_amount_fits_type'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    // The columns that it names, from a list instead of from the ledger.
    let asked = format!(
        "SELECT entry_type::text, amount::integer, balance_after::integer, ({check}) \
           FROM unnest(enum_range(NULL::entry_type)) AS entry_type, \
                (VALUES (-1.0), (0.0), (1.0)) AS a (amount), (VALUES (0.0), (1.0)) AS b (balance_after)"
    );
    for row in owner.query(&asked, &[]).await.unwrap() {
        let entry_type: EntryType = row.get::<_, String>(0).parse().unwrap();
        let (amount, after): (i32, i32) = (row.get(1), row.get(2));
        let amount = Money::cents(amount * 100);
        let fits = entry_type.allows_amount(amount) && (after == 0 || !entry_type.drains());
        let takes: bool = row.get(3);
        assert_eq!(takes, fits, "ledger_amount_fits_type: {entry_type} of {amount}, {after} left");
    }
}
