//! How much money there is, and where it went: the journal's view of the whole arena.
//!
//! `minted − burned − escrow = circulating` must hold at every commit, exactly.

use serde::{Deserialize, Serialize};

/// Totals of the whole journal, in units of 10⁻⁸. They may exceed one balance's range, so they are
/// wider than [`Money`](crate::Money).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Supply {
    /// Grants, revivals, and the house's part of payouts.
    pub minted: i128,
    /// Fees, liquidations, retirements, and stakes that fell to the house.
    pub burned: i128,
    /// Stakes of unsettled positions.
    pub escrow: i128,
    /// The sum of all balances.
    pub circulating: i128,
}

impl Supply {
    /// The difference in the books; zero if they balance.
    pub const fn drift(&self) -> i128 {
        self.minted - self.burned - self.escrow - self.circulating
    }

    pub fn text(&self) -> SupplyText {
        SupplyText {
            minted: units_text(self.minted),
            burned: units_text(self.burned),
            escrow: units_text(self.escrow),
            circulating: units_text(self.circulating),
        }
    }
}

/// Totals of the whole journal, as decimal strings: they may exceed one balance's range.
/// `minted − burned − escrow = circulating`, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Supply))]
pub struct SupplyText {
    /// Grants, revivals and the house's payments.
    pub minted: String,
    /// Fees, and the house's receipts.
    pub burned: String,
    /// Stakes of open predictions and bets.
    pub escrow: String,
    /// The sum of all balances.
    pub circulating: String,
}

/// A wide amount of units as a decimal string with eight digits.
pub fn units_text(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let magnitude = units.unsigned_abs();
    format!("{sign}{}.{:08}", magnitude / 100_000_000, magnitude % 100_000_000)
}
