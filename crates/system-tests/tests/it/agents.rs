//! The agents of `examples/` and the commands of `docs/agents.md`, as they are, on a running arena.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use system_tests::stack::{Stack, bin_dir, root};
use test_kit::eventually;
use test_kit::outside::Outside;
use tokio::process::Command;

use crate::day::{HASTY, get};
use crate::markets::{Agent, pass_deadlines};

/// What they get of the environment: where the arena is, and no more.
fn agent(program: impl AsRef<std::ffi::OsStr>, home: &Path, arena: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .env("ARENA_URL", arena)
        .env_remove("ARENA_SECRET")
        .env("PAUSE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn python(home: &Path, arena: &str, arguments: &[&str]) -> Command {
    let mut command = agent("python3", home, arena);
    command.arg(root().join("examples/agent.py")).args(arguments);
    command
}

fn rust(home: &Path, arena: &str, arguments: &[&str]) -> Command {
    let mut command = agent(bin_dir().join("examples/agent"), home, arena);
    command.args(arguments);
    command
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Waits for agents while the deadlines of their markets pass.
async fn until_settled<T>(stack: &Stack, handles: &[&str], run: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(120);
    let deadlines = async {
        loop {
            pass_deadlines(stack, 1, handles).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        done = tokio::time::timeout(patience, run) => done.expect("they end in two minutes"),
        () = deadlines => unreachable!("it goes on until they end"),
    }
}

/// Takes the other side of the first bet of a bot.
async fn bet_against(stack: &Stack, handle: &str, against: &Agent) {
    let owner = test_kit::connect(&stack.written("DATABASE_OWNER_URL")).await;
    let sql = "SELECT b.market_id::text, b.side::text FROM bets b JOIN bots o ON o.id = b.bot_id \
                WHERE o.handle = $1 AND b.side IS NOT NULL";
    eventually(&format!("{handle} bets, and somebody against it"), || async {
        let bet = owner.query_opt(sql, &[&handle]).await.unwrap()?;
        let (market, side): (String, String) = (bet.get(0), bet.get(1));
        let side = if side == "YES" { "NO" } else { "YES" };
        let body = json!({"side": side, "stake": "5.00", "confidence": "0.60"});
        let placed = against.post(&format!("/markets/{market}/bets"), &body).await;
        placed.map(drop)
    })
    .await;
}

async fn stack(outside: &Outside) -> Stack {
    let bots = tempfile::tempdir().unwrap();
    let persona = root().join("bots/momentum-mia.yaml");
    std::fs::copy(persona, bots.path().join("momentum-mia.yaml")).unwrap();
    let (bots, urls) = (bots.path().display().to_string(), outside.settings());
    let mut settings: Vec<(&str, &str)> = HASTY.to_vec();
    settings.extend(urls.lines().filter_map(|line| line.split_once('=')));
    settings.extend([
        ("BOTS_DIR", bots.as_str()),
        ("ENFORCEMENT_MODE", "observe"),
        ("MARKET_PLACES", "16"),
        ("BOUNTY_BUDGET_PER_HOUR", "100000.00"),
    ]);
    Stack::start(&settings).await.0
}

async fn assert_wagered_and_settled(stack: &Stack, handle: &str) {
    let bot = get(stack, &format!("/bots/{handle}")).await;
    let entries = get(stack, &format!("/bots/{}/ledger?limit=200", bot["id"])).await;
    let kinds: Vec<&Value> =
        entries["items"].as_array().unwrap().iter().map(|entry| &entry["entry_type"]).collect();
    for kind in ["GRANT", "WAGER", "MARKET_STAKE"] {
        assert!(kinds.iter().any(|it| **it == kind), "{handle}: {kinds:?}");
    }
    let verify = get(stack, &format!("/bots/{}/ledger/verify", bot["id"])).await;
    assert!(verify["valid"] == true && verify["complete"] == true, "{verify}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_of_examples_and_the_guide_live_to_see_their_bets_settled() {
    let outside = Outside::start().await;
    let stack = stack(&outside).await;
    let arena = format!("http://127.0.0.1:{}", stack.api_port);
    let wikipedia = format!("http://{}", outside.address);
    let home = tempfile::tempdir().unwrap();
    let mut snake = python(home.path(), &arena, &["--handle", "snake", "--pause", "1"]);
    snake.arg("--until-settled").env("WIKIPEDIA_URL", &wikipedia);
    let mut crab = rust(home.path(), &arena, &["crab", "--until-settled"]);
    let (snake, crab) = until_settled(&stack, &["snake", "crab"], async {
        tokio::join!(snake.output(), crab.output())
    })
    .await;
    for (handle, output) in [("snake", snake.unwrap()), ("crab", crab.unwrap())] {
        let told = text(&output);
        println!("{told}");
        assert!(output.status.success(), "{handle}: {told}");
        for line in ["registered", "wager 1.00", "bet 2.00", "settled: bet"] {
            assert!(told.contains(line), "{handle} did not tell of {line}: {told}");
        }
        assert!(!told.contains("lds_"), "{handle} shows its secret");
        assert_wagered_and_settled(&stack, handle).await;
    }
    let mut reader = agent("bash", home.path(), &arena);
    reader.args(["-c", &guide()]).env("WIKIPEDIA_URL", &wikipedia);
    // Where nobody is right stakes come back, so somebody takes the other side.
    let against = Agent::register(&stack, "against").await;
    let run = async { tokio::join!(reader.output(), bet_against(&stack, "guided", &against)) };
    let (reader, ()) = until_settled(&stack, &["against"], run).await;
    let reader = reader.unwrap();
    let said = text(&reader);
    println!("{said}");
    assert!(reader.status.success(), "docs/agents.md: {said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("WON") || last.contains("LOST"), "{said}");
    assert_wagered_and_settled(&stack, "guided").await;

    // Whoever comes back with the kept secret is the same bot.
    let mut again = python(home.path(), &arena, &["--handle", "snake", "--once"]);
    let again = again.output().await.unwrap();
    assert!(again.status.success() && !text(&again).contains("registered"));
    // The dead are told so, and go.
    let retired = stack.arenactl(&["retire", "snake", "--reason", "done", "--yes"]);
    assert!(retired.0, "{}", retired.1);
    let mut dead = python(home.path(), &arena, &["--handle", "snake", "--once"]);
    let dead = dead.output().await.unwrap();
    assert!(!dead.status.success() && text(&dead).starts_with("I am dead"), "{}", text(&dead));
    let (sound, report) = stack.arenactl(&["inspect-ledger"]);
    assert!(sound, "{report}");
    assert_eq!(stack.stop(), Some(0));
}

#[tokio::test]
async fn without_an_arena_the_agents_say_so_and_fail() {
    let home = tempfile::tempdir().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", system_tests::stack::free_port());
    let mut snake = python(home.path(), &nowhere, &["--handle", "snake", "--once"]);
    let mut crab = rust(home.path(), &nowhere, &["crab", "--once"]);
    let (snake, crab) = tokio::join!(snake.output(), crab.output());
    for (output, words) in [(snake, "does not answer"), (crab, "cannot be reached")] {
        let output = output.unwrap();
        let told = text(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(words) && told.lines().count() == 1, "{told}");
    }
}

/// The commands of the guide as one script that stops at the first that fails, be it by an HTTP
/// status. A command begins with `$ ` and goes on in the lines that are indented.
fn guide() -> String {
    let text = std::fs::read_to_string(root().join("docs/agents.md")).unwrap();
    let mut script =
        String::from("set -euo pipefail\ncurl() { command curl --fail-with-body \"$@\"; }\n");
    let (mut in_block, mut commands) = (false, 0);
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = line == "```console";
        } else if in_block && line.starts_with("$ ") {
            commands += 1;
            script.extend([line.trim_start_matches("$ "), "\n"]);
        } else if in_block && line.starts_with("    ") {
            script.extend([line, "\n"]);
        }
    }
    assert!(commands > 10, "the guide has {commands} commands");
    script
}
