//! The ticker's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    ticker::service::main(daemon::build!())
}
