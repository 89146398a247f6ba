//! The hosted bots: each observes, decides and acts through the API, as any other agent would.
//!
//! Start with [`runner`] (the schedule of bots) and [`turn`] (one turn). [`strategy`] has a bot's possible
//! actions; [`decision`], [`research`] and [`portfolio`] compute stakes from a model's output, and they are pure.
//! [`budget`] is the one way to a model.
//!
//! This service must never touch money but by the API. It uses Postgres only for the schedule and the budget, so
//! that a restart neither skips nor repeats a turn nor loses the spent amount, and several runners share the
//! bots.

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
