//! What time costs: the charges of a tick, each a file of its own and a line in [`CHARGES`].
//!
//! A new charge also wants an entry type of its own ([`crate::entry_types`]) and its figures among the
//! rules ([`crate::rules`]).

use crate::entry_types::EntryType;
use crate::ids::TickNumber;
use crate::money::Money;
use crate::rules::EconomyRules;
use crate::wallet::Wallet;

mod entropy;

/// One thing that a living bot pays for when a tick comes.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// The type of its entry, whose amount is negative and burned.
    pub entry_type: EntryType,
    /// What is due of this bot in this tick; zero where nothing is.
    pub due: fn(&Wallet, &EconomyRules, TickNumber) -> Money,
}

/// In the order in which they are paid. Who cannot pay all of them is liquidated.
pub const CHARGES: &[Charge] = &[entropy::CHARGE];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry_types::{House, SignRule, Total};

    #[test]
    fn each_charge_is_burned_and_has_a_type_of_its_own() {
        for (place, charge) in CHARGES.iter().enumerate() {
            let declared = charge.entry_type.declaration();
            assert_eq!(declared.sign, SignRule::Negative, "{}", declared.label);
            assert_eq!(declared.house, House::Burn, "{}", declared.label);
            // The wallet counts every charge as a fee, and the audit what is declared as one.
            assert_eq!(declared.total, Total::Fees, "{}", declared.label);
            let others = CHARGES.iter().take(place);
            assert!(others.into_iter().all(|other| other.entry_type != charge.entry_type));
        }
    }
}
