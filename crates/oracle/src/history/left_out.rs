//! Moments that sources leave out of their histories.

use std::collections::BTreeMap;

use ledger_core::Timestamp;
use ledger_core::prediction::PriceSource;

/// The first moment that each source's last answer left out, and how often it did so in a row. Lost with the
/// process, which then requests more often.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<PriceSource, (Timestamp, i32)>);

impl LeftOut {
    /// How often the source left this moment out before; `None`: it left nothing out now.
    pub(super) fn before(&mut self, source: PriceSource, moment: Option<Timestamp>) -> i32 {
        let Some(moment) = moment else {
            self.0.remove(&source);
            return 0;
        };
        let (kept, times) = self.0.entry(source).or_insert((moment, 0));
        if *kept != moment {
            (*kept, *times) = (moment, 0);
        }
        *times += 1;
        *times - 1
    }
}
