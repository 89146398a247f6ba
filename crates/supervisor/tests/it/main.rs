//! The supervisor as a process, with a real Postgres and Redis of its own and stand-ins for the arena's
//! programs. Each test has a directory and ports of its own.
#![allow(clippy::unwrap_used)]

mod bench;
mod crashes;
mod guide;
mod installer;
mod private;
mod refusals;
mod scripts;
mod start;
mod terminal;
