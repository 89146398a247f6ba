//! The schema that the migrations make, without rows: tables, functions and their bodies, triggers, privileges,
//! owners. A database is compared with it, to detect a dump or an owner that added a trigger, changed a function
//! or granted a privilege.
//!
//! `catalogue.txt` lists the expected objects, one on each line, with the first and last migration
//! that has it. A test makes that file from the migrations. It has no names of roles: the services'
//! roles are those that may append to the ledger, each has exactly the services' privileges, and
//! the owner of the ledger owns everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ledger_core::EntryType;
use tokio_postgres::Client;

use crate::error::{DbError, DbResult};
use crate::migrations;
use crate::pool::Database;

const READ: &str = include_str!("catalogue/read.sql");
const EXPECTED: &str = include_str!("catalogue/expected.txt");
/// Days of metrics, which are made and dropped as time goes by.
const PARTITION: &str = "agent_metrics_DAY";
const HEADER: &str = "# Made from the migrations by `UPDATE_SCHEMA=1 scripts/with-test-services cargo test -p db schema`; \
     do not edit.\n# FIRST-MIGRATION LAST-MIGRATION KIND LINE, \"-\" for as long as there are migrations.\n";

/// How much of the catalogue is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Objects that can run code while rows are loaded: types, functions, tables, their columns and
    /// checks.
    BeforeRows,
    /// All of it.
    Whole,
}

/// One thing in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    kind: String,
    text: String,
}

impl Line {
    fn is_before_rows(&self) -> bool {
        let kinds = ["schema", "type", "function", "relation", "column", "check", "other"];
        kinds.contains(&self.kind.as_str())
    }
}

/// The objects of a database.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    lines: BTreeSet<Line>,
    /// The privileges of each role, by its name.
    roles: BTreeMap<String, BTreeSet<Line>>,
    /// Those that may append to the ledger.
    services: BTreeSet<String>,
}

/// The catalogue of the database, as any role may read it.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn read(database: &Database) -> DbResult<Catalogue> {
    let client = database.dedicated().await?;
    // Names are qualified, so that no object in the database's schemas can replace one of Postgres'
    // own.
    client
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''; \
             SET LOCAL statement_timeout = '60s'",
        )
        .await?;
    let catalogue = read_with(&client).await?;
    client.batch_execute("COMMIT").await?;
    Ok(catalogue)
}

async fn read_with(client: &Client) -> DbResult<Catalogue> {
    let mut catalogue = Catalogue::default();
    for row in client.query(READ, &[]).await? {
        let line = Line { kind: row.get(0), text: without_entry_types(flatten(row.get(2))) };
        match row.get::<_, Option<String>>(1) {
            None => drop(catalogue.lines.insert(line)),
            Some(role) => {
                if line.text == "the role may INSERT relation public.ledger" {
                    catalogue.services.insert(role.clone());
                }
                catalogue.roles.entry(role).or_default().insert(line);
            }
        }
    }
    Ok(catalogue)
}

/// The differences of the database from its own migrations, one sentence each.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn differences(database: &Database) -> DbResult<Vec<String>> {
    let applied = migrations::applied(&mut *database.get().await?).await?;
    if migrations::is_unfinished(&applied) {
        return Ok(vec![DbError::Unfinished.to_string()]);
    }
    match newest_of_whole(&applied)? {
        Some(version) => differences_at(database, &version, Extent::Whole).await,
        None => Ok(vec![
            "the applied migrations are not the first ones of this build: their schema is unknown here"
                .to_owned(),
        ]),
    }
}

/// The differences of the database from the migrations up to this one.
///
/// # Errors
/// If Postgres does not answer: see [`DbError`].
#[crate::boxed]
pub async fn differences_at(
    database: &Database,
    version: &str,
    extent: Extent,
) -> DbResult<Vec<String>> {
    if !migrations::known_versions()?.iter().any(|known| known == version) {
        return Err(DbError::Query(format!(
            "this build does not know the migration {version}: use the build that made it, or a newer one"
        )));
    }
    Ok(read(database).await?.differences(&expected_at(version), extent))
}

