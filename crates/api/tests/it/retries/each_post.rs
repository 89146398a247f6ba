//! Every POST and DELETE honours `Idempotency-Key`, including the one that is added tomorrow.

use api_types::ProblemKind;
use ledger_core::market::MarketSource;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use test_kit::TestBot;
use test_kit::market::RIGHT_ANSWER;

use crate::service::{Answer, OTHER_RANDOM_KEY, RANDOM_KEY, Service, same_login, wager};
use crate::state::State;

/// The endpoints with effects: the document has a row of each, because it is made of the table of endpoints.
fn writes() -> Vec<(Method, String, Value)> {
    let document = include_str!("../../../../../docs/openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method != "get" {
                let method = method.to_uppercase().parse().unwrap();
                found.push((method, path.clone(), operation.clone()));
            }
        }
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

fn takes(operation: &Value, parameter: &str) -> bool {
    let reference = format!("#/components/parameters/{parameter}");
    let listed = operation["parameters"].as_array();
    listed.is_some_and(|all| all.iter().any(|one| one["$ref"] == *reference))
}

/// One who is in a position to send every POST.
struct Cast {
    service: Service,
    bot: TestBot,
    dead: TestBot,
}

impl Cast {
    async fn new() -> Cast {
        let service = Service::new().await;
        let dead = service.arena.bot().dead().create().await;
        let bot = service.arena.bot().create().await;
        Cast { service, bot, dead }
    }

    fn bots(&self, path: &str, body: Value) -> RequestBuilder {
        let request = self.service.request(Method::POST, path);
        request.header("X-Agent-Secret", &self.bot.api_secret).json(&body)
    }

    fn operators(&self, path: &str, body: Value) -> RequestBuilder {
        self.service.operator(Method::POST, path).json(&body)
    }

