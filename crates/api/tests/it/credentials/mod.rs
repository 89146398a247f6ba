//! Rotation of credentials, and what it ends.

mod kept;
mod secret_keys;

use std::time::Duration;

use api_types::{ProblemKind, RotatedKeys};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use test_kit::{Arena, TestBot};
use tokio::time::{Instant, sleep};

use crate::service::{
    ADMIN_TOKEN, Answer, OTHER_RANDOM_KEY, RANDOM_KEY, SECRET_KEY, Service, same_login,
};

const NEW_SECRET_KEY: &str = "the-next-secret-key-of-well-over-thirty-two-characters";

fn rotation(service: &Service, bot: &TestBot, secret: &str, body: &Value) -> RequestBuilder {
    service
        .request(Method::POST, &format!("/bots/{}/keys", bot.id))
        .header("X-Agent-Secret", secret)
        .json(body)
}

async fn rotate(service: &Service, bot: &TestBot, secret: &str, grace: u32) -> RotatedKeys {
    let body = json!({ "grace_seconds": grace });
    Answer::of(rotation(service, bot, secret, &body)).await.ok()
}

async fn by_secret(service: &Service, secret: &str) -> Answer {
    let request = service.request(Method::GET, "/bots/me");
    Answer::of(request.header("X-Agent-Secret", secret)).await
}

async fn by_token(service: &Service, token: &str) -> Answer {
    at(&service.base, token).await
}

async fn at(base: &str, token: &str) -> Answer {
    let request = Client::new().get(format!("{base}/bots/me"));
    Answer::of(request.bearer_auth(token)).await
}

async fn login(service: &Service, bot: &TestBot, api_key: &str) -> Answer {
    let body = json!({ "bot_id": bot.id, "api_key": api_key });
    service.post("/auth/token", &body).await
}

async fn token(service: &Service, bot: &TestBot, api_key: &str) -> String {
    let answer = login(service, bot, api_key).await.json();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Ends the grace of every rotation.
async fn end_grace(arena: &Arena) {
    let sql = "UPDATE superseded_credentials SET valid_until = greatest(rotated_at, \
               least(valid_until, clock_timestamp()))";
    arena.owner_client().await.execute(sql, &[]).await.unwrap();
}

/// Waits until the token is refused, as the other processes learn of a rotation in time.
async fn until_refused(base: &str, token: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while at(base, token).await.status != 401 {
        assert!(Instant::now() < deadline, "the token is still good");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The audit rows of this kind, as (actor, bot, detail), once there are as many.
async fn audited(arena: &Arena, action: &str, rows: usize) -> Vec<(String, Option<i64>, Value)> {
    let client = arena.owner_client().await;
    let sql = "SELECT actor, bot_id, detail::text FROM audit_log WHERE action = $1 ORDER BY id";
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = client.query(sql, &[&action]).await.unwrap();
        if found.len() >= rows {
            let row = |row: &tokio_postgres::Row| {
                let detail: &str = row.get(2);
                (row.get(0), row.get(1), serde_json::from_str(detail).unwrap())
            };
            return found.iter().map(row).collect();
        }
        assert!(Instant::now() < deadline, "{} rows of {action}", found.len());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_rotation_without_grace_ends_everything_at_once() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let other = service.arena.bot().create().await;
    let others = token(&service, &other, &other.api_key).await;
    let old_token = token(&service, &bot, &bot.api_key).await;
    let path = format!("/bots/{}/keys", bot.handle);
    let request = service.request(Method::POST, &path).bearer_auth(&old_token);
    let new: RotatedKeys = Answer::of(request).await.ok();
    assert_eq!(new.id, bot.id);

    by_secret(&service, &bot.api_secret).await.problem(ProblemKind::Unauthorized);
    login(&service, &bot, &bot.api_key).await.problem(ProblemKind::Unauthorized);
    by_token(&service, &old_token).await.problem(ProblemKind::Unauthorized);

    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);
    let new_token = token(&service, &bot, new.api_key.expose()).await;
    assert_eq!(by_token(&service, &new_token).await.status, 200);
    assert_eq!(by_token(&service, &others).await.status, 200);
}

#[tokio::test]
async fn within_the_grace_old_and_new_are_good() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let before = token(&service, &bot, &bot.api_key).await;
    let new = rotate(&service, &bot, &bot.api_secret, 600).await;

    assert_eq!(by_secret(&service, &bot.api_secret).await.status, 200);
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);
    assert_eq!(by_token(&service, &before).await.status, 200);
    let answer = login(&service, &bot, &bot.api_key).await.json();
    // No longer than the grace lasts.
    let seconds = answer["expires_in"].as_i64().unwrap();
    assert!((1..=600).contains(&seconds), "{seconds}");
    let within = answer["access_token"].as_str().unwrap().to_owned();
    let after = token(&service, &bot, new.api_key.expose()).await;

    end_grace(&service.arena).await;
    by_secret(&service, &bot.api_secret).await.problem(ProblemKind::Unauthorized);
    login(&service, &bot, &bot.api_key).await.problem(ProblemKind::Unauthorized);
    until_refused(&service.base, &before).await;
    until_refused(&service.base, &within).await;
    assert_eq!(by_token(&service, &after).await.status, 200);
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);
}

