//! The entry types: what each moves, between whom, and what it does to its bot. One table, and nothing
//! else in the project may list them: what needs a list is generated from this one, or is held to it
//! by a test.
//!
//! A new type is a row here. `arenactl migrate` adds its label to Postgres' enum, and `make generate`
//! rewrites the page's file and the contract. The ledger's CHECK requires a negative amount for each type
//! that it does not name, so a type with another sign needs a migration.

use crate::money::Money;
use crate::wallet::status::BotStatus;

/// Which amounts an entry type may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignRule {
    Positive,
    Negative,
    Zero,
    /// All that is there, taken away: negative, or zero where nothing is left.
    NotPositive,
}

/// The house's account on the other side of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum House {
    /// The house makes the money.
    Mint,
    /// The money falls to the house and is gone.
    Burn,
    /// A stake goes into escrow, where it stays the bot's.
    IntoEscrow,
    /// A stake comes out of escrow. What is paid beyond it is minted; what is not paid back is burned,
    /// or paid to others of the same pool.
    OutOfEscrow,
}

/// What an entry does to its bot's open positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    None,
    OpensPrediction,
    OpensBet,
    /// Paid beside an answer that is open; its row says that it was, and not what it cost.
    BesideAnswer,
    /// A prediction or a bet; the reference tells which.
    Closes,
}

/// In which of its bot's running totals an entry counts by itself. What a position brought is
/// counted from its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    None,
    Granted,
    Fees,
    LookupFees,
}

/// All that there is to know about an entry type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    /// As it is stored, hashed and sent.
    pub label: &'static str,
    pub sign: SignRule,
    pub house: House,
    pub position: Position,
    pub total: Total,
    /// Which bots may receive one.
    pub allowed: &'static [BotStatus],
    /// What the bot is from then on, where that changes.
    pub becomes: Option<BotStatus>,
    /// A word or two for a person.
    pub words: &'static str,
}

macro_rules! entry_types {
    ($($(#[$meta:meta])* $name:ident $label:tt: $sign:ident, $house:ident, $position:ident, $total:ident,
       [$($allowed:ident)*] $(=> $becomes:ident)?, $words:literal;)+) => {
        labelled! {
            /// What an entry is.
            EntryType { $($(#[$meta])* $name = $label,)+ }
        }

        impl EntryType {
            pub const fn declaration(self) -> &'static Declaration {
                match self {
                    $(EntryType::$name => &Declaration {
                        label: $label,
                        sign: SignRule::$sign,
                        house: House::$house,
                        position: Position::$position,
                        total: Total::$total,
                        allowed: &[$(BotStatus::$allowed),*],
                        becomes: entry_types!(@becomes $($becomes)?),
                        words: $words,
                    },)+
                }
            }
        }
    };
    (@becomes) => { None };
    (@becomes $status:ident) => { Some(BotStatus::$status) };
}

entry_types! {
    // The dead only lose what they left open, are revived, or retired; the retired only lose what they
    // left open.
    // name           label                  amount       house        positions        total       for             => then     words
    Grant             "GRANT":               Positive,    Mint,        None,            Granted,    [Alive],                   "grant";
    Heartbeat         "HEARTBEAT":           Negative,    Burn,        None,            Fees,       [Alive],                   "fee";
    Wager             "WAGER":               Negative,    IntoEscrow,  OpensPrediction, None,       [Alive],                   "wager";
    Payout            "PAYOUT":              Positive,    OutOfEscrow, Closes,          None,       [Alive],                   "win";
    Slash             "SLASH":               Zero,        OutOfEscrow, Closes,          None,       [Alive],                   "loss";
    Forfeit           "FORFEIT":             Zero,        OutOfEscrow, Closes,          None,       [Dead Retired],            "forfeit";
    Refund            "REFUND":              Positive,    OutOfEscrow, Closes,          None,       [Alive],                   "refund";
    MarketStake       "MARKET_STAKE":        Negative,    IntoEscrow,  OpensBet,        None,       [Alive],                   "bet";
    MarketPayout      "MARKET_PAYOUT":       Positive,    OutOfEscrow, Closes,          None,       [Alive],                   "market win";
    ResearchPayout    "RESEARCH_PAYOUT":     Positive,    OutOfEscrow, Closes,          None,       [Alive],                   "research win";
    ResearchLookupFee "RESEARCH_LOOKUP_FEE": Negative,    Burn,        BesideAnswer,    LookupFees, [Alive],                   "lookup fee";
    Liquidation       "LIQUIDATION":         NotPositive, Burn,        None,            None,       [Alive]      => Dead,      "death";
    Revive            "REVIVE":              Positive,    Mint,        None,            Granted,    [Dead]       => Alive,     "revival";
    Retired           "RETIRED":             NotPositive, Burn,        None,            None,       [Alive Dead] => Retired,   "retired";
}

impl EntryType {
    pub const fn sign_rule(self) -> SignRule {
        self.declaration().sign
    }

    pub const fn allows_amount(self, amount: Money) -> bool {
        match self.sign_rule() {
            SignRule::Positive => amount.is_positive(),
            SignRule::Negative => amount.is_negative(),
            SignRule::Zero => amount.is_zero(),
            SignRule::NotPositive => !amount.is_positive(),
        }
    }

    /// Whether it takes exactly what is there, so that the balance is zero after it.
    pub const fn drains(self) -> bool {
        matches!(self.sign_rule(), SignRule::NotPositive)
    }

    /// Whether a bot in this status may receive such an entry.
    pub fn allowed_for(self, status: BotStatus) -> bool {
        self.declaration().allowed.contains(&status)
    }
}