/// The newest migration, if the applied ones are this build's from the first to that one.
fn newest_of_whole(applied: &[String]) -> DbResult<Option<String>> {
    let known = migrations::known_versions()?;
    let is_beginning = known.get(..applied.len()) == Some(applied);
    Ok(applied.last().filter(|_| is_beginning).cloned())
}

/// The expected objects, and the expected privileges of the services' roles.
struct Expected {
    lines: BTreeSet<Line>,
    services: BTreeSet<Line>,
}

fn expected_at(version: &str) -> Expected {
    let mut expected = Expected { lines: BTreeSet::new(), services: BTreeSet::new() };
    for line in EXPECTED.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(4, ' ');
        let (Some(first), Some(last), Some(kind), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if first > version || (last != "-" && last < version) {
            continue;
        }
        let line = Line { kind: kind.to_owned(), text: text.to_owned() };
        if line.text.starts_with("the role ") {
            expected.services.insert(line);
        } else {
            expected.lines.insert(line);
        }
    }
    expected
}

impl Catalogue {
    /// The roles that may append to the ledger without owning it.
    pub fn services(&self) -> &BTreeSet<String> {
        &self.services
    }

    fn differences(&self, expected: &Expected, extent: Extent) -> Vec<String> {
        let counts = |line: &&Line| extent == Extent::Whole || line.is_before_rows();
        let mut found = Vec::new();
        compare(&self.lines, &expected.lines, counts, |what| {
            found.push(what);
        });
        if extent == Extent::BeforeRows {
            return found;
        }
        if self.services.is_empty() && !expected.services.is_empty() {
            found.push("no role may append to the ledger".to_owned());
        }
        for (role, lines) in &self.roles {
            let none = BTreeSet::new();
            let wanted = if self.services.contains(role) { &expected.services } else { &none };
            compare(lines, wanted, counts, |what| found.push(format!("{role}: {what}")));
        }
        found
    }

    /// All that is expected of a database with these migrations, by the roles' part.
    fn flat(&self) -> BTreeSet<Line> {
        let services = self.roles.iter().filter(|(role, _)| self.services.contains(*role));
        let services = services.flat_map(|(_, lines)| lines.iter());
        self.lines.iter().chain(services).cloned().collect()
    }
}

fn compare(
    found: &BTreeSet<Line>,
    wanted: &BTreeSet<Line>,
    counts: impl Fn(&&Line) -> bool,
    mut told: impl FnMut(String),
) {
    for line in found.difference(wanted).filter(&counts) {
        told(format!("is there and should not be: {}", line.text));
    }
    let is_passing = |line: &&Line| line.text.contains(PARTITION);
    for line in wanted.difference(found).filter(counts) {
        if !is_passing(&line) {
            told(format!("should be there and is not: {}", line.text));
        }
    }
}

/// The text of `expected.txt` from the catalogues after each migration, in their order.
pub fn generate(after_each: &[(String, Catalogue)]) -> String {
    let mut ranges: BTreeMap<Line, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, (_, catalogue)) in after_each.iter().enumerate() {
        for line in catalogue.flat() {
            let ranges = ranges.entry(line).or_default();
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => ranges.push((index, index)),
            }
        }
    }
    let version = |index: usize| after_each.get(index).map_or("-", |(version, _)| version);
    let mut text = HEADER.to_owned();
    for (line, ranges) in ranges {
        for (first, last) in ranges {
            let last = if last + 1 == after_each.len() { "-" } else { version(last) };
            // Writing into a string does not fail.
            let _ = writeln!(text, "{} {last} {} {}", version(first), line.kind, line.text);
        }
    }
    text
}

/// The line without this build's entry types: `arenactl migrate` adds new ones, not a migration.
fn without_entry_types(mut line: String) -> String {
    if line.starts_with("type public.entry_type enum ") {
        for known in EntryType::ALL {
            line = line.replace(&format!(" '{known}'"), "");
        }
    }
    line
}

/// A part of an expression: text, or what stands between brackets.
enum Part {
    Text(String),
    Group(Vec<Part>),
}

