//! The fee of each tick: it grows while a bot does nothing that counts.

use super::Charge;
use crate::entry_types::EntryType;
use crate::ids::TickNumber;
use crate::money::Money;
use crate::rules::EconomyRules;
use crate::wallet::Wallet;

pub(super) const CHARGE: Charge = Charge { entry_type: EntryType::Heartbeat, due };

fn due(wallet: &Wallet, rules: &EconomyRules, _: TickNumber) -> Money {
    rules.entropy(wallet.streak())
}
