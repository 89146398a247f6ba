use api::{ForwardingHeader, Proxies};
use api_types::ProblemKind;
use cache::limits::rate::Rate;
use daemon::shutdown::Shutdown;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use test_kit::{Arena, PATIENCE, eventually};

use crate::service::{ADMIN_TOKEN, Answer, Service, config, wager};
use crate::way::Way;

/// So many at once, and the next one in a minute: none within a test.
fn only(burst: u32) -> Option<Rate> {
    Some(Rate::per_minute(1, burst))
}

/// The required parts of a 429.
fn refused(answer: &Answer, policy: &str) -> String {
    let problem = answer.problem(ProblemKind::TooManyRequests);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(problem.extra["retry_after_seconds"], json!(wait));
    let standing = format!("\"{policy}\";r=0;t={wait}");
    assert_eq!(answer.header("ratelimit"), Some(standing.as_str()));
    problem.detail
}

#[tokio::test]
async fn a_client_is_told_where_it_stands_and_refused_beyond_its_burst() {
    let service = Service::with(|config| config.client_limits.address = only(3)).await;
    for left in [2, 1, 0] {
        let answer = service.get("/bots").await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"address\";q=3;w=180"));
        let standing = answer.header("ratelimit").unwrap();
        assert!(standing.starts_with(&format!("\"address\";r={left};t=")), "{standing}");
    }
    let before = service.footprint().await;
    refused(&service.get("/bots").await, "address");
    refused(&service.get("/no/such/path").await, "address");
    let registration = service.post("/bots", &json!({ "handle": "Mia" })).await;
    refused(&registration, "address");
    assert_eq!(service.footprint().await, before);
    // Probes must still work.
    assert_eq!(service.get("/health").await.status.as_u16(), 200);
    assert_eq!(service.get("/ready").await.status.as_u16(), 200);
}

#[tokio::test]
async fn without_limits_nothing_is_counted() {
    let service = Service::new().await;
    let answer = service.get("/bots").await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("ratelimit"), None);
    assert_eq!(answer.header("ratelimit-policy"), None);
}

#[tokio::test]
async fn bots_behind_one_address_have_limits_of_their_own() {
    let service = Service::with(|config| {
        config.client_limits.address = Some(Rate::per_minute(60_000, 1_000));
        config.client_limits.credential = only(2);
    })
    .await;
    let (mia, tom) = (service.arena.bot().create().await, service.arena.bot().create().await);
    for left in [1, 0] {
        let answer = service.get_as(&mia, "/bots/me").await;
        let standing = answer.header("ratelimit").unwrap();
        assert!(standing.starts_with(&format!("\"credential\";r={left};t=")), "{standing}");
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"address\";q=1000;w=1, \"credential\";q=2;w=120")
        );
    }
    refused(&service.get_as(&mia, "/bots/me").await, "credential");
    assert_eq!(service.get_as(&tom, "/bots/me").await.status.as_u16(), 200, "another bot's");
    assert_eq!(service.get("/bots").await.status.as_u16(), 200, "nobody's");
    for _ in 0..5 {
        // Operators are counted by address alone.
        let revive = service
            .operator(Method::POST, &format!("/bots/{}/revive", mia.id))
            .json(&json!({ "amount": "1", "reason": "none" }));
        Answer::of(revive).await.problem(ProblemKind::BotStatus);
    }
}

