//! `arenactl export`: the ledger of one bot or of all, as a verifiable file.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daemon::config::Sources;
use daemon::process::Failure;
use db::bots::BotRef;
use db::export::ExportError;
use ledger_core::chain::{Head, HeadsDigest};
use ledger_core::{BotId, Entry, Hash, Timestamp};
use serde::Serialize;
use supervisor::files::Replacement;

use super::{bot_id, services_database};
use crate::arguments::bot_ref;
use crate::export_file::{EndFields, FORMAT, Form, HeadFields};
use crate::output;

const FILE_MODE: u32 = 0o644;
const STDOUT: &str = "-";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this bot's chain: its handle or its id
    #[arg(long, value_name = "HANDLE|ID", value_parser = bot_ref)]
    bot: Option<BotRef>,
    /// One JSON object a line, or comma-separated values
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Form,
    /// Where to; `-` is standard output, and then nothing else is printed there
    #[arg(long, value_name = "FILE", default_value = STDOUT)]
    to: PathBuf,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    file: PathBuf,
    as_of: Timestamp,
    bots: u64,
    entries: u64,
    heads_digest: Hash,
}

/// The export's summary; `None` for standard output, which then only has the data.
pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Option<Report>, Failure> {
    let postgres = services_database(sources).await?;
    let bot = bot_id(&postgres, "export", args.bot.as_ref()).await?;
    if args.to == Path::new(STDOUT) {
        let mut out = output::data();
        write(&postgres, bot, args.format, &mut out, "standard output").await?;
        out.flush().context("cannot write to standard output")?;
        return Ok(None);
    }
    let name = args.to.display().to_string();
    let unwritable = || format!("cannot write {name}");
    let mut file = Replacement::begin(&args.to, FILE_MODE).with_context(unwritable)?;
    let end = write(&postgres, bot, args.format, file.writer(), &name).await?;
    file.commit().with_context(unwritable)?;
    Ok(Some(Report {
        file: args.to.clone(),
        as_of: end.as_of,
        bots: end.bots,
        entries: end.entries,
        heads_digest: end.heads_digest,
    }))
}

async fn write(
    postgres: &crate::postgres::Postgres,
    bot: Option<BotId>,
    form: Form,
    out: &mut impl Write,
    name: &str,
) -> Result<EndFields, Failure> {
    let unwritable = || format!("cannot write {name}");
    form.begin(out).with_context(unwritable)?;
    let mut writer = Writer::new(form, out);
    let exported = db::export::entries(postgres.database(), bot, |entry| writer.entry(entry)).await;
    let ended = match exported {
        Ok(as_of) => writer.end(as_of, bot),
        Err(ExportError::Sink(error)) => Err(error),
        Err(ExportError::Database(error)) => {
            return Err(postgres.failure(error, "the export did not end"));
        }
    };
    Ok(ended.with_context(unwritable)?)
}

/// Writes the lines of one file.
struct Writer<'a, W> {
    form: Form,
    out: &'a mut W,
    head: Option<Head>,
    bots: u64,
    entries: u64,
    digest: HeadsDigest,
}

impl<'a, W: Write> Writer<'a, W> {
    fn new(form: Form, out: &'a mut W) -> Writer<'a, W> {
        Writer { form, out, head: None, bots: 0, entries: 0, digest: HeadsDigest::default() }
    }

    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.head.is_some_and(|head| head.bot_id != entry.bot_id) {
            self.end_chain()?;
        }
        self.form.entry(self.out, entry)?;
        self.entries += 1;
        self.head = Some(Head::after(entry));
        Ok(())
    }

    fn end_chain(&mut self) -> io::Result<()> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        self.bots += 1;
        let mut line = Vec::new();
        HeadsDigest::write_line(&head, &mut line);
        self.digest.add_lines(&line);
        self.form.head(self.out, HeadFields::from(&head))
    }

    fn end(mut self, as_of: Timestamp, only_bot: Option<BotId>) -> io::Result<EndFields> {
        self.end_chain()?;
        let end = EndFields {
            format: FORMAT.to_owned(),
            as_of,
            only_bot,
            bots: self.bots,
            entries: self.entries,
            heads_digest: std::mem::take(&mut self.digest).finish(),
        };
        self.form.end(self.out, end)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exported to {}", self.file.display())?;
        writeln!(f, "  as of         {}", self.as_of)?;
        writeln!(f, "  bots          {}", self.bots)?;
        writeln!(f, "  entries       {}", self.entries)?;
        write!(f, "  heads digest  {}", self.heads_digest)
    }
}
