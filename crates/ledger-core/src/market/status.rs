//! Where a market stands.

labelled! {
    /// Where a market stands.
    MarketStatus {
        /// Takes bets until they close, or answers until its deadline.
        Open = "OPEN",
        /// Past its deadline: its evidence is being read.
        Locked = "LOCKED",
        Resolved = "RESOLVED",
        /// Undecidable, or called off by an operator: the living get their stakes back.
        Void = "VOID",
        /// Unsolved research: the house kept the stakes.
        Expired = "EXPIRED",
    }
}

impl MarketStatus {
    /// Whether its money has been settled. Nothing about such a market ever changes again.
    pub const fn is_settled(self) -> bool {
        match self {
            MarketStatus::Open | MarketStatus::Locked => false,
            MarketStatus::Resolved | MarketStatus::Void | MarketStatus::Expired => true,
        }
    }
}