    /// A valid request to the path, and another body.
    async fn request(&self, method: &Method, pattern: &str) -> (RequestBuilder, Value) {
        let (service, arena) = (&self.service, &self.service.arena);
        let bet = json!({ "side": "YES", "stake": "1", "confidence": "0.6" });
        match pattern {
            "/bots/{bot}" if *method == Method::DELETE => {
                let path = format!("/bots/{}", self.bot.id);
                let request = service.operator(Method::DELETE, &path);
                let body = json!({ "reason": "a test" });
                (request.json(&body), json!({ "reason": "other" }))
            }
            "/bots" => {
                let request = service.request(Method::POST, "/bots");
                let body = json!({ "handle": "Newcomer" });
                (request.json(&body), json!({ "handle": "Newcomer", "persona": "other" }))
            }
            "/auth/token" => {
                let bot = registered(service, "Buyer").await;
                let path = "/auth/token";
                let body = json!({ "bot_id": bot["id"], "api_key": bot["api_key"] });
                let other = json!({ "handle": bot["handle"], "api_key": bot["api_key"] });
                (service.request(Method::POST, path).json(&body), other)
            }
            "/bots/{bot}/keys" => {
                let path = format!("/bots/{}/keys", self.bot.id);
                let body = json!({ "grace_seconds": 60 });
                (self.operators(&path, body), json!({ "grace_seconds": 61 }))
            }
            "/bots/{bot}/revive" => {
                let path = format!("/bots/{}/revive", self.dead.id);
                let body = json!({ "amount": "5", "reason": "a test" });
                let other = json!({ "amount": "6", "reason": "a test" });
                (self.operators(&path, body), other)
            }
            "/arena/action" => {
                let body = wager(&service.observe(&self.bot).await, "1");
                let other = wager(&service.observe(&self.bot).await, "1");
                (self.bots("/arena/action", body), other)
            }
            "/markets" => {
                let deadline = arena.now().await.plus_seconds(7_200);
                let body = |word: &str| {
                    json!({ "source": "NEWS", "description": "", "criteria": { "keyword": word },
                            "bounty": "1", "deadline": deadline })
                };
                (self.operators("/markets", body("one")), body("two"))
            }
            "/markets/bets" => {
                let market = arena.market(MarketSource::News).await.id;
                let mut one = bet.clone();
                one["market_id"] = json!(market);
                let body = json!({ "bets": [one] });
                let mut other = body.clone();
                other["bets"][0]["stake"] = json!("2");
                (self.bots("/markets/bets", body), other)
            }
            "/markets/{market}/bets" => {
                let market = arena.market(MarketSource::Weather).await.id;
                let mut other = bet.clone();
                other["side"] = json!("NO");
                (self.bots(&format!("/markets/{market}/bets"), bet), other)
            }
            "/markets/{market}/answers" => {
                let market = arena.market(MarketSource::Research).await.id;
                let answer = |text: &str| json!({ "answer": text, "used_lookup": false, "confidence": "0.6" });
                let path = format!("/markets/{market}/answers");
                (self.bots(&path, answer(RIGHT_ANSWER)), answer("1"))
            }
            "/markets/{market}/void" => {
                let market = arena.market(MarketSource::Github).await.id;
                let path = format!("/markets/{market}/void");
                let body = json!({ "reason": "a test" });
                (self.operators(&path, body), json!({ "reason": "other" }))
            }
            "/arena/pause" | "/arena/resume" => {
                let body = json!({ "reason": "a test" });
                (self.operators(pattern, body), json!({ "reason": "other" }))
            }
            "/bots/{bot}/pause" | "/bots/{bot}/resume" => {
                let path = pattern.replace("{bot}", &self.bot.id.to_string());
                let body = json!({ "reason": "a test" });
                (self.operators(&path, body), json!({ "reason": "other" }))
            }
            "/markets/{market}/pause" | "/markets/{market}/resume" => {
                let market = arena.market(MarketSource::Github).await.id;
                let path = pattern.replace("{market}", &market.to_string());
                let body = json!({ "reason": "a test" });
                (self.operators(&path, body), json!({ "reason": "other" }))
            }
            "/metrics/usage" => {
                let usage = |calls: u8| {
                    json!({ "usage": { "provider": "openai", "model": "known", "input_tokens": 1,
                                       "output_tokens": 1, "llm_calls": calls } })
                };
                (self.bots("/metrics/usage", usage(1)), usage(2))
            }
            new => panic!("{method} {new} is new: say here how it is retried"),
        }
    }
}

