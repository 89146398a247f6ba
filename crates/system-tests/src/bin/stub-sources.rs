//! The services that markets ask, on loopback, for trying the arena without the internet.
//!
//! `cargo run -p system-tests --bin stub-sources -- 9900` prints the settings to start the arena
//! with, and serves until it is stopped. What it answers is made up, and every market's evidence
//! shows the loopback address that it came from.
#![allow(clippy::print_stdout, reason = "a development tool talks to its terminal")]

use test_kit::outside::Outside;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let port = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| anyhow::anyhow!("the argument must be a port"))?,
        None => 0,
    };
    let outside = Outside::listen(port).await;
    println!("# put these into .env or the environment, then start the arena");
    print!("{}", outside.settings());
    std::future::pending::<()>().await;
    Ok(())
}
