use std::process::ExitCode;

fn main() -> ExitCode {
    arenactl::main(daemon::build!())
}
