//! Shared by system tests and benchmarks: a populated arena, processes, a bare HTTP client.
//!
//! For tests and benchmarks only: everything here panics rather than answer an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "test code; floats are ratios of times here, never money"
)]

pub mod drill;
pub mod http;
pub mod populate;
pub mod random;
pub mod replicas;
pub mod stack;