#[tokio::test]
async fn actions_are_counted_by_themselves_and_one_too_many_costs_nothing() {
    let service = Service::with(|config| config.client_limits.credential = only(3)).await;
    let bot = service.arena.bot().balance("10").create().await;
    let observation = service.observe(&bot).await;
    for _ in 0..2 {
        let mut body = wager(&observation, "1");
        body["observation_id"] = json!("6f2a3c6e-0c3e-4a8e-9c55-2d6d8f1c8b11");
        let answer = service.act(&bot, &body).await;
        answer.problem(ProblemKind::TicketSpent);
    }
    let body = wager(&observation, "1");
    assert_eq!(service.act(&bot, &body).await.status.as_u16(), 200);
    let next = service.observe(&bot).await;
    let before = service.footprint().await;
    refused(&service.act(&bot, &wager(&next, "1")).await, "credential");
    assert_eq!(service.footprint().await, before);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn logins_are_limited_by_address_and_by_bot() {
    let service = Service::with(|config| {
        config.client_limits.logins = only(4);
        config.client_limits.logins_per_bot = only(2);
    })
    .await;
    let (mia, tom) = (service.arena.bot().create().await, service.arena.bot().create().await);
    let login = |bot: &test_kit::TestBot, key: &str| json!({ "bot_id": bot.id, "api_key": key });
    for _ in 0..2 {
        let answer = service.post("/auth/token", &login(&mia, "ldk_wrong")).await;
        answer.problem(ProblemKind::Unauthorized);
    }
    let right = service.post("/auth/token", &login(&mia, &mia.api_key)).await;
    refused(&right, "logins-per-bot");
    let other = service.post("/auth/token", &login(&tom, &tom.api_key)).await;
    assert_eq!(other.status.as_u16(), 200);
    // The address has used its four. Another spelling of the path is no way round.
    for path in ["/auth/token", "/auth/%74oken"] {
        let answer = service.post(path, &login(&tom, &tom.api_key)).await;
        refused(&answer, "logins");
    }
}

#[tokio::test]
async fn a_bot_has_one_count_of_logins_whatever_it_is_called() {
    let service = Service::with(|config| config.client_limits.logins_per_bot = only(3)).await;
    let mia = service.arena.bot().handle("Mia").create().await;
    let names =
        [json!({ "bot_id": mia.id }), json!({ "handle": "Mia" }), json!({ "handle": "mIA" })];
    let login = async |name: &serde_json::Value| {
        let mut body = name.clone();
        body["api_key"] = json!("ldk_wrong");
        service.post("/auth/token", &body).await
    };
    for name in &names {
        login(name).await.problem(ProblemKind::Unauthorized);
    }
    for name in &names {
        refused(&login(name).await, "logins-per-bot");
    }
    // Nobody by a name has a count as well.
    let nobody = json!({ "handle": "nobody-at-all" });
    login(&nobody).await.problem(ProblemKind::Unauthorized);
}

#[tokio::test]
async fn registrations_are_limited_whatever_becomes_of_them() {
    let service = Service::with(|config| config.client_limits.registrations = only(2)).await;
    let register = |handle: &'static str| {
        let service = &service;
        async move { service.post("/bots", &json!({ "handle": handle })).await }
    };
    assert_eq!(register("Mia").await.status.as_u16(), 201);
    register("mia").await.problem(ProblemKind::HandleTaken);
    let before = service.footprint().await;
    refused(&register("Tom").await, "registrations");
    assert_eq!(service.footprint().await, before);
}

