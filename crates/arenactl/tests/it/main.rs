//! Runs the real `arenactl` against real servers, from `/`, with no environment but what each test
//! gives it. Every run is searched for secrets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod after_recovery;
mod backup;
mod bench;
mod debug_auth;
mod export;
mod genesis;
mod inspect_ledger;
mod markets;
mod migrate;
mod operator_acts;
mod rotations;
mod settings;
mod status;
mod sync_keys;
mod up;
