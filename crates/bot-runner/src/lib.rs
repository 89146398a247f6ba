//! The hosted bots: each observes, decides and acts through the API, as any other agent would.
//!
//! Start with [`runner`] (who runs which bot) and [`turn`] (what a turn is). [`decision`] is the
//! one place where a model's words become a stake, and it is pure.
//!
//! This service must never touch money but by the API. It uses Postgres for one thing: the
//! schedule, so that no restart skips a turn or repeats one, and several runners share the bots.

pub mod config;
pub mod decision;
pub mod persona;
pub mod prompt;
pub mod runner;
pub mod service;
pub mod turn;
