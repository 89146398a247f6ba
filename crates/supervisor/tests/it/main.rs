//! The supervisor as a process, with its own real Postgres and Redis and stubs of the arena's programs. Each test
//! has its own directory and ports.
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
