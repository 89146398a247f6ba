//! The API's process.

use std::process::ExitCode;

use daemon::command_line::Service;

fn main() -> ExitCode {
    let service = Service {
        name: "api",
        about: "The arena's HTTP API.",
        build: daemon::build!(),
        needs: &["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ADMIN_TOKEN"],
        host: "API_HOST",
        port: ("API_PORT", 8000),
    };
    daemon::process::serve(&service, api::run())
}
