//! Time costs money: charges every living bot exactly once a cycle.
//!
//! What a tick costs is `ledger_core::economy::tick`, how a chunk is written is `db::ticks`; this
//! crate decides when a cycle begins, walks the bots, and keeps one bot's failure from the others
//! ([`cycle`]) and one cycle's failure from the next ([`service`]). Any number of tickers may run:
//! they share a cycle, and what one leaves unfinished another finishes.

pub mod config;
pub mod cycle;
mod metrics;
pub mod service;

pub use cycle::Ticker;
