//! The oracle's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    oracle::service::main(daemon::build!())
}
