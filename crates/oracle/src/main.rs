//! The oracle's process.

use std::process::ExitCode;

use daemon::command_line::Service;

fn main() -> ExitCode {
    let service = Service {
        name: "oracle",
        about: "Prices, settlement of predictions and markets, and the market maker.",
        build: daemon::build!(),
        needs: &["DATABASE_URL", "REDIS_URL"],
        host: "HEALTH_HOST",
        port: ("ORACLE_HEALTH_PORT", oracle::config::HEALTH_PORT),
    };
    daemon::process::serve(&service, oracle::service::main())
}
