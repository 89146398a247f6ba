//! The ticker's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::process::main("ticker", ticker::service::main())
}
