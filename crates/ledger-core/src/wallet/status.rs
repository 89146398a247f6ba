//! Whether a bot lives.

labelled! {
    /// A bot's standing. Only an operator brings back the dead; nobody brings back the retired.
    BotStatus {
        Alive = "ALIVE",
        Dead = "DEAD",
        Retired = "RETIRED",
    }
}