/// The same expression with `((a AND b) AND c)` as `(a AND b AND c)`, and so with `OR`: Postgres writes a
/// check one way when it is made and the other way once a dump of it was restored.
fn flatten(text: &str) -> String {
    let mut groups = vec![Vec::new()];
    let mut run = String::new();
    let mut quote = None;
    for c in text.chars() {
        let is_bracket = quote.is_none() && (c == '(' || c == ')');
        if !is_bracket {
            run.push(c);
            quote = match quote {
                None if c == '\'' || c == '"' => Some(c),
                Some(open) if open == c => None,
                other => other,
            };
            continue;
        }
        let Some(group) = groups.last_mut() else {
            return text.to_owned();
        };
        group.push(Part::Text(std::mem::take(&mut run)));
        if c == '(' {
            groups.push(Vec::new());
        } else if let Some(done) = groups.pop()
            && let Some(group) = groups.last_mut()
        {
            group.push(Part::Group(done));
        } else {
            return text.to_owned();
        }
    }
    let (Some(mut whole), true) = (groups.pop(), groups.is_empty()) else {
        return text.to_owned();
    };
    whole.push(Part::Text(run));
    let mut out = String::with_capacity(text.len());
    render(whole, &mut out);
    out
}

fn render(parts: Vec<Part>, out: &mut String) {
    for part in merged(parts) {
        match part {
            Part::Text(text) => out.push_str(&text),
            Part::Group(inner) => {
                out.push('(');
                render(inner, out);
                out.push(')');
            }
        }
    }
}

/// The word that joins the operands of a group, if it is one word alone.
fn joined_by(parts: &[Part]) -> Option<&'static str> {
    let has = |word: &str| {
        let text =
            |part: &Part| matches!(part, Part::Text(text) if text.contains(&format!(" {word} ")));
        parts.iter().any(text)
    };
    match (has("AND"), has("OR")) {
        (true, false) => Some("AND"),
        (false, true) => Some("OR"),
        _ => None,
    }
}

/// The parts with each group in the place of its brackets that is an operand of the word that joins it.
fn merged(parts: Vec<Part>) -> Vec<Part> {
    let Some(word) = joined_by(&parts) else {
        return parts;
    };
    let word_between = format!(" {word} ");
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    let mut rest = parts.into_iter().peekable();
    while let Some(part) = rest.next() {
        let begins = match joined.last() {
            None => true,
            Some(Part::Text(text)) => {
                text.is_empty() && joined.len() == 1 || text.ends_with(&word_between)
            }
            Some(Part::Group(_)) => false,
        };
        let ends = match rest.peek() {
            None => true,
            Some(Part::Text(text)) => text.is_empty() || text.starts_with(&word_between),
            Some(Part::Group(_)) => false,
        };
        match part {
            Part::Group(inner) if begins && ends => {
                let inner = merged(inner);
                if joined_by(&inner) == Some(word) {
                    joined.extend(inner);
                } else {
                    joined.push(Part::Group(inner));
                }
            }
            other => joined.push(other),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::flatten;

    #[test]
    fn what_a_dump_writes_otherwise_is_the_same() {
        let made = "CHECK ((((octet_length(r) >= 1) AND (octet_length(r) <= 200)) AND (r ~ '^[ -~(]*$'::text)))";
        let restored = "CHECK (((octet_length(r) >= 1) AND (octet_length(r) <= 200) AND (r ~ '^[ -~(]*$'::text)))";
        assert_eq!(flatten(made), restored);
        assert_eq!(flatten(restored), restored);
        assert_eq!(flatten("((a OR (b OR c)) OR d)"), "(a OR b OR c OR d)");
    }

    #[test]
    fn what_means_something_else_stays() {
        for text in [
            "((a OR b) AND c)",
            "(a AND NOT (b AND c))",
            "(a AND f(b AND c))",
            "(a AND (b OR c) AND d)",
            "('((' AND x) AND (y",
            "no brackets ' AND ('",
            "((a AND b) = (c AND d))",
        ] {
            assert_eq!(flatten(text), text);
        }
    }
}
