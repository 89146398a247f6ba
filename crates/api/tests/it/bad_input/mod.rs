//! Bad input gets a documented problem, writes nothing, and leaks nothing.

mod bodies;
mod cursors;
mod fields;
mod headers;
mod tokens;

use api_types::{Problem, ProblemKind};
use ledger_core::market::MarketSource;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use test_kit::TestBot;

use crate::service::{ADMIN_TOKEN, Answer, SECRET_KEY, Service, wager};

/// Internals that no answer may show.
const INTERNALS: [&str; 12] = [
    "postgres",
    "diesel",
    "sqlstate",
    "redis",
    "panicked",
    "src/",
    ".rs:",
    "tokio",
    "serde",
    "actix",
    "struct ",
    "constraint",
];

/// A request that would be taken, and may be spoilt.
struct Target {
    method: Method,
    path: String,
    credential: (&'static str, String),
    body: Value,
    /// Fields that accept any text.
    free: &'static [&'static str],
}

impl Target {
    fn request(&self, service: &Service) -> RequestBuilder {
        let request = service.request(self.method.clone(), &self.path);
        request.header(self.credential.0, &self.credential.1)
    }

    async fn send(&self, service: &Service, body: impl Into<Body>) -> Answer {
        let request = self.request(service);
        Answer::of(request.header("Content-Type", "application/json").body(body)).await
    }

    /// Every place in the body where a value stands, as a JSON pointer.
    fn places(&self) -> Vec<String> {
        fn walk(value: &Value, at: String, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    for (name, value) in members {
                        walk(value, format!("{at}/{name}"), found);
                    }
                }
                Value::Array(items) => {
                    for (place, value) in items.iter().enumerate() {
                        walk(value, format!("{at}/{place}"), found);
                    }
                }
                _ => found.push(at),
            }
        }
        let mut found = Vec::new();
        walk(&self.body, String::new(), &mut found);
        found
    }

    fn is_free(&self, place: &str) -> bool {
        self.free.iter().any(|field| place.ends_with(field))
    }

    /// The body with raw JSON at one place.
    fn with(&self, place: &str, raw: &str) -> String {
        let mut body = self.body.clone();
        *body.pointer_mut(place).unwrap() = json!("\u{1}here");
        let text = body.to_string();
        assert_eq!(text.matches("\"\\u0001here\"").count(), 1, "{text}");
        text.replace("\"\\u0001here\"", raw)
    }
}

/// Every request with a body that there is.
async fn targets(service: &Service) -> (TestBot, Vec<Target>) {
    let arena = &service.arena;
    let dead = arena.bot().dead().create().await;
    let bot = arena.bot().create().await;
    let news = arena.market(MarketSource::News).await.id;
    let weather = arena.market(MarketSource::Weather).await.id;
    let research = arena.market(MarketSource::Research).await.id;
    let mut action = wager(&service.observe(&bot).await, "1");
    let usage = json!({ "provider": "openai", "model": "known", "input_tokens": 1,
                        "output_tokens": 1, "cost_usd": "0.1", "llm_calls": 1 });
    action["reasoning"] = json!("a hunch");
    action["usage"] = usage.clone();
    let bet = json!({ "side": "YES", "stake": "1", "confidence": "0.6", "reasoning": "why" });
    let mut several = bet.clone();
    several["market_id"] = json!(weather);
    let secret = ("X-Agent-Secret", bot.api_secret.clone());
    let admin = ("Authorization", format!("Bearer {ADMIN_TOKEN}"));
    let deadline = arena.now().await.plus_seconds(7_200);
    let target = |path: String, credential: &(&'static str, String), body: Value, free| Target {
        method: Method::POST,
        path,
        credential: credential.clone(),
        body,
        free,
    };
    let nobody = ("Accept", "*/*".to_owned());
    let targets = vec![
        target(
            "/bots".to_owned(),
            &nobody,
            json!({ "handle": "Newcomer", "persona": "calm" }),
            &["persona"],
        ),
        target(
            "/auth/token".to_owned(),
            &nobody,
            json!({ "handle": bot.handle, "api_key": "ldk_wrong" }),
            &[],
        ),
        target("/arena/action".to_owned(), &secret, action, &["reasoning", "provider", "model"]),
        target(format!("/markets/{news}/bets"), &secret, bet, &["reasoning"]),
        target("/markets/bets".to_owned(), &secret, json!({ "bets": [several] }), &["reasoning"]),
        target(
            format!("/markets/{research}/answers"),
            &secret,
            json!({ "answer": "1", "used_lookup": false, "confidence": "0.6", "reasoning": "why" }),
            &["reasoning", "answer"],
        ),
        target(
            "/metrics/usage".to_owned(),
            &secret,
            json!({ "usage": usage, "note": "a note" }),
            &["provider", "model", "note"],
        ),
        target(
            format!("/bots/{}/revive", dead.id),
            &admin,
            json!({ "amount": "5", "reason": "a test" }),
            &["reason"],
        ),
        target(
            "/markets".to_owned(),
            &admin,
            json!({ "source": "NEWS", "description": "words", "criteria": { "keyword": "word" },
                    "bounty": "1", "deadline": deadline }),
            &["description", "keyword"],
        ),
        target(format!("/markets/{news}/void"), &admin, json!({ "reason": "a test" }), &["reason"]),
        Target {
            method: Method::DELETE,
            path: format!("/bots/{}", bot.id),
            credential: admin.clone(),
            body: json!({ "reason": "a test" }),
            free: &["reason"],
        },
    ];
    (bot, targets)
}

/// A problem that is documented, complete, and discreet.
fn refused(answer: &Answer, bot: &TestBot, what: &str) -> ProblemKind {
    let text = answer.text();
    let problem: Problem = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{what}: {error}: {} {text}", answer.status));
    let kind = problem.kind().unwrap_or_else(|| panic!("{what}: {} {text}", answer.status));
    answer.problem(kind);
    assert!(
        [400, 401, 403, 404, 405, 409, 413, 415, 422].contains(&answer.status.as_u16()),
        "{what}: {} {text}",
        answer.status
    );
    let shown = format!("{text} {:?}", answer.headers).to_lowercase();
    for word in INTERNALS {
        assert!(!shown.contains(word), "{what}: {word} in {text}");
    }
    for secret in [&bot.api_secret, &bot.api_key, SECRET_KEY, ADMIN_TOKEN] {
        assert!(!shown.contains(&secret.to_lowercase()), "{what}: {text}");
    }
    assert!(text.len() < 2_000, "{what}: {} bytes", text.len());
    kind
}
