use api_types::{Bot, Page, ProblemKind, Registration};
use daemon::config::Environment;
use futures_util::future::join_all;
use ledger_core::economy::Enforcement;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::service::{Answer, OTHER_RANDOM_KEY, RANDOM_KEY, Service};

const REGISTRATION_TOKEN: &str = "the-registration-token";

async fn in_production() -> Service {
    Service::with(|config| {
        config.environment = Environment::Production;
        config.registration_token = Some(SecretString::from(REGISTRATION_TOKEN));
    })
    .await
}

#[tokio::test]
async fn a_registration_token_is_demanded_in_development_too() {
    let service = Service::with(|config| {
        config.environment = Environment::Development;
        config.registration_token = Some(SecretString::from(REGISTRATION_TOKEN));
    })
    .await;
    let refused = service.post("/bots", &json!({ "handle": "Mia" })).await;
    assert_eq!(refused.status.as_u16(), 403);
    let body = json!({ "handle": "Mia", "registration_token": REGISTRATION_TOKEN });
    assert_eq!(service.post("/bots", &body).await.status.as_u16(), 201);
}

#[tokio::test]
async fn a_bot_is_registered_with_wallet_grant_and_credentials_that_work() {
    let service = Service::new().await;
    let before = service.footprint().await;
    let body = json!({ "handle": "Mia", "persona": "calm\nand kind" });
    let answer = service.post("/bots", &body).await;
    assert_eq!(answer.status.as_u16(), 201);
    let mia: Registration = answer.ok();
    assert_eq!(answer.header("location"), Some(format!("/bots/{}", mia.id).as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(mia.balance.to_string(), "1000.00000000");
    assert!(
        mia.api_key.expose().starts_with("ldk_") && mia.api_secret.expose().starts_with("lds_")
    );
    let after = service.footprint().await;
    let written: Vec<i64> =
        after.iter().zip(&before).map(|(after, before)| after - before).collect();
    // Entry, audit row, two events, bot.
    assert_eq!(written, [1, 0, 1, 0, 2, 0, 1, 0]);
    let entries = service.get(&format!("/bots/{}/ledger", mia.id)).await.json();
    assert_eq!(entries["items"][0]["entry_type"], "GRANT");

    let login = json!({ "handle": "Mia", "api_key": mia.api_key });
    service.post("/auth/token", &login).await.json();
    let me = service.request(Method::GET, "/bots/me");
    let me = Answer::of(me.header("X-Agent-Secret", mia.api_secret.expose())).await;
    assert_eq!(me.json()["id"], json!(mia.id));
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_handle_is_taken_in_any_case() {
    let service = Service::new().await;
    service.post("/bots", &json!({ "handle": "Mia" })).await.json();
    let before = service.footprint().await;
    service.post("/bots", &json!({ "handle": "mIA" })).await.problem(ProblemKind::HandleTaken);
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn a_malformed_registration_names_its_field_and_makes_nobody() {
    let service = Service::new().await;
    let before = service.footprint().await;
    for (body, field) in [
        (json!({}), "handle"),
        (json!({ "handle": "ab" }), "handle"),
        (json!({ "handle": "1abc" }), "handle"),
        (json!({ "handle": "a".repeat(33) }), "handle"),
        (json!({ "handle": "mia mia" }), "handle"),
        (json!({ "handle": "Zoë" }), "handle"),
        (json!({ "handle": null }), "handle"),
        (json!({ "handle": "Mia", "persona": 7 }), "persona"),
        (json!({ "handle": "Mia", "persona": "x".repeat(2001) }), "persona"),
        (json!({ "handle": "Mia", "persona": "nul\u{0}" }), "persona"),
        (json!({ "handle": "Mia", "balance": "9999" }), "balance"),
        (json!({ "handle": "Mia", "hosted": true }), "hosted"),
        (json!([]), "body"),
    ] {
        service.post("/bots", &body).await.refuses_field(field);
    }
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn outside_development_the_token_is_needed() {
    let service = in_production().await;
    for body in [
        json!({ "handle": "Mia" }),
        json!({ "handle": "Mia", "registration_token": "" }),
        json!({ "handle": "Mia", "registration_token": "the-registration-tokeN" }),
    ] {
        let problem = service.post("/bots", &body).await.problem(ProblemKind::RegistrationClosed);
        assert!(!problem.detail.contains(REGISTRATION_TOKEN));
    }
    let body = json!({ "handle": "Mia", "registration_token": REGISTRATION_TOKEN });
    assert_eq!(service.post("/bots", &body).await.status.as_u16(), 201);

    let closed = Service::with(|config| config.environment = Environment::Production).await;
    for token in ["", REGISTRATION_TOKEN] {
        let body = json!({ "handle": "Mia", "registration_token": token });
        closed.post("/bots", &body).await.problem(ProblemKind::RegistrationClosed);
    }
}

#[tokio::test]
async fn grants_are_limited_for_an_address_and_a_day() {
    let service = Service::with(|config| config.grants_per_address_per_day = Some(2)).await;
    service.post("/bots", &json!({ "handle": "Mia" })).await.json();
    // A failed registration does not count.
    for _ in 0..3 {
        service.post("/bots", &json!({ "handle": "Mia" })).await.problem(ProblemKind::HandleTaken);
    }
    service.post("/bots", &json!({ "handle": "Max" })).await.json();
    let answer = service.post("/bots", &json!({ "handle": "Moe" })).await;
    answer.problem(ProblemKind::TooManyRequests);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((80_000..=86_401).contains(&seconds), "{seconds}");
    service.get("/bots/Moe").await.problem(ProblemKind::NotFound);
}

async fn register_with_key(service: &Service, body: &Value, key: &str) -> Answer {
    let request = service.request(Method::POST, "/bots").json(body);
    Answer::of(request.header("Idempotency-Key", key)).await
}

#[tokio::test]
async fn a_retried_registration_makes_one_bot_and_shows_the_same_secrets() {
    let service = Service::new().await;
    let body = json!({ "handle": "Mia" });
    let first = register_with_key(&service, &body, RANDOM_KEY).await;
    let before = service.footprint().await;
    let again = register_with_key(&service, &body, RANDOM_KEY).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.status.as_u16(), &again.body), (201, &first.body));
    assert_eq!(service.footprint().await, before);
    let other = json!({ "handle": "Mia", "persona": "somebody else" });
    register_with_key(&service, &other, RANDOM_KEY).await.problem(ProblemKind::IdempotencyMismatch);
    register_with_key(&service, &body, OTHER_RANDOM_KEY).await.problem(ProblemKind::HandleTaken);

    let kept = service.arena.owner_client().await;
    let row = kept.query_one("SELECT answer, encrypted FROM idempotency_keys", &[]).await.unwrap();
    let (answer, encrypted): (Vec<u8>, bool) = (row.get(0), row.get(1));
    assert!(encrypted && !answer.windows(4).any(|window| window == b"lds_"));
}

#[tokio::test]
async fn a_registration_takes_no_key_that_could_be_guessed() {
    let service = Service::new().await;
    let before = service.footprint().await;
    for key in [
        "register-1",
        "a-name-of-31-characters-is-not-",
        "00000000-0000-0000-0000-000000000000",
        "mia-mia-mia-mia-mia-mia-mia-mia-mia-",
    ] {
        let answer = register_with_key(&service, &json!({ "handle": "Mia" }), key).await;
        let problem = answer.refuses_field("Idempotency-Key");
        assert!(problem.detail.contains("secrets"), "{}", problem.detail);
    }
    assert_eq!(service.footprint().await, before);
}

/// Many register with one token. A client with another one's handle and key gets the same answer as any other:
/// the handle is taken.
#[tokio::test]
async fn a_used_key_of_somebody_else_looks_like_an_unused_one() {
    let service = Service::with(|config| {
        config.registration_token = Some(SecretString::from(REGISTRATION_TOKEN));
        config.proxies.trusted = "127.0.0.1".parse().unwrap();
    })
    .await;
    let ask = |client: &str, handle: &str, key: &str| {
        let body = json!({ "handle": handle, "registration_token": REGISTRATION_TOKEN });
        let request = service.request(Method::POST, "/bots").json(&body);
        let request = request.header("X-Forwarded-For", client);
        Answer::of(request.header("Idempotency-Key", key))
    };
    let mias = ask("203.0.113.7", "Mia", RANDOM_KEY).await;
    assert_eq!(mias.status.as_u16(), 201);
    let again = ask("203.0.113.7", "mia", RANDOM_KEY).await;
    again.problem(ProblemKind::IdempotencyMismatch);
    assert_eq!(
        ask("203.0.113.7", "Mia", RANDOM_KEY).await.body,
        mias.body,
        "whoever asked is told again"
    );
    // As far as their words go the two answers are one.
    let told = |answer: &Answer| {
        let problem = answer.problem(ProblemKind::HandleTaken);
        (problem.detail, problem.extra, answer.header("retry-after").map(str::to_owned))
    };
    for stranger in ["203.0.113.8", "2001:db8::7"] {
        let used = ask(stranger, "Mia", RANDOM_KEY).await;
        let unused = ask(stranger, "Mia", OTHER_RANDOM_KEY).await;
        assert_eq!(told(&used), told(&unused));
        assert!(!used.text().contains("lds_"));
    }
    // A used key of another handle's is no hindrance either.
    assert_eq!(ask("203.0.113.7", "Max", RANDOM_KEY).await.status.as_u16(), 201);
}

#[tokio::test]
async fn twins_at_the_same_time_make_one_bot() {
    let service = Service::new().await;
    let body = json!({ "handle": "Mia" });
    let answers = join_all((0..8).map(|_| register_with_key(&service, &body, RANDOM_KEY))).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
    }
    let bots: Page<Bot> = service.get("/bots").await.ok();
    assert_eq!(bots.items.len(), 1);
}

#[tokio::test]
async fn twins_at_two_services_make_one_bot() {
    let service = Service::new().await;
    let mut second = crate::service::config(&service.arena);
    second.port = 0;
    let shutdown = daemon::shutdown::Shutdown::manual();
    let second = match api::start(second, shutdown.clone()).await {
        Ok(running) => running,
        Err(failure) => panic!("{failure}"),
    };
    let bases = [service.base.clone(), format!("http://{}", second.local_addr())];
    let body = json!({ "handle": "Mia" });
    let answers = join_all((0..8).map(|at| {
        let request = service.http.post(format!("{}/bots", bases[at % 2])).json(&body);
        Answer::of(request.header("Idempotency-Key", RANDOM_KEY))
    }))
    .await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
    }
    shutdown.request();
    second.stopped().await.unwrap();
}

#[tokio::test]
async fn a_bot_is_found_by_id_and_by_handle_and_shows_no_secret() {
    let service = Service::new().await;
    let bot = service.arena.bot().handle("Mia").balance("3.50").hosted().create().await;
    service.arena.tick(Enforcement::Observe).await;
    for name in [bot.id.to_string(), "Mia".to_owned(), "mia".to_owned()] {
        let shown = service.get(&format!("/bots/{name}")).await.json();
        assert_eq!((&shown["id"], &shown["handle"]), (&json!(bot.id), &json!("Mia")));
        assert_eq!(
            (&shown["balance"], &shown["shadow_balance"]),
            (&json!("3.50000000"), &json!("3.00000000"))
        );
        assert_eq!((&shown["status"], &shown["hosted"]), (&json!("ALIVE"), &json!(true)));
        assert_eq!((&shown["idle_streak"], &shown["last_action_at"]), (&json!(1), &Value::Null));
        let text = shown.to_string();
        assert!(
            !text.contains("api_") && !text.contains("hash") && !text.contains("persona"),
            "{text}"
        );
    }
    for nobody in ["424242", "nobody", "a", "%20", "99999999999999999999", "x'--", "%00"] {
        service.get(&format!("/bots/{nobody}")).await.problem(ProblemKind::NotFound);
    }
}
