//! The client against a server on loopback that answers what each test wants.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod contract;
mod dry_runs;
mod events;
mod markets;
mod operators;
mod problems;
mod retries;
mod secrets;
mod stub;
mod tokens;
