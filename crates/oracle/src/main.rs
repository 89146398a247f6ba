//! The oracle's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::process::main("oracle", oracle::service::main())
}
