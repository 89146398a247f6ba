//! Time costs money: charges every living bot exactly once a tick.
//!
//! `ledger_core::economy::tick` computes a tick's fees, `db::ticks` writes a chunk. This crate decides when a
//! tick begins, iterates over the bots, and isolates one bot's failure from the others ([`tick`]) and one tick's
//! failure from the next ([`service`]). Any number of tickers may run: they share a tick, and another finishes
//! the rest of an interrupted one.

pub mod config;
mod metrics;
pub mod service;
pub mod tick;

pub use tick::Ticker;
