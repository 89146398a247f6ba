//! The hosted bots: each observes, decides and acts through the API, as any other agent would.
//!
//! Start with [`runner`] (who runs which bot) and [`turn`] (what a turn is). What a bot may do with
//! one is in [`strategy`]; [`decision`], [`research`] and [`portfolio`] are where a model's words
//! become a stake, and they are pure. [`budget`] is the one way to a model.
//!
//! This service must never touch money but by the API. It uses Postgres for one thing: the
//! schedule, so that no restart skips a turn, repeats one or forgets what thinking cost, and several
//! runners share the bots.

pub mod budget;
pub mod config;
pub mod decision;
pub mod lookup;
mod metrics;
pub mod portfolio;
pub mod prices;
pub mod prompt;
mod reading;
pub mod research;
pub mod runner;
pub mod service;
pub mod strategy;
pub mod turn;

pub use personas as persona;
