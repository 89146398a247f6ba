//! Whole days in the arena with real processes, and the architecture as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod agents;
mod architecture;
mod circles;
mod command_lines;
mod day;
mod deploy;
mod drills;
mod given;
mod history;
mod markets;
mod pooled;
mod restored;
mod rolling;
mod watched;
