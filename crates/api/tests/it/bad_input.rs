//! What bad input gets: a documented problem, nothing written, nothing leaked.

use std::time::{SystemTime, UNIX_EPOCH};

use api_types::{Problem, ProblemKind};
use ledger_core::market::{MarketSource, Side};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use test_kit::TestBot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::{ADMIN_TOKEN, Answer, SECRET_KEY, Service, wager};
use crate::state::State;

/// What no answer may show: what this is built of, and what it keeps to itself.
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
    /// Fields that any text fits, so that whatever is put there is no mistake.
    free: &'static [&'static str],
}

impl Target {
    fn request(&self, service: &Service) -> RequestBuilder {
        let request = service.request(self.method.clone(), &self.path);
        request.header(self.credential.0, &self.credential.1)
    }

    async fn send(&self, service: &Service, body: impl Into<Body>) -> Answer {
        let request = self.request(service);
        Answer::of(
            request
                .header("Content-Type", "application/json")
                .body(body),
        )
        .await
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
        target(
            "/arena/action".to_owned(),
            &secret,
            action,
            &["reasoning", "provider", "model"],
        ),
        target(
            format!("/markets/{news}/bets"),
            &secret,
            bet,
            &["reasoning"],
        ),
        target(
            "/markets/bets".to_owned(),
            &secret,
            json!({ "bets": [several] }),
            &["reasoning"],
        ),
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
        target(
            format!("/markets/{news}/void"),
            &admin,
            json!({ "reason": "a test" }),
            &["reason"],
        ),
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
    let kind = problem
        .kind()
        .unwrap_or_else(|| panic!("{what}: {} {text}", answer.status));
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

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_everywhere() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        let what = format!("{} {}", target.method, target.path);
        let sound = target.body.to_string();
        for end in (1..sound.len()).step_by(5) {
            let answer = target.send(&service, sound[..end].to_owned()).await;
            let kind = refused(&answer, &bot, &format!("{what} cut at {end}"));
            assert_eq!(kind, ProblemKind::MalformedRequest, "{what} cut at {end}");
        }
        let nested = |open: &str, times: usize| open.repeat(times);
        for (name, body) in [
            ("deep", nested("[", 60_000)),
            ("deep closed", nested("[", 30_000) + &"]".repeat(30_000)),
            ("two", format!("{sound}{sound}")),
            ("comma", format!("{},}}", &sound[..sound.len() - 1])),
            ("mark", format!("\u{feff}{sound}")),
            ("NaN", "NaN".to_owned()),
            ("quotes", sound.replace('"', "'")),
            ("NUL", format!("{sound}\0")),
        ] {
            let kind = refused(
                &target.send(&service, body).await,
                &bot,
                &format!("{what} {name}"),
            );
            assert_eq!(kind, ProblemKind::MalformedRequest, "{what} {name}");
        }
        // Refused at its first member already.
        let deep = target.send(&service, nested("{\"a\":", 12_000)).await;
        refused(&deep, &bot, &what);
        for at in [1, sound.len() / 2, sound.len() - 2] {
            for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"] {
                let body = [&sound.as_bytes()[..at], bad, &sound.as_bytes()[at..]].concat();
                let answer = target.send(&service, body).await;
                let kind = refused(&answer, &bot, &format!("{what} {bad:?} at {at}"));
                let named = [ProblemKind::MalformedRequest, ProblemKind::InvalidField];
                assert!(named.contains(&kind), "{what} {bad:?} at {at}: {kind:?}");
            }
        }
        for body in ["[]", "7", "null", "\"text\"", "true", "[{}]", "{\"\": 1}"] {
            let kind = refused(
                &target.send(&service, body).await,
                &bot,
                &format!("{what} {body}"),
            );
            assert_eq!(kind, ProblemKind::InvalidField, "{what} {body}");
        }
        // The values of a request in a list are no request.
        let list = Value::Array(target.body.as_object().unwrap().values().cloned().collect());
        let answer = target.send(&service, list.to_string()).await;
        answer.refuses_field("body");
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "bodies that are no JSON");
}

#[tokio::test]
async fn a_member_that_is_named_twice_is_refused_at_any_depth() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        for place in target.places() {
            let name = place.rsplit('/').next().unwrap();
            let value = target.body.pointer(&place).unwrap().to_string();
            let twice = target.with(&place, &format!("{value},\"{name}\":{value}"));
            let what = format!("{} {place} twice", target.path);
            let kind = refused(&target.send(&service, twice).await, &bot, &what);
            assert_eq!(kind, ProblemKind::InvalidField, "{what}");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "members named twice");
}

