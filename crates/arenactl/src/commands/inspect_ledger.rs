//! `arenactl inspect-ledger`: the audit, for people and for machines.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daemon::config::{Reader, Sources};
use daemon::process::Failure;
use db::audit::{self, Fault, Options};
use ledger_core::Hash;
use serde::Serialize;
use supervisor::files::Replacement;

use super::{DATABASE_URL, whole_audit};
use crate::output::{Judged, Plain, counted};
use crate::postgres::{self, Postgres};

const WORKERS_MAX: u16 = 64;
const REPORT_MODE: u32 = 0o644;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Chains audited at once; each worker is a connection
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    workers: Option<u16>,
    /// Write the whole report to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    sound: bool,
    /// The digest of the rules in this command's settings.
    settings_rules: Hash,
    #[serde(flatten)]
    report: audit::Report,
}

pub(crate) async fn run(sources: &Sources, args: &Args) -> Result<Audit, Failure> {
    let mut reader = Reader::new(sources);
    let url = reader.connection_url(DATABASE_URL, postgres::SCHEMES);
    let settings_rules = service::rules(&mut reader).digest();
    reader.finish()?;
    // Before the audit, which may take long: a report that cannot be written is noticed now.
    let file = args.report.as_deref().map(begin).transpose()?;
    let postgres = Postgres::connect_migrated(DATABASE_URL, &url, 1).await?;
    let options = match args.workers {
        Some(workers) => Options { workers: workers.into(), ..whole_audit() },
        None => whole_audit(),
    };
    let report = audit::audit(postgres.database(), options).await;
    let report = report.map_err(|error| postgres.failure(error, "the audit did not end"))?;
    let audit = Audit { sound: report.is_sound(), settings_rules, report };
    if let Some((mut file, path)) = file {
        write(&mut file, &audit)
            .and_then(|()| file.commit())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(audit)
}

fn begin(path: &Path) -> anyhow::Result<(Replacement, &Path)> {
    let file = Replacement::begin(path, REPORT_MODE);
    Ok((file.with_context(|| format!("cannot write {}", path.display()))?, path))
}

fn write(file: &mut Replacement, audit: &Audit) -> io::Result<()> {
    let writer = file.writer();
    serde_json::to_writer_pretty(&mut *writer, audit)?;
    writeln!(writer)
}

impl Judged for Audit {
    /// A failure when anything is broken.
    fn verdict(self) -> Result<(), Failure> {
        if self.sound {
            return Ok(());
        }
        let faults = self.faults();
        Err(anyhow::anyhow!("the ledger is broken: {faults}; the report names them").into())
    }
}

impl Audit {
    fn faults(&self) -> String {
        counted(usize::try_from(self.report.faults_total).unwrap_or(usize::MAX), "fault")
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        if self.sound {
            writeln!(f, "The ledger is sound.")?;
        } else {
            writeln!(f, "The ledger is BROKEN: {}.", self.faults())?;
        }
        let database = &report.database;
        write!(f, "  database      {}", Plain(&database.name))?;
        match &database.system_identifier {
            Some(cluster) => writeln!(f, " of the cluster {cluster}")?,
            None => writeln!(f)?,
        }
        writeln!(f, "  arena         {}", database.arena)?;
        match database.rules {
            Some(rules) if rules == self.settings_rules => writeln!(f, "  rules         {rules}")?,
            Some(rules) => writeln!(
                f,
                "  rules         {rules}, not those of the settings here ({})",
                self.settings_rules
            )?,
            None => {
                writeln!(f, "  rules         none yet; the settings here: {}", self.settings_rules)?
            }
        }
        writeln!(f, "  as of         {}", report.as_of)?;
        writeln!(f, "  bots          {}", report.bots)?;
        writeln!(f, "  entries       {}", report.entries)?;
        writeln!(f, "  markets       {}", report.markets)?;
        writeln!(f, "  minted        {}", report.supply.minted)?;
        writeln!(f, "  burned        {}", report.supply.burned)?;
        writeln!(f, "  escrow        {}", report.supply.escrow)?;
        writeln!(f, "  circulating   {}", report.supply.circulating)?;
        writeln!(f, "  drift         {}", report.drift)?;
        write!(f, "  heads digest  {}", report.heads_digest)?;
        if self.sound {
            return Ok(());
        }
        for fault in &report.faults {
            write!(f, "\nfault  ")?;
            name(fault, f)?;
        }
        let named = u64::try_from(report.faults.len()).unwrap_or(u64::MAX);
        match report.faults_total.saturating_sub(named) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

fn name(fault: &Fault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(bot_id) = fault.bot_id {
        write!(f, "bot {bot_id}, ")?;
    }
    if let Some(market_id) = fault.market_id {
        write!(f, "market {market_id}, ")?;
    }
    if let Some(sequence) = fault.sequence {
        write!(f, "entry {sequence}, ")?;
    }
    let (expected, found) = (Plain(&fault.expected), Plain(&fault.found));
    write!(f, "{}: expected {expected}; found {found}", Plain(&fault.field))
}
