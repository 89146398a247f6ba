//! The results of a drill, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::{Fault, Skipped};
use super::{Options, invariants};

/// A fault that struck, and that everything survived.
#[derive(Debug, Clone)]
pub struct Struck {
    pub number: usize,
    pub fault: Fault,
    /// While it lasted.
    pub struck_for: Duration,
    /// From its end until all was ready and agents got acknowledgements again.
    pub recovery: Duration,
    /// Actions acknowledged meanwhile.
    pub acknowledged: usize,
    pub(crate) checked: usize,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4}  {:<32} lasted {:>5.1} s, back after {:>5.1} s, {} acknowledged meanwhile",
            self.number,
            self.fault.to_string(),
            self.struck_for.as_secs_f64(),
            self.recovery.as_secs_f64(),
            self.acknowledged
        )
    }
}

/// A drill that passed.
#[derive(Debug, Clone)]
pub struct Report {
    seed: u64,
    struck: Vec<Struck>,
    skipped: Vec<Skipped>,
    checks: usize,
    pub(crate) acknowledged: usize,
    pub(crate) entries: i64,
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn new(options: &Options, skipped: &[Skipped]) -> Report {
        Report {
            seed: options.seed,
            struck: Vec::new(),
            skipped: skipped.to_vec(),
            checks: 0,
            acknowledged: 0,
            entries: 0,
            took: Duration::ZERO,
        }
    }

    pub(crate) fn add(&mut self, struck: Struck) {
        self.checks += struck.checked;
        self.struck.push(struck);
    }

    pub(crate) fn checked(&mut self, checks: usize) {
        self.checks += checks;
    }

    fn by_kind(&self) -> BTreeMap<String, Vec<f64>> {
        let mut kinds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for struck in &self.struck {
            let times = kinds.entry(struck.fault.to_string()).or_default();
            times.push(struck.recovery.as_secs_f64());
        }
        for times in kinds.values_mut() {
            times.sort_by(f64::total_cmp);
        }
        kinds
    }

    pub fn json(&self) -> Value {
        let kinds: Vec<Value> = self
            .by_kind()
            .into_iter()
            .map(|(kind, times)| {
                json!({
                    "fault": kind, "count": times.len(), "recovery_seconds": {
                        "min": times[0], "median": times[times.len() / 2], "max": times[times.len() - 1],
                    },
                })
            })
            .collect();
        let skipped: Vec<Value> =
            self.skipped.iter().map(|one| json!({ "fault": one.what, "why": one.why })).collect();
        json!({
            "seed": self.seed, "faults": self.struck.len(), "violations": 0, "by_kind": kinds,
            "skipped": skipped, "invariants": invariants::ALL, "checks": self.checks,
            "acknowledged": self.acknowledged, "entries": self.entries,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34} {:>5} {:>8} {:>8} {:>8}",
            "FAULT", "COUNT", "BACK MIN", "MEDIAN", "MAX"
        )?;
        for (kind, times) in self.by_kind() {
            let (count, last) = (times.len(), times.len() - 1);
            let median = times[count / 2];
            writeln!(
                f,
                "{kind:<34} {count:>5} {:>6.1} s {median:>6.1} s {:>6.1} s",
                times[0], times[last]
            )?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped: {}: {}", skipped.what, skipped.why)?;
        }
        writeln!(f, "\nafter each fault:")?;
        for invariant in invariants::ALL {
            writeln!(f, "  {invariant}")?;
        }
        write!(
            f,
            "\nseed {}: {} faults in {:.0} s, {} checks, no violation; {} acknowledged actions, {} entries",
            self.seed,
            self.struck.len(),
            self.took.as_secs_f64(),
            self.checks,
            self.acknowledged,
            self.entries
        )
    }
}