#[tokio::test]
async fn ten_megabytes_are_refused_before_they_are_read() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    for target in &targets {
        // Announced: the answer comes although nothing of the body was sent.
        let host = service.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n{}: {}\r\nContent-Type: application/json\r\n\
             Content-Length: 10485760\r\n\r\n",
            target.method, target.path, target.credential.0, target.credential.1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await.unwrap();
        let line = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(line.starts_with("HTTP/1.1 413 "), "{}: {line}", target.path);
        // Not announced: chunks, of which the first ones are too many.
        let chunks =
            futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 30_000])));
        let answer = target.send(&service, Body::wrap_stream(chunks)).await;
        let kind = refused(&answer, &bot, &target.path);
        assert_eq!(kind, ProblemKind::PayloadTooLarge);
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "ten megabytes");
}

/// What a field may be given instead of its value, as raw JSON.
const VALUES: [&str; 30] = [
    "7",
    "-0",
    "0.1",
    "1e400",
    "1e999999999",
    "-1E+99999999999999999999",
    "99999999999999999999999999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[[[[[[[]]]]]]]]]]",
    "\"\"",
    "\"1e5\"",
    "\"NaN\"",
    "\"Infinity\"",
    "\" 1\"",
    "\"1 \"",
    "\"+1\"",
    "\"0x10\"",
    "\"1_000\"",
    "\"1,5\"",
    "\"\u{ff11}\"",
    "\"0.123456789\"",
    "\"99999999999999999999\"",
    "\"nul\\u0000\"",
    "\"'; DROP TABLE bots; --\"",
    "\"' OR '1'='1\"",
    "\"$1) RETURNING (1\"",
    "\"a\\r\\nSet-Cookie: a=b\"",
];

#[tokio::test]
async fn a_wrong_value_is_named_in_every_field() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    let before = State::of(&service.arena).await;
    let many = format!("\"{}\"", "x".repeat(5_000));
    for target in &targets {
        for place in target.places() {
            let optional = [
                "persona",
                "reasoning",
                "note",
                "cost_usd",
                "usage",
                "reason",
            ];
            for value in VALUES.into_iter().chain([many.as_str()]) {
                // A text field takes texts, and what may be missing may be null.
                if target.is_free(&place) && value.starts_with('"')
                    || value == "null" && optional.iter().any(|name| place.ends_with(name))
                    || value == "7" && place.ends_with("_tokens")
                    || value == "7" && place.ends_with("llm_calls")
                    || value == "true" && place.ends_with("used_lookup")
                    || place == "/handle" && ["\"NaN\"", "\"Infinity\""].contains(&value)
                {
                    continue;
                }
                let what = format!("{} {place} {value:.60}", target.path);
                let answer = target.send(&service, target.with(&place, value)).await;
                let kind = refused(&answer, &bot, &what);
                let named = [
                    ProblemKind::InvalidField,
                    // Of a number that no type holds, where no number belongs.
                    ProblemKind::MalformedRequest,
                    ProblemKind::Unauthorized,
                    ProblemKind::NotFound,
                    ProblemKind::InsufficientFunds,
                ];
                assert!(named.contains(&kind), "{what}: {}", answer.text());
            }
            let lone = target
                .send(&service, target.with(&place, "\"\\ud800\""))
                .await;
            let what = format!("{} {place} lone surrogate", target.path);
            assert_eq!(refused(&lone, &bot, &what), ProblemKind::MalformedRequest);
            let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
            let deep = target.send(&service, target.with(&place, &deep)).await;
            refused(&deep, &bot, &format!("{} {place} deep", target.path));
        }
    }
    let after = State::of(&service.arena).await;
    after.rows_must_be(&before, "wrong values");
}

/// Text is text: fragments of SQL are kept as they are written, and what cannot be shown is not.
#[tokio::test]
async fn free_text_is_taken_at_its_word() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for text in [
        "'; DROP TABLE bots; --",
        "\\'; SELECT pg_sleep(9) --",
        "$1 %s {} \\x00 ${jndi:ldap://x}",
        "<script>alert(1)</script>",
    ] {
        let mut body = wager(&service.observe(&bot).await, "0.50");
        body["reasoning"] = json!(text);
        service.act(&bot, &body).await.json();
        let shown = service.get("/predictions?limit=1").await.json();
        assert_eq!(shown["items"][0]["reasoning"], text);
    }
    let mut body = wager(&service.observe(&bot).await, "0.50");
    body["reasoning"] = json!("nul\0, \u{200b}zero\u{202e} width\r\nSet-Cookie: a=b");
    service.act(&bot, &body).await.json();
    let shown = service.get("/predictions?limit=1").await.json();
    let kept = shown["items"][0]["reasoning"].as_str().unwrap();
    assert_eq!(kept, "nul , zero width Set-Cookie: a=b");
    service.arena.assert_sound().await;
}

