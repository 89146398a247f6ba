//! The load: agents that wager, bet and answer, each request with its own key and repeated until it is accepted
//! or refused.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use test_kit::eventually;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Shared;
use crate::random::Random;
use crate::replicas::Replicas;
use crate::stack::Stack;

/// The agent got an acknowledgement of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Done {
    Registered(i64),
    Wagered { prediction: i64 },
    Bet { bet: i64 },
    Answered { action: i64 },
}

/// How long one request is repeated before its agent gives it up: longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Crowd {
    done: Shared<BTreeSet<Done>>,
    ports: Shared<Vec<u16>>,
    own_port: u16,
    over: Arc<AtomicBool>,
    agents: JoinSet<()>,
}

impl Crowd {
    pub(crate) async fn start(
        stack: &Stack,
        replicas: &Replicas,
        count: usize,
        articles: String,
        random: &mut Random,
    ) -> Crowd {
        let mut crowd = Crowd {
            done: Shared::default(),
            ports: Arc::new(Mutex::new(vec![stack.api_port])),
            own_port: stack.api_port,
            over: Arc::default(),
            agents: JoinSet::new(),
        };
        crowd.may_ask(replicas);
        for number in 0..count {
            let agent = Agent {
                http: Client::builder().timeout(Duration::from_secs(5)).build().unwrap(),
                handle: format!("drill-agent-{number}"),
                secret: String::new(),
                articles: articles.clone(),
                done: Arc::clone(&crowd.done),
                ports: Arc::clone(&crowd.ports),
                over: Arc::clone(&crowd.over),
                random: Random::seeded(random.below(usize::MAX) as u64),
            };
            crowd.agents.spawn(agent.live());
        }
        crowd
    }

    /// Every API process that there is now.
    pub(crate) fn may_ask(&mut self, replicas: &Replicas) {
        let mut ports = self.ports.lock().unwrap();
        *ports = vec![self.own_port];
        ports.extend(replicas.of("api").map(|replica| replica.port));
    }

    pub(crate) fn without(&mut self, port: Option<u16>) {
        self.ports.lock().unwrap().retain(|known| Some(*known) != port);
    }

    pub(crate) fn acknowledged(&self) -> BTreeSet<Done> {
        self.done.lock().unwrap().clone()
    }

    /// Waits until more has been acknowledged than `before`.
    pub(crate) async fn trades_again(&self, what: &str, before: usize, limit: Duration) {
        let more = eventually("agents trade again", || {
            let now = self.done.lock().unwrap().len();
            std::future::ready((now > before + 2).then_some(()))
        });
        if tokio::time::timeout(limit, more).await.is_err() {
            panic!("{what}: no agent was acknowledged again within {limit:?}");
        }
    }

    pub(crate) async fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(agent) = self.agents.join_next().await {
            agent.unwrap();
        }
    }
}

struct Agent {
    http: Client,
    handle: String,
    secret: String,
    /// Where research looks up.
    articles: String,
    done: Shared<BTreeSet<Done>>,
    ports: Shared<Vec<u16>>,
    over: Arc<AtomicBool>,
    random: Random,
}

impl Agent {
    async fn live(mut self) {
        let body = json!({ "handle": self.handle });
        while self.secret.is_empty() {
            if let Some(bot) = self.insist("/bots", &body).await {
                self.secret = bot["api_secret"].as_str().unwrap().to_owned();
                self.acknowledged(Done::Registered(bot["id"].as_i64().unwrap()));
            } else if self.is_over() {
                return;
            }
        }
        while !self.is_over() {
            let acted = match self.random.below(10) {
                0 | 1 => self.bet().await,
                2 => self.answer().await,
                _ => self.wager().await,
            };
            if acted.is_none() {
                // Down, halted, or at a limit: an agent tries again a little later.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self, done: Done) {
        self.done.lock().unwrap().insert(done);
    }

    async fn wager(&mut self) -> Option<()> {
        let observation = self.get("/arena/observation").await?;
        let direction = if self.random.below(2) == 0 { "UP" } else { "DOWN" };
        let body = json!({
            "observation_id": observation["observation_id"].as_str()?, "action_type": "PREDICT",
            "direction": direction, "wager_amount": "0.50", "confidence": "0.55",
        });
        let answer = self.insist("/arena/action", &body).await?;
        let prediction = answer["prediction_id"].as_i64()?;
        self.acknowledged(Done::Wagered { prediction });
        Some(())
    }

    async fn bet(&mut self) -> Option<()> {
        let market = self.market(|source| source != "RESEARCH").await?;
        let side = if self.random.below(2) == 0 { "YES" } else { "NO" };
        let body = json!({ "side": side, "stake": "1.00", "confidence": "0.60" });
        let id = market["id"].as_str()?;
        let answer = self.insist(&format!("/markets/{id}/bets"), &body).await?;
        let bet = answer["bets"][0]["id"].as_i64()?;
        self.acknowledged(Done::Bet { bet });
        Some(())
    }

    async fn answer(&mut self) -> Option<()> {
        let market = self.market(|source| source == "RESEARCH").await?;
        let title = market["criteria"]["article"].as_str()?.replace(' ', "_");
        let url = format!("http://{}/api/rest_v1/page/summary/{title}", self.articles);
        let article: Value = self.http.get(url).send().await.ok()?.json().await.ok()?;
        let body = json!({
            "answer": article["pageid"].to_string(), "used_lookup": true, "confidence": "0.90",
        });
        let id = market["id"].as_str()?;
        let answer = self.insist(&format!("/markets/{id}/answers"), &body).await?;
        let action = answer["action_id"].as_i64()?;
        self.acknowledged(Done::Answered { action });
        Some(())
    }

    async fn market(&mut self, wanted: impl Fn(&str) -> bool) -> Option<Value> {
        let list = self.get("/markets?taking_bets=true&limit=50").await?;
        let open: Vec<&Value> = list["items"]
            .as_array()?
            .iter()
            .filter(|market| market["source"].as_str().is_some_and(&wanted))
            .collect();
        (!open.is_empty()).then(|| (*self.random.pick(&open)).clone())
    }

    async fn get(&mut self, path: &str) -> Option<Value> {
        let answer = self.ask(Method::GET, path, None, "").await?;
        answer.status().is_success().then_some(())?;
        answer.json().await.ok()
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> Option<reqwest::Response> {
        let port = *self.random.pick(&self.ports.lock().unwrap().clone());
        let mut request = self.http.request(method, format!("http://127.0.0.1:{port}{path}"));
        if !self.secret.is_empty() {
            request = request.header("X-Agent-Secret", &self.secret);
        }
        if let Some(body) = body {
            request = request.header("Idempotency-Key", key).json(body);
        }
        request.send().await.ok()
    }

    /// Sends one request with one key until the answer is final: `None` is a no.
    async fn insist(&mut self, path: &str, body: &Value) -> Option<Value> {
        let key = Uuid::new_v4().to_string();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(answer) = self.ask(Method::POST, path, Some(body), &key).await {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                let said: Value = serde_json::from_str(&text).unwrap_or_default();
                if status.is_success() && !said.is_null() {
                    return Some(said);
                }
                let passing = status.is_server_error()
                    || status.is_success()
                    || said["type"] == "/problems/idempotency-conflict"
                    || said["type"] == "/problems/too-many-requests";
                if !passing {
                    return None;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }
}
