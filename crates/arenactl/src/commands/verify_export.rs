//! `arenactl verify-export`: recomputes a file of `export`, line by line, with no database and no
//! settings. For any bytes, it names the wrong line; its memory does not grow with the file.
//!
//! It proves that each chain in the file is whole and unchanged. Only the digest reveals a forged file with
//! recomputed hashes: compare it with one kept elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use daemon::process::Failure;
use ledger_core::chain::{ChainVerifier, Head, HeadsDigest};
use ledger_core::{BotId, Entry, Hash, Timestamp};
use serde::Serialize;

use crate::export_file::{COLUMNS, EndFields, FORMAT, HeadFields, Parsed};
use crate::output::{Judged, Plain, counted};

/// More than twice the longest line that `export` writes.
const LINE_MAX_BYTES: usize = 4_096;
/// Faults that are named one by one; the rest is counted.
const FAULTS_MAX: usize = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file written by `arenactl export`
    file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Fault {
    /// Counted from 1.
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot_id: Option<BotId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
    problem: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Verification {
    sound: bool,
    /// The moment that the file shows; absent when it lacks its end.
    as_of: Option<Timestamp>,
    only_bot: Option<BotId>,
    bots: u64,
    entries: u64,
    /// Recomputed from the entries in the file.
    heads_digest: Hash,
    faults_total: usize,
    faults: Vec<Fault>,
}

pub(crate) fn run(args: &Args) -> Result<Verification, Failure> {
    let unreadable = || format!("cannot read {}", args.file.display());
    let file = File::open(&args.file).with_context(unreadable)?;
    Ok(verify(BufReader::with_capacity(1 << 16, file)).with_context(unreadable)?)
}

fn verify(mut input: impl BufRead) -> io::Result<Verification> {
    let mut check = Check::default();
    let mut line = Vec::with_capacity(LINE_MAX_BYTES);
    loop {
        let read = read_line(&mut input, &mut line)?;
        if matches!(read, Line::Nothing) {
            return Ok(check.finish());
        }
        check.line += 1;
        match read {
            Line::Whole => check.whole_line(&line),
            Line::TooLong => check.unreadable(format!(
                "longer than {LINE_MAX_BYTES} bytes, which no line of an export is"
            )),
            Line::Cut => check.unreadable("cut: no line feed ends it".to_owned()),
            Line::Nothing => {}
        }
    }
}

enum Line {
    Whole,
    TooLong,
    /// The file ends within it.
    Cut,
    Nothing,
}

/// The next line without its line feed; of one that is too long, nothing more is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let with_line_feed = LINE_MAX_BYTES as u64 + 1;
    input.by_ref().take(with_line_feed).read_until(b'\n', line)?;
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        return Ok(Line::Whole);
    }
    if line.len() > LINE_MAX_BYTES {
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    Ok(if line.is_empty() { Line::Nothing } else { Line::Cut })
}

/// Where the walk through the file is.
#[derive(Default)]
struct Check {
    line: u64,
    is_csv: bool,
    /// The chain whose head line has not come yet.
    current: Option<ChainVerifier>,
    /// The last bot whose chain has ended.
    ended: Option<BotId>,
    /// A line was unreadable: the predecessor of the next entry is unknown.
    lost: bool,
    end: Option<EndFields>,
    bots: u64,
    entries: u64,
    digest: HeadsDigest,
    faults_total: usize,
    faults: Vec<Fault>,
}

