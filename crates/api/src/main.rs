//! The API's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::main(daemon::build!())
}