/// Text fields that are stored and shown refuse or clean what Postgres cannot keep; none is a 5xx.
#[tokio::test]
async fn no_text_breaks_a_field_that_takes_texts() {
    let service = Service::new().await;
    let (bot, targets) = targets(&service).await;
    for target in &targets {
        for place in target.places() {
            if !target.is_free(&place) {
                continue;
            }
            for text in [
                "\"nul\\u0000\"",
                "\"\\ud83d\\ude00\"",
                "\"\\u202e\\u200b\"",
                "\"\\u001b[2J\"",
            ] {
                let what = format!("{} {place} {text}", target.path);
                let answer = target.send(&service, target.with(&place, text)).await;
                if !answer.status.is_success() {
                    refused(&answer, &bot, &what);
                }
            }
        }
    }
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn handles_that_deceive_the_eye_are_refused() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").create().await;
    let before = State::of(&service.arena).await;
    for handle in [
        "Mi\u{0430}",
        "\u{041c}ia",
        "M\u{0131}a",
        "Mia\u{200b}",
        "\u{feff}Mia",
        "Mi\u{0301}a",
        "M\u{fb01}a",
        "\u{ff2d}ia",
        "\u{202e}aiM",
        "Mia\u{0}",
        "Mia\n",
        "\tMia",
        "Mia\u{7f}",
        " Mia",
        "Mia ",
        "Mi a",
        "Mi/a",
        "Mia'--",
        "7Mia",
        "_Mia",
        "M",
        "",
    ] {
        let answer = service.post("/bots", &json!({ "handle": handle })).await;
        refused(&answer, &bot, handle);
        answer.refuses_field("handle");
        let name: String = handle.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = service.get(&format!("/bots/{name}/ledger")).await;
        assert_eq!(
            refused(&found, &bot, handle),
            ProblemKind::NotFound,
            "{handle:?}"
        );
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "handles");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_alone() {
    let service = Service::new().await;
    let arena = &service.arena;
    let [bot, other] = [arena.bot().create().await, arena.bot().create().await];
    let [market, second] = [
        arena.market(MarketSource::News).await.id,
        arena.market(MarketSource::News).await.id,
    ];
    for market in [market, second] {
        arena.bet(bot.id, market, Side::Yes, "1").await;
    }
    arena
        .price("50000", ledger_core::prediction::PriceSource::Simulated, 0)
        .await;
    service.wager(&bot, "1").await.json();
    let lists = [
        "/bots".to_owned(),
        "/predictions".to_owned(),
        "/prices".to_owned(),
        "/posts/feed".to_owned(),
        "/ledger".to_owned(),
        "/markets".to_owned(),
        "/standings".to_owned(),
        format!("/bots/{}/ledger", bot.id),
        format!("/bots/{}/ledger", other.id),
        format!("/markets/{market}/bets"),
        format!("/markets/{second}/bets"),
    ];
    let before = State::of(&service.arena).await;
    let mut cursors = Vec::new();
    for list in &lists {
        let page = service.get(&format!("{list}?limit=1")).await.json();
        let cursor = page["next_cursor"].as_str();
        cursors.push(
            cursor
                .unwrap_or_else(|| panic!("{list}: {page}"))
                .to_owned(),
        );
    }
    let asked = async |list: &str, cursor: &str| {
        let mut address = reqwest::Url::parse(&format!("{}{list}", service.base)).unwrap();
        address.query_pairs_mut().append_pair("cursor", cursor);
        Answer::of(service.http.get(address)).await
    };
    for (at, list) in lists.iter().enumerate() {
        for (from, cursor) in cursors.iter().enumerate() {
            let answer = asked(list, cursor).await;
            if at == from {
                assert_eq!(answer.status, 200, "{list}: {}", answer.text());
            } else {
                answer.refuses_field("cursor");
                refused(&answer, &bot, list);
            }
        }
        let own = &cursors[at];
        let flipped = |place: usize| {
            let mut digits = own.clone().into_bytes();
            digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
            String::from_utf8(digits).unwrap()
        };
        for spoilt in [
            String::new(),
            flipped(0),
            flipped(own.len() / 2),
            flipped(own.len() - 1),
            own[..own.len() - 2].to_owned(),
            format!("{own}00"),
            own.to_uppercase() + "A",
            format!("{own}\0"),
            "' OR 1=1 --".to_owned(),
            "\u{ff11}".repeat(40),
            "f".repeat(5_000),
        ] {
            asked(list, &spoilt).await.refuses_field("cursor");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "cursors");
}

/// Base64url without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// Signs what it is told with the arena's own key: only what a token says can be wrong with it.
fn token(key: &[u8], kid: &str, claims: &Value) -> String {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(kid.to_owned());
    let key = jsonwebtoken::EncodingKey::from_secret(key);
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

#[tokio::test]
async fn a_token_that_proves_nothing_opens_no_route() {
    let service = Service::new().await;
    let (bot, mut targets) = targets(&service).await;
    targets.retain(|target| target.credential.0 == "X-Agent-Secret");
    let login = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let good = service.post("/auth/token", &login).await.json();
    let good = good["access_token"].as_str().unwrap();
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let kid = jsonwebtoken::decode_header(good).unwrap().kid.unwrap();
    let identity = service.arena.database().identity().await.unwrap();
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(identity.as_bytes()), SECRET_KEY.as_bytes())
        .expand(b"ledgerdome/token/v1", &mut key)
        .unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let sound = json!({ "sub": bot.id.to_string(), "iss": "ledgerdome", "aud": "arena",
                        "iat": now, "exp": now + 600 });
    let with = |name: &str, value: Value| {
        let mut claims = sound.clone();
        claims[name] = value;
        token(&key, &kid, &claims)
    };
    let me = service.request(Method::GET, "/bots/me");
    let own = me.bearer_auth(token(&key, &kid, &sound));
    assert_eq!(Answer::of(own).await.status, 200, "the key is the arena's");
    let none = |alg: &str| base64(format!("{{\"alg\":\"{alg}\",\"typ\":\"JWT\"}}").as_bytes());
    let tokens = [
        ("none", format!("{}.{claims}.", none("none"))),
        ("None", format!("{}.{claims}.{signature}", none("None"))),
        ("RS256", format!("{}.{claims}.{signature}", none("RS256"))),
        ("no signature", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        ("other key", token(&[7; 32], &kid, &sound)),
        ("other kid", token(&key, "0000000000000000", &sound)),
        ("other audience", with("aud", json!("elsewhere"))),
        ("no audience", with("aud", Value::Null)),
        ("other issuer", with("iss", json!("nobody"))),
        ("expired", with("exp", json!(now - 1))),
        ("never expires", with("exp", Value::Null)),
        ("expires as text", with("exp", json!("soon"))),
        ("nobody", with("sub", json!("0"))),
        ("no number", with("sub", json!("' OR 1=1 --"))),
    ];
    let before = State::of(&service.arena).await;
    for target in &targets {
        for (name, token) in &tokens {
            let request = service.request(target.method.clone(), &target.path);
            let answer = Answer::of(request.bearer_auth(token).json(&target.body)).await;
            let what = format!("{} {name}", target.path);
            assert_eq!(
                refused(&answer, &bot, &what),
                ProblemKind::Unauthorized,
                "{what}"
            );
            assert!(!answer.text().contains(token.as_str()), "{what}");
        }
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "tokens that prove nothing");
    let retire = service.operator(Method::DELETE, &format!("/bots/{}", bot.id));
    Answer::of(retire).await.json();
    let before = State::of(&service.arena).await;
    for target in targets {
        if target.path == "/metrics/usage" {
            continue;
        }
        let request = service.request(target.method, &target.path);
        let answer = Answer::of(request.bearer_auth(good).json(&target.body)).await;
        assert_eq!(
            refused(&answer, &bot, &target.path),
            ProblemKind::BotNotAlive
        );
    }
    let after = State::of(&service.arena).await;
    after.rows_must_be(&before, "a retired bot's token");
}

#[tokio::test]
async fn no_input_becomes_a_header() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let before = State::of(&service.arena).await;
    let host = service.base.strip_prefix("http://").unwrap();
    let injected = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>";
    for path in [
        format!("/bots/{injected}"),
        format!("/markets/{injected}"),
        format!("/problems/{injected}"),
        format!("/bots?cursor={injected}"),
        format!("/{injected}"),
    ] {
        let answer = service.get(&path).await;
        refused(&answer, &bot, &path);
        assert_eq!(answer.header("set-cookie"), None);
    }
    // In a header itself there is no way to write a line's end; what is left is refused.
    for (name, value) in [
        ("X-Agent-Secret", "a\r\n b"),
        ("X-Agent-Secret", "a\nX-Operator: b"),
        ("Authorization", "Bearer a\0b"),
        ("Idempotency-Key", "a\rb"),
        ("X-Request-Id", "a\r\nSet-Cookie: a=b"),
    ] {
        let text = format!(
            "GET /bots/me HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok();
        assert!(
            answer.starts_with("HTTP/1.1 4"),
            "{name} {value:?}: {answer}"
        );
        assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
    }
    let after = State::of(&service.arena).await;
    after.must_be(&before, "headers");
}
