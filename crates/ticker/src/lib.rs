//! Time costs money: charges every living bot exactly once a tick.
//!
//! What a tick costs is `ledger_core::economy::tick`, how a chunk is written is `db::ticks`; this
//! crate decides when a tick begins, walks the bots, and keeps one bot's failure from the others
//! ([`tick`]) and one tick's failure from the next ([`service`]). Any number of tickers may run:
//! they share a tick, and what one leaves unfinished another finishes.

pub mod config;
mod metrics;
pub mod service;
pub mod tick;

pub use tick::Ticker;