/// Within the grace a login is compared with both at the cost of one hash.
#[tokio::test]
async fn a_rotated_key_is_hashed_under_the_salt_of_the_one_before_it() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    rotate(&service, &bot, &bot.api_secret, 600).await;
    let owner = service.arena.owner_client().await;
    let row = owner
        .query_one(
            "SELECT b.api_key_hash, s.api_key_hash FROM bots b JOIN superseded_credentials s ON s.bot_id = b.id \
              WHERE b.id = $1",
            &[&bot.id.0],
        )
        .await
        .unwrap();
    let (present, before): (String, String) = (row.get(0), row.get(1));
    // $argon2id$v=19$m=…,t=…,p=…$salt$hash
    let salt = |hash: &str| hash.split('$').nth(4).unwrap().to_owned();
    assert_eq!(salt(&present), salt(&before));
    assert_ne!(present, before);
}

#[tokio::test]
async fn another_rotation_ends_the_earlier_grace() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let first_token = token(&service, &bot, &bot.api_key).await;
    let second = rotate(&service, &bot, &bot.api_secret, 600).await;
    let second_token = token(&service, &bot, second.api_key.expose()).await;
    let third = rotate(&service, &bot, second.api_secret.expose(), 600).await;
    for (secret, status) in [
        (bot.api_secret.as_str(), 401),
        (second.api_secret.expose(), 200),
        (third.api_secret.expose(), 200),
    ] {
        assert_eq!(by_secret(&service, secret).await.status, status);
    }
    assert_eq!(by_token(&service, &first_token).await.status, 401);
    assert_eq!(by_token(&service, &second_token).await.status, 200);
}

#[tokio::test]
async fn every_process_learns_of_a_rotation() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let old = token(&service, &bot, &bot.api_key).await;
    let elsewhere = service.twin().await;
    assert_eq!(at(&elsewhere, &old).await.status, 200);
    rotate(&service, &bot, &bot.api_secret, 0).await;
    until_refused(&elsewhere, &old).await;
    // A process that starts later reads it before it answers.
    let later = service.twin().await;
    assert_eq!(at(&later, &old).await.status, 401);
}

