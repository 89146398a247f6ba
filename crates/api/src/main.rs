//! The service `api`.

fn main() -> std::process::ExitCode {
    daemon::process::main("api", api::run())
}
