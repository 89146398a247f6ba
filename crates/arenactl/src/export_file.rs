//! The file that `export` writes and `verify-export` checks without trust: one JSON object on each line, or CSV
//! (RFC 4180, with line feeds) with the same data in [`COLUMNS`].
//!
//! First every entry of a chain, with the names of `GET /ledger`; after the last one `{"head": …}`, the chain's
//! end; then the next chain, bots in ascending order. The last line is `{"end": …}` with the counts and the
//! digest of all heads. A file that was cut, wherever that was, lacks a head or its end.
//!
//! In CSV a head is a row whose `entry_type` is `HEAD`, and the end one whose `entry_type` is `END`: it has the
//! one requested bot as `bot_id`, the count of entries as `sequence`, format and count of bots as `reference`,
//! and the digest as `hash`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ledger_core::chain::Head;
use ledger_core::{BotId, Entry, EntryType, Hash, Money, Reference, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) const FORMAT: &str = "ledger-export/v1";

/// Of CSV, whose first line they are.
pub(crate) const COLUMNS: [&str; 10] = [
    "bot_id",
    "sequence",
    "entry_type",
    "amount",
    "balance_after",
    "reference",
    "recorded_at",
    "recorded_at_us",
    "previous_hash",
    "hash",
];
const HEAD: &str = "HEAD";
const END: &str = "END";

/// A line of either form, read.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Parsed {
    #[serde(skip)]
    Entry(EntryLine),
    Head(HeadFields),
    End(EndFields),
}

impl Parsed {
    pub(crate) fn of_json(line: &[u8]) -> Result<Parsed, String> {
        let is_entry = !line.starts_with(br#"{"head":"#) && !line.starts_with(br#"{"end":"#);
        let entry = || serde_json::from_slice(line).map(Parsed::Entry);
        let parsed = if is_entry { entry() } else { serde_json::from_slice(line) };
        parsed.map_err(|error| error.to_string())
    }

    pub(crate) fn of_csv(line: &[u8]) -> Result<Parsed, String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
        let mut records = reader.records();
        let record = match records.next() {
            Some(record) => record.map_err(|error| error.to_string())?,
            None => return Err("it is empty".to_owned()),
        };
        if record.len() != COLUMNS.len() || records.next().is_some() {
            return Err(format!("it has not {} columns", COLUMNS.len()));
        }
        let columns: csv::StringRecord = COLUMNS.as_slice().into();
        let of = |name: &str| {
            let at = COLUMNS.iter().position(|column| *column == name);
            at.and_then(|at| record.get(at)).unwrap_or_default()
        };
        let hash = || Hash::from_hex(of("hash")).ok_or("hash must be 64 lower-case hex digits");
        let number =
            |name: &str| of(name).parse::<i64>().map_err(|_| format!("{name} is no whole number"));
        match of("entry_type") {
            HEAD => Ok(Parsed::Head(HeadFields {
                bot_id: BotId(number("bot_id")?),
                sequence: number("sequence")?,
                hash: hash()?,
            })),
            END => {
                let (format, bots) = of("reference")
                    .split_once(" bots=")
                    .ok_or("reference has no format and count of bots")?;
                let only_bot = match of("bot_id") {
                    "" => None,
                    _ => Some(BotId(number("bot_id")?)),
                };
                let entries = number("sequence")?;
                Ok(Parsed::End(EndFields {
                    format: format.to_owned(),
                    as_of: Timestamp::from_micros(number("recorded_at_us")?)
                        .ok_or("recorded_at_us is out of range")?,
                    only_bot,
                    bots: bots.parse().map_err(|_| "the count of bots is no number")?,
                    entries: u64::try_from(entries).map_err(|_| "sequence is negative")?,
                    heads_digest: hash()?,
                }))
            }
            _ => record
                .deserialize(Some(&columns))
                .map(Parsed::Entry)
                .map_err(|error| error.to_string()),
        }
    }
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Jsonl,
    Csv,
}

