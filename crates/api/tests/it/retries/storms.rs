//! Hundreds send the same request at once, to two servers of one arena.

use api::Running;
use api_types::ProblemKind;
use daemon::shutdown::Shutdown;
use ledger_core::market::MarketSource;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use test_kit::TestBot;
use test_kit::market::RIGHT_ANSWER;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::service::{ADMIN_TOKEN, Answer, RANDOM_KEY, Service, config, wager};
use crate::state::State;

const CLIENTS: usize = 200;
const TABLES: [&str; 6] =
    ["bots", "ledger", "predictions", "bets", "audit_log", "idempotency_keys"];

/// Two servers that share nothing but Postgres and Redis.
struct Pair {
    service: Service,
    second: Running,
    shutdown: Shutdown,
}

/// The request of all of a storm's clients.
struct Sent {
    path: String,
    header: (&'static str, String),
    body: Value,
}

impl Sent {
    fn by_bot(bot: &TestBot, path: impl Into<String>, body: Value) -> Sent {
        let header = ("X-Agent-Secret", bot.api_secret.clone());
        Sent { path: path.into(), header, body }
    }

    fn by_operator(path: impl Into<String>, body: Value) -> Sent {
        let header = ("Authorization", format!("Bearer {ADMIN_TOKEN}"));
        Sent { path: path.into(), header, body }
    }

    fn request(&self, http: &Client, base: &str) -> RequestBuilder {
        http.post(format!("{base}{}", self.path))
            .header(self.header.0, &self.header.1)
            .header("Idempotency-Key", RANDOM_KEY)
            .json(&self.body)
    }

    /// Sends the whole request, or the first half of it, and hangs up.
    async fn hang_up(&self, base: &str, whole: bool) {
        let host = base.strip_prefix("http://").unwrap();
        let body = self.body.to_string();
        let (name, value) = &self.header;
        let text = format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\nIdempotency-Key: {RANDOM_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        let end = if whole { text.len() } else { text.len() - body.len() / 2 };
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(&text.as_bytes()[..end]).await.unwrap();
        stream.shutdown().await.ok();
    }
}

impl Pair {
    async fn new() -> Pair {
        let service = Service::new().await;
        let shutdown = Shutdown::manual();
        let second = match api::start(config(&service.arena), shutdown.clone()).await {
            Ok(running) => running,
            Err(failure) => panic!("{failure}"),
        };
        Pair { service, second, shutdown }
    }

    fn bases(&self) -> [String; 2] {
        let second = format!("http://{}", self.second.local_addr());
        [self.service.base.clone(), second]
    }

    /// Lets the storm loose. Each client gets the same answer, or is asked to retry, and then gets it.
    async fn storm(&self, sent: Sent, grown: [i64; 6]) -> Value {
        let before = State::of(&self.service.arena).await;
        let (bases, http) = (self.bases(), Client::new());
        let mut tasks = JoinSet::new();
        for at in 0..CLIENTS {
            tasks.spawn(Answer::of(sent.request(&http, &bases[at % 2])));
        }
        let answers = tasks.join_all().await;
        self.settled(&sent, &answers, &before, grown).await
    }

    /// The same, where half of the clients do not wait for the answer.
    async fn storm_of_hang_ups(&self, sent: Sent, grown: [i64; 6]) -> Value {
        let before = State::of(&self.service.arena).await;
        let (bases, http) = (self.bases(), Client::new());
        let sent = std::sync::Arc::new(sent);
        let mut tasks = JoinSet::new();
        // The first one there is one of those who hang up.
        sent.hang_up(&bases[0], true).await;
        for at in 0..CLIENTS {
            let (sent, http, base) = (sent.clone(), http.clone(), bases[at % 2].clone());
            tasks.spawn(async move {
                if at % 4 < 2 {
                    return Some(Answer::of(sent.request(&http, &base)).await);
                }
                sent.hang_up(&base, at % 8 < 6).await;
                None
            });
        }
        let answers: Vec<Answer> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(answers.len(), CLIENTS / 2);
        self.settled(&sent, &answers, &before, grown).await
    }