/// A bot whose key is known: those of the kit have none that was hashed.
async fn registered(service: &Service, handle: &str) -> Value {
    let request = service.request(Method::POST, "/bots");
    let answer = Answer::of(request.json(&json!({ "handle": handle }))).await;
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn everything_with_effects_keeps_its_answer() {
    for (method, pattern, _) in writes() {
        let cast = Cast::new().await;
        let (request, other) = cast.request(&method, &pattern).await;
        let request = request.header("Idempotency-Key", RANDOM_KEY);
        let again = |request: &RequestBuilder| Answer::of(request.try_clone().unwrap());
        let first = again(&request).await;
        assert!(first.status.is_success(), "{pattern}: {}", first.text());
        assert_eq!(first.header("idempotency-replayed"), None, "{pattern}");
        let before = State::of(&cast.service.arena).await;
        for _ in 0..2 {
            let replay = again(&request).await;
            assert_eq!(
                replay.header("idempotency-replayed"),
                Some("true"),
                "{pattern}: {}",
                replay.text()
            );
            assert_eq!(replay.status, first.status, "{pattern}");
            if pattern == "/auth/token" {
                same_login(&first, &replay);
            } else {
                assert_eq!(replay.body, first.body, "{pattern}");
            }
            let place = replay.header("location");
            assert_eq!(place, first.header("location"), "{pattern}");
            assert_eq!(place.is_some(), ["/bots", "/markets"].contains(&&*pattern));
        }
        let mismatch = again(&request.try_clone().unwrap().json(&other)).await;
        mismatch.problem(ProblemKind::IdempotencyMismatch);
        let two = request.try_clone().unwrap();
        Answer::of(two.header("Idempotency-Key", OTHER_RANDOM_KEY))
            .await
            .problem(ProblemKind::MalformedRequest);
        State::of(&cast.service.arena).await.must_be(&before, &pattern);
        // Only a hash of the key is stored.
        let rows = cast.service.arena.owner_client().await;
        let kept = "SELECT count(*) FROM idempotency_keys k WHERE k::text LIKE '%' || $1 || '%'";
        let row = rows.query_one(kept, &[&RANDOM_KEY]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0);
        cast.service.arena.assert_sound().await;
    }
}

#[tokio::test]
async fn whatever_can_be_tried_says_what_it_would_do_and_does_nothing() {
    let mut tried = Vec::new();
    for (method, pattern, operation) in writes() {
        if !takes(&operation, "dryRun") {
            continue;
        }
        let cast = Cast::new().await;
        let (request, _) = cast.request(&method, &pattern).await;
        let before = State::of(&cast.service.arena).await;
        let dry = request.try_clone().unwrap().query(&[("dry_run", "true")]);
        let answer = Answer::of(dry.header("Idempotency-Key", RANDOM_KEY)).await;
        assert_eq!(answer.status, 200, "{pattern}: {}", answer.text());
        let told = answer.json();
        assert_eq!(told["dry_run"], true, "{pattern}: {told}");
        assert_eq!(told["would"], "ACCEPT", "{pattern}: {told}");
        State::of(&cast.service.arena).await.rows_must_be(&before, &pattern);
        // Not even the key was used.
        let real = Answer::of(request.header("Idempotency-Key", RANDOM_KEY)).await;
        assert!(real.status.is_success(), "{pattern}: {}", real.text());
        assert_eq!(real.header("idempotency-replayed"), None, "{pattern}");
        tried.push(pattern);
    }
    assert_eq!(tried.len(), 4, "{tried:?}");
}

#[tokio::test]
async fn a_retirement_may_be_sent_again_too() {
    let cast = Cast::new().await;
    let retire = |name: &str, key: Option<&str>| {
        let request = cast.service.operator(Method::DELETE, &format!("/bots/{name}"));
        Answer::of(match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        })
    };
    let first = retire(&cast.bot.handle, Some("k")).await;
    assert_eq!(first.json()["status"], "RETIRED");
    let before = State::of(&cast.service.arena).await;
    // By its id it is the same bot, and so the same route.
    let again = retire(&cast.bot.id.to_string(), Some("k")).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let unkeyed = retire(&cast.bot.handle, None).await;
    unkeyed.problem(ProblemKind::BotStatus);
    State::of(&cast.service.arena).await.must_be(&before, "a retirement sent again");
}

/// A key is good for one route: the path's id is part of it, the way in which it is spelt is not.
#[tokio::test]
async fn one_key_on_two_markets_is_two_requests() {
    let cast = Cast::new().await;
    let arena = &cast.service.arena;
    let bet = json!({ "side": "YES", "stake": "1", "confidence": "0.6" });
    for market in [
        arena.market(MarketSource::News).await.id.to_string(),
        arena.market(MarketSource::News).await.id.to_string(),
    ] {
        let on = |name: &str| {
            let request = cast.bots(&format!("/markets/{name}/bets"), bet.clone());
            Answer::of(request.header("Idempotency-Key", "k"))
        };
        let first = on(&market).await;
        assert_eq!(first.status, 201, "{}", first.text());
        assert_eq!(first.header("idempotency-replayed"), None);
        let upper = on(&market.to_uppercase()).await;
        assert_eq!(upper.header("idempotency-replayed"), Some("true"));
        assert_eq!(upper.body, first.body);
    }
    arena.assert_sound().await;
}