impl Check {
    fn fault(&mut self, bot_id: Option<BotId>, sequence: Option<i64>, problem: String) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { line: self.line, bot_id, sequence, problem });
        }
    }

    fn bot(&self) -> Option<BotId> {
        self.current.as_ref().map(|chain| chain.head().bot_id)
    }

    fn unreadable(&mut self, problem: String) {
        self.fault(self.bot(), None, problem);
        self.lost = true;
    }

    fn whole_line(&mut self, line: &[u8]) {
        if self.end.is_some() {
            return self.fault(None, None, "stands behind the end of the export".to_owned());
        }
        if line.ends_with(b"\r") {
            let problem = "ends with CR LF: something converted this file; export it again";
            return self.unreadable(problem.to_owned());
        }
        if self.line == 1 && line == COLUMNS.join(",").as_bytes() {
            self.is_csv = true;
            return;
        }
        let parsed = if self.is_csv { Parsed::of_csv(line) } else { Parsed::of_json(line) };
        match parsed {
            Ok(Parsed::Entry(line)) => match line.entry() {
                Some(entry) => self.entry(&entry),
                None => self.unreadable("recorded_at and recorded_at_us differ".to_owned()),
            },
            Ok(Parsed::Head(head)) => self.head(&head),
            Ok(Parsed::End(end)) => self.end(end),
            Err(problem) => self.unreadable(format!("is no line of an export: {problem}")),
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let bot_id = entry.bot_id;
        self.entries += 1;
        if self.bot() != Some(bot_id) {
            self.end_chain(None);
            if let Some(last) = self.ended.filter(|last| *last >= bot_id) {
                let problem = format!("its bot comes behind bot {last}: chains must not mix");
                self.fault(Some(bot_id), Some(entry.sequence), problem);
            }
        }
        let chain = self.current.get_or_insert_with(|| ChainVerifier::new(bot_id));
        if std::mem::take(&mut self.lost) {
            chain.skip_to(before(entry));
        }
        if let Err(fault) = chain.check(entry) {
            let problem =
                format!("{}: expected {}; found {}", fault.field, fault.expected, fault.found);
            self.fault(Some(fault.bot_id), Some(fault.sequence), problem);
        }
    }

    fn head(&mut self, head: &HeadFields) {
        self.end_chain(Some(head));
        self.lost = false;
    }

    /// The current chain, if there is one, ends here, with its head line or without.
    fn end_chain(&mut self, told: Option<&HeadFields>) {
        let Some(chain) = self.current.take() else {
            if let Some(told) = told {
                let problem = "the head of a chain that has no entry here".to_owned();
                self.fault(Some(told.bot_id), Some(told.sequence), problem);
            }
            return;
        };
        let head = *chain.head();
        let (bot_id, sequence) = (head.bot_id, Some(head.sequence));
        match told {
            None => {
                let problem = "its chain breaks off: no head line follows its last entry";
                self.fault(Some(bot_id), sequence, problem.to_owned());
            }
            Some(told) if *told != HeadFields::from(&head) => {
                let problem = format!(
                    "the head line has bot {}, entry {}, hash {}; its chain here ends with hash {}",
                    told.bot_id, told.sequence, told.hash, head.hash
                );
                self.fault(Some(bot_id), sequence, problem);
            }
            Some(_) => {}
        }
        self.bots += 1;
        self.ended = self.ended.max(Some(bot_id));
        let mut line = Vec::new();
        HeadsDigest::write_line(&head, &mut line);
        self.digest.add_lines(&line);
    }

    fn end(&mut self, end: EndFields) {
        self.end_chain(None);
        self.end = Some(end);
    }

    fn finish(mut self) -> Verification {
        self.end_chain(None);
        let heads_digest = std::mem::take(&mut self.digest).finish();
        match self.end.take() {
            None => {
                let problem = "the file ends without its end line: it was cut; export it again";
                self.fault(None, None, problem.to_owned());
            }
            Some(end) => {
                let pairs = [
                    ("format", end.format.clone(), FORMAT.to_owned()),
                    ("bots", end.bots.to_string(), self.bots.to_string()),
                    ("entries", end.entries.to_string(), self.entries.to_string()),
                    ("heads_digest", end.heads_digest.to_string(), heads_digest.to_string()),
                ];
                for (name, told, found) in pairs {
                    if told != found {
                        let problem = format!("{name}: the end line says {told}; found {found}");
                        self.fault(None, None, problem);
                    }
                }
                self.end = Some(end);
            }
        }
        Verification {
            sound: self.faults_total == 0,
            as_of: self.end.as_ref().map(|end| end.as_of),
            only_bot: self.end.as_ref().and_then(|end| end.only_bot),
            bots: self.bots,
            entries: self.entries,
            heads_digest,
            faults_total: self.faults_total,
            faults: self.faults,
        }
    }
}

/// The head that the entry itself claims to continue, so that one bad line is one fault.
fn before(entry: &Entry) -> Head {
    Head {
        bot_id: entry.bot_id,
        sequence: entry.sequence.saturating_sub(1),
        balance: entry.balance_after.checked_sub(entry.amount).unwrap_or_default(),
        hash: entry.previous_hash,
        recorded_at: None,
    }
}

impl Judged for Verification {
    fn verdict(self) -> Result<(), Failure> {
        if self.sound {
            return Ok(());
        }
        let faults = counted(self.faults_total, "fault");
        Err(anyhow::anyhow!("the export is broken: {faults} found").into())
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sound {
            writeln!(f, "The export is sound.")?;
        } else {
            writeln!(f, "The export is BROKEN: {}.", counted(self.faults_total, "fault"))?;
        }
        if let Some(as_of) = self.as_of {
            writeln!(f, "  as of         {as_of}")?;
        }
        if let Some(bot_id) = self.only_bot {
            writeln!(f, "  only bot      {bot_id}")?;
        }
        writeln!(f, "  bots          {}", self.bots)?;
        writeln!(f, "  entries       {}", self.entries)?;
        write!(f, "  heads digest  {}", self.heads_digest)?;
        for fault in &self.faults {
            write!(f, "\nfault  line {}", fault.line)?;
            if let Some(bot_id) = fault.bot_id {
                write!(f, ", bot {bot_id}")?;
            }
            if let Some(sequence) = fault.sequence {
                write!(f, ", entry {sequence}")?;
            }
            write!(f, ": {}", Plain(&fault.problem))?;
        }
        match self.faults_total.saturating_sub(self.faults.len()) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::verify;

    proptest! {
        #[test]
        fn any_bytes_end_with_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..9_000)) {
            let verification = verify(&bytes[..]).unwrap();
            prop_assert!(!verification.sound);
            prop_assert!(verification.faults_total > 0);
        }

        #[test]
        fn any_lines_that_look_right_end_with_a_verdict(
            lines in proptest::collection::vec(r#"\{"(head|end|bot_id)":[ -~]{0,40}\}?\r?\n"#, 0..20)
        ) {
            prop_assert!(!verify(lines.concat().as_bytes()).unwrap().sound);
        }
    }

    proptest! {
        #[test]
        fn any_rows_end_with_a_verdict(rows in proptest::collection::vec("[0-9A-Z,\" -~]{0,80}\n", 0..20)) {
            let header = crate::export_file::COLUMNS.join(",");
            let file = format!("{header}\n{}", rows.concat());
            prop_assert!(!verify(file.as_bytes()).unwrap().sound);
        }
    }

    #[test]
    fn a_huge_line_is_one_fault_and_is_not_kept() {
        let mut bytes = vec![b'x'; 3 << 20];
        bytes.push(b'\n');
        let verification = verify(&bytes[..]).unwrap();
        assert_eq!(verification.faults[0].line, 1);
        assert!(verification.faults[0].problem.contains("longer than"));
        assert_eq!(verification.faults_total, 2, "and the missing end");
    }
}