impl Form {
    /// The beginning of the file.
    pub(crate) fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Form::Jsonl => Ok(()),
            Form::Csv => row(out, COLUMNS),
        }
    }

    pub(crate) fn entry(self, out: &mut impl Write, entry: &Entry) -> io::Result<()> {
        let line = EntryLine::from(entry);
        match self {
            Form::Jsonl => object(out, &line),
            Form::Csv => csv_line(out, |csv| csv.serialize(line)),
        }
    }

    pub(crate) fn head(self, out: &mut impl Write, head: HeadFields) -> io::Result<()> {
        if self == Form::Jsonl {
            return object(out, &BTreeMap::from([("head", head)]));
        }
        let (bot_id, sequence) = (head.bot_id.to_string(), head.sequence.to_string());
        let hash = head.hash.to_string();
        row(out, [&bot_id, &sequence, HEAD, "", "", "", "", "", "", &hash])
    }

    pub(crate) fn end(self, out: &mut impl Write, end: EndFields) -> io::Result<EndFields> {
        if self == Form::Jsonl {
            object(out, &BTreeMap::from([("end", &end)]))?;
            return Ok(end);
        }
        let bot_id = end.only_bot.map_or_else(String::new, |bot| bot.to_string());
        let (entries, digest) = (end.entries.to_string(), end.heads_digest.to_string());
        let reference = format!("{} bots={}", end.format, end.bots);
        let (at, micros) = (end.as_of.to_string(), end.as_of.micros().to_string());
        let fields = [&bot_id, &entries, END, "", "", &reference, &at, &micros, "", &digest];
        row(out, fields)?;
        Ok(end)
    }
}

fn object(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

fn row(out: &mut impl Write, fields: [&str; COLUMNS.len()]) -> io::Result<()> {
    csv_line(out, |csv| csv.write_record(fields))
}

fn csv_line(
    out: &mut impl Write,
    fill: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>,
) -> io::Result<()> {
    let mut line =
        csv::WriterBuilder::new().has_headers(false).from_writer(Vec::with_capacity(512));
    fill(&mut line)?;
    let line = line.into_inner().map_err(|error| error.into_error())?;
    out.write_all(&line)
}

/// An entry: every field that the hash covers, and the hash.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntryLine {
    bot_id: BotId,
    sequence: i64,
    entry_type: EntryType,
    amount: Money,
    balance_after: Money,
    reference: Reference,
    recorded_at: Timestamp,
    /// `recorded_at` as the hash has it: microseconds since the Unix epoch.
    recorded_at_us: i64,
    previous_hash: Hash,
    hash: Hash,
}

impl From<&Entry> for EntryLine {
    fn from(entry: &Entry) -> EntryLine {
        EntryLine {
            bot_id: entry.bot_id,
            sequence: entry.sequence,
            entry_type: entry.entry_type,
            amount: entry.amount,
            balance_after: entry.balance_after,
            reference: entry.reference.clone(),
            recorded_at: entry.recorded_at,
            recorded_at_us: entry.recorded_at.micros(),
            previous_hash: entry.previous_hash,
            hash: entry.hash,
        }
    }
}

impl EntryLine {
    /// The entry; `None` where the two forms of its time differ.
    pub(crate) fn entry(self) -> Option<Entry> {
        (self.recorded_at.micros() == self.recorded_at_us).then_some(Entry {
            bot_id: self.bot_id,
            sequence: self.sequence,
            entry_type: self.entry_type,
            amount: self.amount,
            balance_after: self.balance_after,
            reference: self.reference,
            recorded_at: self.recorded_at,
            previous_hash: self.previous_hash,
            hash: self.hash,
        })
    }
}

/// Where a chain ends.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadFields {
    pub(crate) bot_id: BotId,
    pub(crate) sequence: i64,
    pub(crate) hash: Hash,
}

impl From<&Head> for HeadFields {
    fn from(head: &Head) -> HeadFields {
        HeadFields { bot_id: head.bot_id, sequence: head.sequence, hash: head.hash }
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndFields {
    pub(crate) format: String,
    /// The moment of the snapshot.
    pub(crate) as_of: Timestamp,
    /// The one requested bot; absent for all bots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only_bot: Option<BotId>,
    pub(crate) bots: u64,
    pub(crate) entries: u64,
    /// As `inspect-ledger` shows it, over the chains in this file.
    pub(crate) heads_digest: Hash,
}
