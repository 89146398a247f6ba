//! kill -9 of anything at any moment, under load: what was acknowledged is there, every chain
//! verifies, no tick is charged twice or missed.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use system_tests::stack::Stack;
use test_kit::eventually;
use tokio::sync::Mutex;

use crate::day::{HASTY, get, hasty_personas};

const CLIENTS: usize = 4;

/// Each of these dies twice, in an order that the seed decides.
const VICTIMS: [&str; 6] = ["api", "ticker", "oracle", "bot-runner", "postgres", "redis"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_kills_under_load_lose_nothing() {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros();
    println!("seed {seed}");
    let personas = hasty_personas();
    let bots = personas.path().display().to_string();
    let mut settings = HASTY.to_vec();
    settings.push(("BOTS_DIR", &bots));
    let (stack, _) = Stack::start(&settings).await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let over = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let agent = Agent::register(stack.api_port, client).await;
        load.spawn(agent.trade(Arc::clone(&acknowledged), Arc::clone(&over)));
    }
    let mut random = Random(u64::try_from(seed % u128::from(u64::MAX)).unwrap() | 1);
    let mut victims = [VICTIMS, VICTIMS].concat();
    while !victims.is_empty() {
        let victim = victims.swap_remove(random.below(victims.len()));
        // Not a wait for something: the moment of the kill is what is random here.
        tokio::time::sleep(Duration::from_millis(200 + random.below(1500) as u64)).await;
        let pid = eventually("the victim runs", || std::future::ready(stack.pid(victim))).await;
        println!("kill -9 {victim} ({pid})");
        let killed = Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap();
        assert!(
            killed.success(),
            "{victim} had died of itself: {}",
            stack.log(victim)
        );
        eventually("it is started again", || {
            std::future::ready(stack.pid(victim).filter(|new| *new != pid))
        })
        .await;
        stack.wait_until_ready(Duration::from_secs(60)).await;
    }
    // The arena goes on after the last of them.
    let before = acknowledged.lock().await.len();
    eventually("agents trade again", || async {
        (acknowledged.lock().await.len() > before + CLIENTS).then_some(())
    })
    .await;
    over.store(true, Ordering::Relaxed);
    while let Some(agent) = load.join_next().await {
        agent.unwrap();
    }
    let tick = get(&stack, "/economy").await["tick"].as_i64().unwrap();
    eventually("time goes on", || async {
        (get(&stack, "/economy").await["tick"].as_i64().unwrap() > tick + 1).then_some(())
    })
    .await;

    let (sound, report) = stack.arenactl(&["inspect-ledger"]);
    assert!(sound, "{report}");
    let acknowledged = acknowledged.lock().await;
    println!("{} wagers acknowledged", acknowledged.len());
    nothing_acknowledged_is_lost(&stack, &acknowledged).await;
    every_tick_was_charged_once(&stack).await;
    assert_eq!(stack.stop(), Some(0));
}

async fn nothing_acknowledged_is_lost(stack: &Stack, acknowledged: &BTreeSet<i64>) {
    let client = test_kit::connect(&stack.written("DATABASE_URL")).await;
    let ids: Vec<i64> = acknowledged.iter().copied().collect();
    let sql = "SELECT count(*) FROM predictions p JOIN ledger l \
               ON l.bot_id = p.bot_id AND l.reference = 'OBS:' || p.observation_id \
               WHERE p.id = ANY($1) AND l.entry_type = 'WAGER' AND l.amount = -p.wager_amount";
    let kept: i64 = client.query_one(sql, &[&ids]).await.unwrap().get(0);
    assert_eq!(usize::try_from(kept).unwrap(), ids.len());
    assert!(ids.len() > 20, "there was hardly any load: {}", ids.len());
}

async fn every_tick_was_charged_once(stack: &Stack) {
    let client = test_kit::connect(&stack.written("DATABASE_URL")).await;
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let ticks = "WITH ticks AS (SELECT bot_id, substr(reference, 6)::bigint AS cycle FROM ledger \
                                 WHERE entry_type IN ('HEARTBEAT', 'LIQUIDATION') \
                                   AND reference LIKE 'TICK:%')";
    let twice = format!("{ticks} SELECT count(*) - count(DISTINCT (bot_id, cycle)) FROM ticks");
    assert_eq!(
        count(&twice).await,
        0,
        "somebody was charged twice for a tick"
    );
    // Nobody was revived here, so each bot's ticks are one run without a gap.
    let missed = format!(
        "{ticks} SELECT coalesce(sum(gap), 0)::bigint FROM \
         (SELECT max(cycle) - min(cycle) + 1 - count(*) AS gap FROM ticks GROUP BY bot_id) g"
    );
    assert_eq!(
        count(&missed).await,
        0,
        "somebody was passed over in a tick"
    );
    let uncounted = format!(
        "{ticks} SELECT count(*) FROM cycles c WHERE closed_at IS NOT NULL \
         AND bots <> (SELECT count(*) FROM ticks t WHERE t.cycle = c.number)"
    );
    assert_eq!(
        count(&uncounted).await,
        0,
        "a cycle's total is not what was charged"
    );
    let numbers = count("SELECT max(number) - count(*) FROM cycles").await;
    assert_eq!(numbers, 0, "a cycle's number was skipped");
    assert!(count("SELECT count(*) FROM cycles WHERE closed_at IS NOT NULL").await > 5);
}

/// An external agent that wagers as fast as it may.
struct Agent {
    http: reqwest::Client,
    base: String,
    secret: String,
}

impl Agent {
    async fn register(port: u16, number: usize) -> Agent {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let body = json!({ "handle": format!("load-agent-{number}") });
        let answer = http
            .post(format!("{base}/bots"))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let answer: Value = answer.json().await.unwrap();
        let secret = answer["api_secret"].as_str().unwrap().to_owned();
        Agent { http, base, secret }
    }

    async fn trade(self, acknowledged: Arc<Mutex<BTreeSet<i64>>>, over: Arc<AtomicBool>) {
        while !over.load(Ordering::Relaxed) {
            match self.wager().await {
                Some(prediction) => {
                    acknowledged.lock().await.insert(prediction);
                }
                // Down, halted, or at a limit: an agent tries again a little later.
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The prediction's id if the wager was acknowledged.
    async fn wager(&self) -> Option<i64> {
        let ask = self.http.get(format!("{}/arena/observation", self.base));
        let ticket = ask
            .header("X-Agent-Secret", &self.secret)
            .send()
            .await
            .ok()?;
        let ticket: Value = ticket.json().await.ok()?;
        let body = json!({
            "observation_id": ticket["observation_id"].as_str()?,
            "action_type": "PREDICT",
            "direction": "UP",
            "wager_amount": "0.50",
            "confidence": "0.55",
        });
        let act = self
            .http
            .post(format!("{}/arena/action", self.base))
            .json(&body);
        let answer = act
            .header("X-Agent-Secret", &self.secret)
            .send()
            .await
            .ok()?;
        if answer.status() != 200 {
            return None;
        }
        let answer: Value = answer.json().await.ok()?;
        answer["prediction_id"].as_i64()
    }
}

/// xorshift64 (Marsaglia 2003): all that a test's dice need.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}
