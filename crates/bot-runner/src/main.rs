//! The bot runner's process.

use std::process::ExitCode;

use daemon::command_line::Service;

fn main() -> ExitCode {
    let service = Service {
        name: "bot-runner",
        about: "Runs the hosted bots: observe, decide, act through the API.",
        build: daemon::build!(),
        needs: &["DATABASE_URL"],
        host: "HEALTH_HOST",
        port: ("BOT_RUNNER_HEALTH_PORT", bot_runner::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, bot_runner::service::main())
}
