//! The whole state of an arena, so that a test can check that nothing changed.

use std::collections::BTreeMap;

use test_kit::Arena;

/// A number for each table (of its rows) and each sequence (of what it gave last).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(BTreeMap<String, (i64, String)>);

impl State {
    /// Reads the whole database: number, contents and row versions of each table, and each sequence.
    pub async fn of(arena: &Arena) -> State {
        let client = arena.owner_client().await;
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let mut state = BTreeMap::new();
        for row in client.query(tables, &[]).await.unwrap() {
            let table: String = row.get(0);
            // `xmin` changes with each write, even one that writes what was there.
            // That credentials were refused is written down now and then, in the background.
            let counts = match table.as_str() {
                "audit_log" => "t.action NOT LIKE '%REFUSED'",
                _ => "true",
            };
            let digest = format!(
                "SELECT count(*), md5(coalesce(string_agg(md5(t::text || t.xmin), '' \
                        ORDER BY md5(t::text || t.xmin)), '')) \
                   FROM public.\"{table}\" t WHERE {counts}"
            );
            let row = client.query_one(&digest, &[]).await.unwrap();
            state.insert(table, (row.get(0), row.get(1)));
        }
        let sequences = "SELECT sequencename::text, coalesce(last_value, 0) FROM pg_sequences \
                          WHERE sequencename <> 'audit_log_id_seq'";
        for row in client.query(sequences, &[]).await.unwrap() {
            state.insert(row.get(0), (row.get(1), String::new()));
        }
        assert!(state.len() > 10, "{state:?}");
        State(state)
    }

    /// How many rows each of these tables has more than before.
    pub fn grown<const N: usize>(&self, before: &State, tables: [&str; N]) -> [i64; N] {
        tables.map(|table| self.0[table].0 - before.0[table].0)
    }

    /// Fails with what differs.
    pub fn must_be(&self, before: &State, why: &str) {
        self.compare(before, why, |_| true);
    }

    /// The same for rows alone: a refused wager or a dry run may have drawn ids that stay unused.
    pub fn rows_must_be(&self, before: &State, why: &str) {
        self.compare(before, why, |name| !name.ends_with("_seq"));
    }

    fn compare(&self, before: &State, why: &str, counts: impl Fn(&str) -> bool) {
        let changed: Vec<_> = self
            .0
            .iter()
            .filter(|(name, value)| counts(name) && before.0.get(*name) != Some(value))
            .map(|(name, value)| (name, before.0.get(name), value))
            .collect();
        assert!(changed.is_empty(), "{why}: {changed:?}");
    }
}
