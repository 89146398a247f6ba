//! The ticker's process.

use std::process::ExitCode;

use daemon::command_line::Service;

fn main() -> ExitCode {
    let service = Service {
        name: "ticker",
        about: "Time costs money: charges every living bot once a tick.",
        build: daemon::build!(),
        needs: &["DATABASE_URL", "REDIS_URL"],
        host: "HEALTH_HOST",
        port: ("TICKER_HEALTH_PORT", ticker::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, ticker::service::main())
}
