//! Short simulations: everything happens in one, and the same seed is the same ledger.
#![allow(clippy::unwrap_used, reason = "tests say what must hold by panicking, helpers too")]

mod clock;
mod simulations;
