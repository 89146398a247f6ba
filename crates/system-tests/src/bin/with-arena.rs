//! `with-arena [SETTING=VALUE]… -- COMMAND…`: runs a command against a whole arena of its own, on made-up
//! sources, and leaves nothing running.
//!
//! The command is told the settings of that arena, so that `arenactl` finds it, and `ARENA_API` (its URL) and
//! `ARENA_OPERATOR` (the operator's token). Like `scripts/fuzz-api` and `scripts/test-web`, which use it.

use std::process::ExitCode;

use system_tests::stack::Stack;
use test_kit::outside::Outside;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let split = words.iter().position(|word| word == "--");
    let (settings, command) = words.split_at(split.unwrap_or(words.len()));
    let Some((program, arguments)) = command.get(1..).and_then(<[String]>::split_first) else {
        anyhow::bail!("usage: with-arena [SETTING=VALUE]... -- COMMAND...");
    };
    let outside = Outside::listen(0).await;
    let sources = outside.settings();
    let pairs: Vec<(&str, &str)> = sources
        .lines()
        .chain(settings.iter().map(String::as_str))
        .filter_map(|line| line.split_once('='))
        .collect();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let running = async {
        let (stack, _) = Stack::start(&pairs).await;
        let status = tokio::process::Command::new(program)
            .args(arguments)
            .envs(stack.environment())
            .env("ARENA_API", format!("http://127.0.0.1:{}", stack.api_port))
            .env("ARENA_OPERATOR", stack.written("ADMIN_TOKEN"))
            .kill_on_drop(true)
            .status()
            .await;
        stack.stop();
        status
    };
    let code = tokio::select! {
        status = running => status?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    Ok(ExitCode::from(code))
}
