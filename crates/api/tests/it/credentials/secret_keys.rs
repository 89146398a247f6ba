//! A SECRET_KEY that changes while everything runs.

use super::*;

#[tokio::test]
async fn a_new_secret_key_honours_what_was_made_under_the_one_before() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    service.arena.bot().create().await;
    let old_token = token(&service, &bot, &bot.api_key).await;
    let page = service.get("/bots?limit=1").await.json();
    let next = format!("/bots?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let register = |service: &Service, handle: &str| {
        let request = service.request(Method::POST, "/bots");
        let body = json!({ "handle": handle });
        Answer::of(request.json(&body).header("Idempotency-Key", RANDOM_KEY))
    };
    let registered = register(&service, "Mia").await;
    assert_eq!(registered.status, 201);

    let arena = service.stop().await;
    let after = Service::halted(arena, |config| {
        config.secrets.secret_key.current = SecretString::from(NEW_SECRET_KEY);
        config.secrets.secret_key.others = vec![SecretString::from(SECRET_KEY)];
    })
    .await;
    assert_eq!(by_token(&after, &old_token).await.status, 200);
    assert_eq!(after.get(&next).await.json()["items"].as_array().unwrap().len(), 1);
    let again = register(&after, "Mia").await;
    assert_eq!(again.text(), registered.text());
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    register(&after, "mia").await.problem(ProblemKind::IdempotencyMismatch);
    let new_token = token(&after, &bot, &bot.api_key).await;

    let arena = after.stop().await;
    let later = Service::halted(arena, |config| {
        config.secrets.secret_key.current = SecretString::from(NEW_SECRET_KEY);
    })
    .await;
    assert_eq!(by_token(&later, &new_token).await.status, 200);
    by_token(&later, &old_token).await.problem(ProblemKind::Unauthorized);
    later.get(&next).await.refuses_field("cursor");
    register(&later, "Mia").await.problem(ProblemKind::HandleTaken);
}

/// While SECRET_KEY is changed, one process uses the old one and another the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_in_processes_with_swapped_secret_keys_have_their_effect_once() {
    let service = Service::with(|config| {
        config.secrets.secret_key.others = vec![SecretString::from(NEW_SECRET_KEY)];
    })
    .await;
    let swapped = service
        .twin_with(|config| {
            config.secrets.secret_key.current = SecretString::from(NEW_SECRET_KEY);
            config.secrets.secret_key.others = vec![SecretString::from(SECRET_KEY)];
        })
        .await;
    let bot = service.arena.bot().create().await;
    let report = json!({
        "usage": {
            "provider": "openai", "model": "known", "input_tokens": 1, "output_tokens": 1, "llm_calls": 1,
        },
    });
    const ROUNDS: usize = 25;
    for round in 0..ROUNDS {
        let ask = |base: &str| {
            let request = service.http.post(format!("{base}/metrics/usage"));
            let request = request.header("X-Agent-Secret", &bot.api_secret);
            let key = format!("round-{round}");
            Answer::of(request.header("Idempotency-Key", key).json(&report))
        };
        let (here, there) = tokio::join!(ask(&service.base), ask(&swapped));
        let statuses = [here.status.as_u16(), there.status.as_u16()];
        // Both get the answer; or the later one gets a conflict with the running request.
        assert!(
            statuses.iter().all(|status| [201, 409].contains(status)) && statuses.contains(&201),
            "{statuses:?}"
        );
    }
    let owner = service.arena.owner_client().await;
    let count = "SELECT count(*) FROM audit_log WHERE action = 'USAGE'";
    let effects: i64 = owner.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(effects, i64::try_from(ROUNDS).unwrap());
}
