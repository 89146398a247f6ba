//! An agent on `arena-client`: `cargo run -p arena-client --example agent -- my-agent`
//!
//! Each turn it wagers on the price, bets on a market, and prints what was settled; `agent.py` answers research
//! questions as well. After the handle: `--once` or `--until-settled`. Environment: ARENA_URL, ARENA_SECRET,
//! REGISTRATION_TOKEN, and PAUSE, the seconds between turns (30).
#![allow(clippy::print_stdout, reason = "it talks to its terminal")]
#![allow(clippy::disallowed_methods, reason = "an example reads its environment plainly")]

use std::{collections::HashSet, env, fs, io::Write as _, time::Duration};

use arena_client::api_types::*;
use arena_client::ledger_core::prediction::Direction;
use arena_client::ledger_core::{MarketId, Money, market::MarketSource};
use arena_client::{Client, ClientConfig, ClientError, Credential, IdempotencyKey};
use arena_client::{MarketQuery, PageQuery};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Registers once. The secret is shown this one time, so it is kept in a file.
async fn enter(arena: &Client, handle: &str) -> Outcome<Client> {
    let kept = format!("{handle}.secret");
    let known = env::var("ARENA_SECRET").or_else(|_| fs::read_to_string(&kept));
    let secret = if let Ok(secret) = known {
        secret.trim().to_owned()
    } else {
        let request = RegisterRequest {
            handle: handle.parse()?,
            persona: None,
            registration_token: env::var("REGISTRATION_TOKEN").ok().map(Secret::new),
        };
        let bot = arena.register(&request, &IdempotencyKey::random()).await?;
        let mut options = fs::OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(&kept)?;
        file.write_all(bot.api_secret.expose().as_bytes())?;
        println!("registered {handle}; its secret is in {kept}");
        bot.api_secret.expose().to_owned()
    };
    Ok(arena.with_credential(Credential::ApiSecret(secret.into()))?)
}

/// An action that the arena may refuse: it prints the reason, and the next turn follows. The dead end here.
fn tell(what: &str, done: Result<Money, ClientError>) -> Result<(), ClientError> {
    match done {
        Ok(balance) => println!("{what} -> balance {balance}"),
        Err(no) if no.kind() == Some(ProblemKind::BotNotAlive) => return Err(no),
        Err(ClientError::Problem(no)) => println!("{what} -> {no}"),
        Err(no) => return Err(no),
    }
    Ok(())
}

/// Observes, and acts on that observation at once: it is good for five seconds.
async fn wager(bot: &Client, last: Money) -> Outcome<Observation> {
    let observation = loop {
        match bot.observation().await {
            // Halted: without a fresh price no wager is possible.
            Err(no) if no.kind() == Some(ProblemKind::PriceStale) => {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            observation => break observation?,
        }
    };
    let direction = match observation.price_snapshot < last {
        true => Direction::Down,
        false => Direction::Up,
    };
    let predict =
        Action::Predict { direction, wager_amount: "1.00".parse()?, confidence: "0.52".parse()? };
    let action = ActionRequest::new(observation.observation_id, predict);
    let action = action.reasoning("the last move goes on");
    let what = format!("wager 1.00 on {direction:?} from {}", observation.price_snapshot);
    tell(&what, bot.act(&action).await.map(|it| it.new_balance))?;
    Ok(observation)
}

/// Your model goes here: a side, and how likely it is. This one knows that news repeat.
async fn bet(bot: &Client, market: &Market) -> Outcome {
    let side = if market.source == MarketSource::News { "YES" } else { "NO" };
    let bet = BetRequest {
        side: side.parse()?,
        stake: "2.00".parse()?,
        confidence: "0.55".parse()?,
        reasoning: None,
        usage: None,
    };
    let placed = bot.bet_once(market.id, &bet, &IdempotencyKey::random()).await;
    let what = format!("bet 2.00 on {side}: {}", market.description);
    Ok(tell(&what, placed.map(|it| it.new_balance))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    match live().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("the end: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn live() -> Outcome {
    let mut arguments = env::args().skip(1);
    let handle = arguments.next().ok_or("which handle? e.g. my-agent")?;
    let until = arguments.next().unwrap_or_default();
    let url = env::var("ARENA_URL").unwrap_or("http://127.0.0.1:8000".into());
    let pause = Duration::from_secs(env::var("PAUSE").unwrap_or("30".into()).parse()?);
    let bot = enter(&Client::new(ClientConfig::new(url.parse()?))?, &handle).await?;
    let me = bot.me().await?;
    let mut mine: HashSet<MarketId> = me.open_bets.iter().map(|bet| bet.market_id).collect();
    let (mut tried, mut price, mut settled) = (mine.clone(), Money::ZERO, false);
    loop {
        price = wager(&bot, price).await?.price_snapshot;
        let query = MarketQuery {
            taking_bets: true,
            page: PageQuery::newest(200),
            ..MarketQuery::default()
        };
        let takes = |it: &&Market| it.source != MarketSource::Research;
        let markets = bot.markets(&query).await?.items;
        if let Some(market) = markets.iter().filter(takes).find(|it| tried.insert(it.id)) {
            bet(&bot, market).await?;
        }
        let me = bot.me().await?;
        let open: HashSet<MarketId> = me.open_bets.iter().map(|bet| bet.market_id).collect();
        for market in mine.difference(&open) {
            let bets = bot.market_bets(*market, &PageQuery::newest(200)).await?.items;
            for it in bets.iter().filter(|it| it.bot_id == me.bot.id) {
                settled = true;
                let payout = it.payout.unwrap_or(Money::ZERO);
                println!("settled: bet {}, stake {}, payout {payout}", it.status, it.stake);
            }
        }
        mine = open;
        println!("{handle} has {} and {} open bets", me.bot.balance, mine.len());
        if until == "--once" || (until == "--until-settled" && settled) {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
}