    async fn settled(
        &self,
        sent: &Sent,
        answers: &[Answer],
        before: &State,
        grown: [i64; 6],
    ) -> Value {
        let path = &sent.path;
        let kept = Answer::of(sent.request(&self.service.http, &self.service.base)).await;
        assert_eq!(kept.header("idempotency-replayed"), Some("true"), "{path}: {}", kept.text());
        let mut told = 0;
        for answer in answers {
            if answer.status.is_success() {
                told += 1;
                assert_eq!((answer.status, &answer.body), (kept.status, &kept.body));
            } else {
                answer.problem(ProblemKind::IdempotencyConflict);
            }
        }
        assert!(told > 0, "{path}: nobody was told");
        let after = State::of(&self.service.arena).await;
        assert_eq!(after.grown(before, TABLES), grown, "{path}");
        self.service.arena.assert_sound().await;
        kept.json()
    }

    async fn stop(self) {
        self.shutdown.request();
        self.second.stopped().await.unwrap();
    }
}

fn registration() -> Sent {
    Sent {
        path: "/bots".to_owned(),
        header: ("Accept", "*/*".to_owned()),
        body: json!({ "handle": "Mia" }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_makes_one_bot_and_shows_one_secret() {
    let pair = Pair::new().await;
    let answer = pair.storm(registration(), [1, 1, 0, 0, 1, 1]).await;
    assert!(answer["api_secret"].as_str().unwrap().starts_with("lds_"));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_survives_those_who_hang_up() {
    let pair = Pair::new().await;
    pair.storm_of_hang_ups(registration(), [1, 1, 0, 0, 1, 1]).await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wager_is_placed_once() {
    let pair = Pair::new().await;
    let bot = pair.service.arena.bot().balance("10").create().await;
    let body = wager(&pair.service.observe(&bot).await, "4");
    let sent = Sent::by_bot(&bot, "/arena/action", body);
    let answer = pair.storm(sent, [0, 1, 1, 0, 1, 1]).await;
    assert_eq!(answer["new_balance"], "6.00000000");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wager_survives_those_who_hang_up() {
    let pair = Pair::new().await;
    let bot = pair.service.arena.bot().balance("10").create().await;
    let body = wager(&pair.service.observe(&bot).await, "4");
    let sent = Sent::by_bot(&bot, "/arena/action", body);
    pair.storm_of_hang_ups(sent, [0, 1, 1, 0, 1, 1]).await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bet_is_placed_once() {
    let pair = Pair::new().await;
    let arena = &pair.service.arena;
    let bot = arena.bot().balance("10").create().await;
    let market = arena.market(MarketSource::News).await.id;
    let body = json!({ "side": "YES", "stake": "4", "confidence": "0.6" });
    let sent = Sent::by_bot(&bot, format!("/markets/{market}/bets"), body);
    let answer = pair.storm(sent, [0, 1, 0, 1, 1, 1]).await;
    assert_eq!(answer["new_balance"], "6.00000000");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_paid_once() {
    let pair = Pair::new().await;
    let arena = &pair.service.arena;
    let bot = arena.bot().balance("10").create().await;
    let market = arena.market(MarketSource::Research).await.id;
    let body = json!({ "answer": RIGHT_ANSWER, "used_lookup": false, "confidence": "0.6" });
    let sent = Sent::by_bot(&bot, format!("/markets/{market}/answers"), body);
    // Its stake and its payout.
    let answer = pair.storm(sent, [0, 2, 0, 1, 1, 1]).await;
    assert_eq!(answer["result"], "CORRECT");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_are_revived_once_and_a_market_is_called_off_once() {
    let pair = Pair::new().await;
    let arena = &pair.service.arena;
    let dead = arena.bot().dead().create().await;
    let body = json!({ "amount": "5", "reason": "a test" });
    let sent = Sent::by_operator(format!("/bots/{}/revive", dead.id), body);
    let answer = pair.storm(sent, [0, 1, 0, 0, 1, 1]).await;
    assert_eq!(answer["balance"], "5.00000000");

    let bot = arena.bot().balance("10").create().await;
    let market = arena.market(MarketSource::News).await.id;
    arena.bet(bot.id, market, ledger_core::market::Side::Yes, "4").await;
    let body = json!({ "reason": "a test" });
    let sent = Sent::by_operator(format!("/markets/{market}/void"), body);
    let answer = pair.storm(sent, [0, 1, 0, 0, 1, 1]).await;
    assert_eq!(answer["status"], "VOID");
    pair.stop().await;
}