#[tokio::test]
async fn only_the_bots_present_credentials_or_an_operator_rotate() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let other = service.arena.bot().create().await;
    let post = |path: String| service.request(Method::POST, &path);
    for path in [
        format!("/bots/{}/keys", bot.id),
        format!("/bots/{}/keys", bot.handle),
        "/bots/Nobody/keys".to_owned(),
        "/bots/424242/keys".to_owned(),
    ] {
        let request = post(path.clone()).header("X-Agent-Secret", &other.api_secret);
        Answer::of(request).await.problem(ProblemKind::Forbidden);
        Answer::of(post(path)).await.problem(ProblemKind::Unauthorized);
    }
    let request = post("/bots/Nobody/keys".to_owned()).bearer_auth(ADMIN_TOKEN);
    Answer::of(request).await.problem(ProblemKind::NotFound);

    let new = rotate(&service, &bot, &bot.api_secret, 600).await;
    let old = rotation(&service, &bot, &bot.api_secret, &json!({}));
    Answer::of(old).await.problem(ProblemKind::Forbidden);
    let old_token = token(&service, &bot, &bot.api_key).await;
    let request = post(format!("/bots/{}/keys", bot.id)).bearer_auth(&old_token);
    Answer::of(request).await.problem(ProblemKind::Forbidden);
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);

    let request = post(format!("/bots/{}/keys", bot.handle))
        .bearer_auth(ADMIN_TOKEN)
        .header("X-Operator", "olga");
    let newest: RotatedKeys = Answer::of(request).await.ok();
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 401);
    assert_eq!(by_secret(&service, newest.api_secret.expose()).await.status, 200);

    let id = bot.id.0;
    let rows = audited(&service.arena, "ROTATE_KEYS", 2).await;
    let detail = |version, grace| json!({ "credential_version": version, "grace_seconds": grace });
    assert_eq!(
        rows,
        [
            (format!("bot:{id}"), Some(id), detail(2, 600)),
            (rows[1].0.clone(), Some(id), detail(3, 0)),
        ]
    );
    assert!(rows[1].0.contains("olga"), "{}", rows[1].0);
}

#[tokio::test]
async fn the_dead_rotate_and_the_retired_do_not() {
    let service = Service::new().await;
    let bot = service.arena.bot().dead().create().await;
    let new = rotate(&service, &bot, &bot.api_secret, 0).await;
    let retire = service.operator(Method::DELETE, &format!("/bots/{}", bot.id));
    assert_eq!(Answer::of(retire).await.status, 200);
    let request = rotation(&service, &bot, new.api_secret.expose(), &json!({}));
    Answer::of(request).await.problem(ProblemKind::BotStatus);
    let request = service.operator(Method::POST, &format!("/bots/{}/keys", bot.id));
    Answer::of(request).await.problem(ProblemKind::BotStatus);
}

#[tokio::test]
async fn a_grace_has_bounds() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for grace in [json!(86_401), json!(-1), json!("60"), json!(1.5)] {
        let body = json!({ "grace_seconds": grace });
        let request = rotation(&service, &bot, &bot.api_secret, &body);
        Answer::of(request).await.refuses_field("grace_seconds");
    }
    let request = rotation(&service, &bot, &bot.api_secret, &json!({ "grace": 1 }));
    Answer::of(request).await.refuses_field("grace");
    rotate(&service, &bot, &bot.api_secret, 86_400).await;
}

#[tokio::test]
async fn two_hundred_retries_of_a_rotation_leave_one() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let retries = (0..200).map(|_| {
        let request = rotation(&service, &bot, &bot.api_secret, &json!({}));
        Answer::of(request.header("Idempotency-Key", "a-rotation-of-mia-which-nobody-guesses"))
    });
    let answers = futures_util::future::join_all(retries).await;
    let first = answers[0].text();
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.text()), (200, first.clone()));
    }
    let replayed = |answer: &&Answer| answer.header("Idempotency-Replayed").is_some();
    assert_eq!(answers.iter().filter(replayed).count(), 199);
    assert_eq!(audited(&service.arena, "ROTATE_KEYS", 1).await.len(), 1);
    let new: RotatedKeys = answers[0].ok();
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);

    // Ended credentials get that one answer, and nothing else.
    let again = || rotation(&service, &bot, &bot.api_secret, &json!({}));
    Answer::of(again()).await.problem(ProblemKind::Unauthorized);
    Answer::of(again().header("Idempotency-Key", OTHER_RANDOM_KEY))
        .await
        .problem(ProblemKind::Unauthorized);
    let kept = service.arena.owner_client().await;
    let row = kept.query_one("SELECT answer, encrypted FROM idempotency_keys", &[]).await.unwrap();
    let (answer, encrypted): (Vec<u8>, bool) = (row.get(0), row.get(1));
    assert!(encrypted && !String::from_utf8_lossy(&answer).contains("lds_"));
}

