//! The bot runner's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::process::main("bot-runner", bot_runner::service::main())
}
