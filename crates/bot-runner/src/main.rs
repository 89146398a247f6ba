//! The bot runner's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    bot_runner::service::main(daemon::build!())
}