#[tokio::test]
async fn of_rotations_that_race_one_wins() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let racing = (0..8).map(|_| {
        Answer::of(rotation(&service, &bot, &bot.api_secret, &json!({ "grace_seconds": 60 })))
    });
    let answers = futures_util::future::join_all(racing).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.problem(ProblemKind::Forbidden);
    }
    let new: RotatedKeys = won[0].ok();
    assert_eq!(by_secret(&service, new.api_secret.expose()).await.status, 200);
}

#[tokio::test]
async fn a_login_is_answered_once_a_key_and_audited() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let body = json!({ "bot_id": bot.id, "api_key": bot.api_key });
    let ask = |body: Value| {
        let request = service.request(Method::POST, "/auth/token").json(&body);
        Answer::of(request.header("Idempotency-Key", RANDOM_KEY))
    };
    let (first, again) = (ask(body.clone()).await, ask(body).await);
    same_login(&first, &again);
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    let named = json!({ "handle": bot.handle, "api_key": bot.api_key });
    ask(named).await.problem(ProblemKind::IdempotencyMismatch);
    // A caller without the key does not get its token.
    let stranger = json!({ "bot_id": bot.id, "api_key": "ldk_wrong" });
    ask(stranger).await.problem(ProblemKind::Unauthorized);
    let rows = audited(&service.arena, "LOGIN", 1).await;
    let id = bot.id.0;
    let detail = json!({ "credential_version": 1 });
    assert_eq!(rows, [(format!("bot:{id}"), Some(id), detail)]);
}

#[tokio::test]
async fn refused_credentials_are_audited_with_a_count() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    for _ in 0..5 {
        login(&service, &bot, "ldk_wrong").await;
        let request = service
            .request(Method::POST, &format!("/bots/{}/revive", bot.id))
            .bearer_auth("not-the-operators-token");
        Answer::of(request).await.problem(ProblemKind::Unauthorized);
    }
    // Guessed where bots may come, too; a bot's token that is over is no guess.
    let keys = format!("/bots/{}/keys", bot.id);
    for guess in ["not-the-operators-token", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"] {
        let request = service.request(Method::POST, &keys).bearer_auth(guess);
        Answer::of(request).await.problem(ProblemKind::Unauthorized);
    }
    // For an unknown bot nothing is recorded.
    let nobody = json!({ "bot_id": 424_242, "api_key": "ldk_wrong" });
    service.post("/auth/token", &nobody).await;
    let arena = service.stop().await;
    for (action, about, count) in
        [("LOGIN_REFUSED", Some(bot.id.0), 5), ("OPERATOR_REFUSED", None, 6)]
    {
        let rows = audited(&arena, action, 1).await;
        // The first row of a minute, and what was left at the end.
        assert!(rows.len() <= 2, "{rows:?}");
        let counts = rows.iter().map(|row| row.2["count"].as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), count);
        assert!(rows.iter().all(|row| row.0 == "anonymous" && row.1 == about));
    }
}

#[test]
fn no_secret_shows_in_what_can_be_printed() {
    let secret = "hunter-two-of-the-arena";
    let parse = |json: Value| json.to_string();
    let token_request: api_types::TokenRequest =
        serde_json::from_str(&parse(json!({ "bot_id": 1, "api_key": secret }))).unwrap();
    let answer: api_types::TokenAnswer = serde_json::from_str(&parse(
        json!({ "access_token": secret, "token_type": "bearer", "expires_in": 1 }),
    ))
    .unwrap();
    let register: api_types::RegisterRequest =
        serde_json::from_str(&parse(json!({ "handle": "Mia", "registration_token": secret })))
            .unwrap();
    let at = "2026-01-01T00:00:00.000000Z";
    let rotated: RotatedKeys = serde_json::from_str(&parse(json!({
        "id": 1, "api_key": secret, "api_secret": secret, "old_valid_until": at,
    })))
    .unwrap();
    let registration: api_types::Registration = serde_json::from_str(&parse(json!({
        "id": 1, "handle": "Mia", "status": "ALIVE", "balance": "1.00000000",
        "api_key": secret, "api_secret": secret, "created_at": at,
    })))
    .unwrap();
    let shown = format!("{token_request:?} {answer:?} {register:?} {rotated:?} {registration:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(shown.matches("[hidden]").count(), 7, "{shown}");
}
