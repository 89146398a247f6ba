//! Short simulations: everything happens in one, and the same seed is the same ledger.

mod clock;
mod simulations;
