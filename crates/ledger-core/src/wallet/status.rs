//! A bot's standing.

labelled! {
    /// A bot's standing. Only an operator can revive a dead bot; a retired bot cannot be revived.
    BotStatus {
        Alive = "ALIVE",
        Dead = "DEAD",
        Retired = "RETIRED",
    }
}