#[tokio::test]
async fn processes_count_together_and_exactly() {
    let arena = Arena::new().await;
    let mut twin = config(&arena);
    twin.client_limits.address = only(7);
    let shutdown = Shutdown::manual();
    let other = api::start(twin, shutdown.clone()).await.ok().unwrap();
    let service = Service::halted(arena, |config| config.client_limits.address = only(7)).await;
    let bases = [service.base.clone(), format!("http://{}", other.local_addr())];
    let tasks: Vec<_> = (0..40)
        .map(|at| {
            let request = service.http.get(format!("{}/economy", bases[at % 2]));
            tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        match task.await.unwrap() {
            200 => admitted += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(admitted, 7);
    shutdown.request();
    other.stopped().await.unwrap();
}

#[tokio::test]
async fn only_a_trusted_proxy_speaks_for_others() {
    let trusting = |config: &mut api::ApiConfig| {
        config.client_limits.address = only(1);
        config.grants_per_address_per_day = Some(1);
        config.proxies = Proxies {
            trusted: "127.0.0.0/8".parse().unwrap(),
            header: ForwardingHeader::XForwardedFor,
        };
    };
    let service = Service::with(trusting).await;
    let from = |service: &Service, client: &str| {
        let request = service.request(Method::GET, "/bots");
        Answer::of(request.header("X-Forwarded-For", client))
    };
    assert_eq!(from(&service, "192.0.2.1").await.status.as_u16(), 200);
    refused(&from(&service, "192.0.2.1").await, "address");
    // The client's own value is to the left of the proxy's.
    refused(&from(&service, "192.0.2.9, 192.0.2.1").await, "address");
    assert_eq!(from(&service, "192.0.2.2").await.status.as_u16(), 200);
    assert_eq!(from(&service, "2001:db8::1").await.status.as_u16(), 200);
    refused(&from(&service, "2001:db8::2").await, "address");

    let service = Service::with(|config| {
        trusting(config);
        config.proxies = Proxies::default();
    })
    .await;
    assert_eq!(from(&service, "192.0.2.1").await.status.as_u16(), 200);
    refused(&from(&service, "192.0.2.2").await, "address");
}

#[tokio::test]
async fn grants_are_limited_by_the_client_a_proxy_names() {
    let service = Service::with(|config| {
        config.grants_per_address_per_day = Some(1);
        config.proxies.trusted = "127.0.0.1".parse().unwrap();
    })
    .await;
    let register = |handle: &str, client: &str| {
        let request = service
            .request(Method::POST, "/bots")
            .header("X-Forwarded-For", client)
            .json(&json!({ "handle": handle }));
        Answer::of(request)
    };
    assert_eq!(register("Mia", "192.0.2.1").await.status.as_u16(), 201);
    let answer = register("Tom", "192.0.2.1").await;
    answer.problem(ProblemKind::TooManyRequests);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(register("Tom", "192.0.2.2").await.status.as_u16(), 201);
}

#[tokio::test]
async fn without_redis_reads_go_on_within_limits_and_nothing_is_accepted_until_it_is_back() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.redis_url()).await;
    let service = Service::halted(arena, |config| {
        config.redis.url = SecretString::from(url);
        config.client_limits.address = Some(Rate::per_minute(1, 50));
    })
    .await;
    service.put_price("50000").await;
    let bot = service.arena.bot().create().await;
    let observation = service.observe(&bot).await;
    let footprint = service.footprint().await;
    let cut = way.cut().await;

    let everything: [(Method, &str, Value); 6] = [
        (Method::POST, "/arena/action", wager(&observation, "1")),
        (Method::POST, "/bots", json!({ "handle": "Tom" })),
        (Method::POST, "/auth/token", json!({ "bot_id": bot.id, "api_key": bot.api_key })),
        (Method::POST, "/markets/bets", json!({ "bets": [] })),
        (Method::POST, "/metrics/usage", json!({})),
        (Method::GET, "/arena/observation", json!({})),
    ];
    for (method, path, body) in everything {
        let request =
            service.request(method, path).header("X-Agent-Secret", &bot.api_secret).json(&body);
        let answer = Answer::of(request).await;
        let problem = answer.problem(ProblemKind::Unavailable);
        assert!(answer.header("retry-after").is_some(), "{path}");
        assert!(!problem.detail.to_lowercase().contains("redis"), "{path}");
    }
    let retire = service.request(Method::DELETE, &format!("/bots/{}", bot.id));
    Answer::of(retire.bearer_auth(ADMIN_TOKEN)).await.problem(ProblemKind::Unavailable);
    assert_eq!(service.footprint().await, footprint);
    for path in ["/bots", "/ledger", "/posts/feed", "/economy"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        let standing = answer.header("ratelimit").unwrap();
        assert!(standing.starts_with("\"address\";r="), "{standing}");
    }
    assert_eq!(service.get("/ready").await.status.as_u16(), 503);
    let mut left = 50;
    while service.get("/bots").await.status.as_u16() != 429 {
        left -= 1;
        assert!(left > 0, "reads go on without any limit");
    }

    let _mended = cut.mend().await;
    let service = &service;
    let body = &wager(&observation, "1");
    eventually("wagers are taken again", || async {
        let answer = service.act(&bot, body).await;
        answer.status.is_success().then_some(())
    })
    .await;
    assert_eq!(service.get("/bots").await.status.as_u16(), 200);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_redis_that_says_nothing_is_waited_for_once() {
    let arena = Arena::new().await;
    let (way, url) = Way::instead(&arena.redis_url()).await;
    let service = Service::halted(arena, |config| {
        config.redis.url = SecretString::from(url);
        config.client_limits.address = Some(Rate::per_minute(60_000, 10_000));
    })
    .await;
    assert_eq!(service.get("/bots").await.status.as_u16(), 200);
    way.fall_silent();
    // If each of them waited even a second, they would not be done by then.
    let reads = async {
        for _ in 0..200 {
            let answer = service.get("/bots").await;
            assert_eq!(answer.status.as_u16(), 200);
            assert!(answer.header("ratelimit").is_some());
            let refused = service.post("/markets/bets", &json!({})).await;
            refused.problem(ProblemKind::Unavailable);
        }
    };
    tokio::time::timeout(PATIENCE, reads).await.expect("nobody waits for Redis any more");
}
