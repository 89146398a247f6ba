//! Each call goes to its path and reads its answer.

use api_types::{Action, ActionRequest, RegisterRequest, RotateRequest};
use arena_client::{Client, ClientConfig, ClientError, Credential, IdempotencyKey, PageQuery};
use arena_client::{PredictionQuery, SetupError, StandingsQuery};
use ledger_core::prediction::{Direction, PredictionStatus};
use ledger_core::{BotId, BotStatus, ObservationId};
use serde_json::{Value, json};

use crate::stub::{Reply, Stub, token};

const OBSERVATION: &str = "6b1f0b3e-54c3-4d6b-9a59-0f5c6f1f7a10";

pub(crate) fn bot() -> Value {
    json!({
        "id": 10_001, "handle": "momentum-mia", "status": "ALIVE", "balance": "12.50000000",
        "shadow_balance": "-1.00000000", "idle_streak": 3, "hosted": true,
        "created_at": "2026-11-01T00:00:00.000000Z", "last_action_at": null, "new_field": 1,
    })
}

pub(crate) fn me() -> Value {
    let mut me = bot();
    me["open_positions"] = json!([]);
    me["open_bets"] = json!([]);
    me["limits"] = json!({
        "open_predictions": 0, "open_predictions_max": 20, "open_stake": "0.00000000",
        "open_stake_max": "100.00000000", "stake_min": "0.01000000",
    });
    me
}

pub(crate) fn acceptance() -> Reply {
    let body = json!({
        "status": "ACCEPTED", "action_id": 5, "prediction_id": 7, "new_balance": "11.50000000",
    });
    Reply::Json(200, body)
}

pub(crate) fn prediction() -> ActionRequest {
    let action = Action::Predict {
        direction: Direction::Up,
        wager_amount: "1.00".parse().unwrap(),
        confidence: "0.70".parse().unwrap(),
    };
    ActionRequest::new(ObservationId(OBSERVATION.parse().unwrap()), action)
}

#[tokio::test]
async fn a_bot_reads_itself() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => Reply::Json(200, me()),
    })
    .await;
    let me = stub.bot().me().await.unwrap();
    assert_eq!(me.bot.id, BotId(10_001));
    assert_eq!(me.bot.status, BotStatus::Alive);
    assert_eq!(me.bot.shadow_balance.to_string(), "-1.00000000");
    assert_eq!(me.limits.open_predictions_max, 20);
}

#[tokio::test]
async fn an_action_is_sent_as_the_contract_says() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => acceptance(),
    })
    .await;
    let answer = stub.bot().act(&prediction()).await.unwrap();
    assert_eq!(answer.new_balance.to_string(), "11.50000000");
    let sent = &stub.requests()[1];
    assert!(sent.is("POST", "/arena/action"));
    let body = json!({
        "observation_id": OBSERVATION, "action_type": "PREDICT", "direction": "UP",
        "wager_amount": "1.00000000", "confidence": "0.70000000",
    });
    assert_eq!(sent.json(), body);
    assert_eq!(sent.header("content-type"), Some("application/json"));
    assert!(sent.header("idempotency-key").is_some_and(|key| key.len() == 36));
}

#[tokio::test]
async fn two_actions_have_two_keys_and_a_named_key_is_kept() {
    let stub = Stub::start(|request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => acceptance(),
    })
    .await;
    let bot = stub.bot();
    bot.act(&prediction()).await.unwrap();
    bot.act(&prediction()).await.unwrap();
    let key = IdempotencyKey::named("turn-7").unwrap();
    bot.act_once(&prediction(), &key).await.unwrap();
    let requests = stub.requests();
    let keys: Vec<_> = requests[1..].iter().map(|it| it.header("idempotency-key")).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2], Some("turn-7"));
}

#[test]
fn a_key_must_fit_a_header() {
    for name in ["", "with space", "line\nfeed", "ü", &"k".repeat(256)] {
        assert_eq!(IdempotencyKey::named(name), None, "{name:?}");
    }
    // As long as the arena takes it.
    assert!(IdempotencyKey::named(&"k".repeat(255)).is_some());
}

#[tokio::test]
async fn secrets_are_asked_for_under_keys_that_nobody_guesses() {
    let stub = Stub::start(|_, _| token("t", 1800)).await;
    let key = IdempotencyKey::named("register-1").unwrap();
    let request = RegisterRequest {
        handle: "new-bot".parse().unwrap(),
        persona: None,
        registration_token: None,
    };
    let refused = stub.client().register(&request, &key).await;
    assert!(matches!(refused, Err(ClientError::Request(_))));
    let rotation = RotateRequest { grace_seconds: 0 };
    let refused = stub.bot().rotate_keys(BotId(7), &rotation, &key).await;
    assert!(matches!(refused, Err(ClientError::Request(_))));
    assert!(stub.requests().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn lists_are_asked_for_by_page_and_filter() {
    let stub =
        Stub::start(|_, _| Reply::Json(200, json!({"items": [], "next_cursor": "more"}))).await;
    let client = stub.client();
    let page = PageQuery { limit: Some(20), cursor: Some("a/b&c".to_owned()) };
    assert_eq!(client.prices(&page).await.unwrap().next_cursor.as_deref(), Some("more"));
    client.feed(&PageQuery::default()).await.unwrap();
    client.ledger(&PageQuery::newest(1)).await.unwrap();
    client.bot_ledger(BotId(7), &PageQuery::default()).await.unwrap();
    let query = PredictionQuery {
        bot: Some(BotId(7)),
        status: Some(PredictionStatus::Open),
        page: PageQuery::newest(5),
    };
    client.predictions(&query).await.unwrap();
    client.bots(&PageQuery::newest(2)).await.unwrap();
    let requests = stub.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/prices?limit=20&cursor=a%2Fb%26c",
            "/posts/feed",
            "/ledger?limit=1",
            "/bots/7/ledger",
            "/predictions?limit=5&bot=7&status=OPEN",
            "/bots?limit=2",
        ]
    );
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn standings_and_insights_are_read_as_they_are_sent() {
    let zero = "0.00000000";
    let wide = "123456789012.00000000";
    let stub = Stub::start(move |request, _| {
        if request.target.starts_with("/standings") {
            let item = json!({
                "rank": 3, "bot_id": 7, "handle": "mia", "status": "DEAD", "wealth": wide,
                "balance": zero, "shadow_balance": "-1.00000000", "return": "-1.00000000",
                "cost": zero, "llm_usd": zero, "unpriced_calls": 0, "profit": zero, "settled": 2, "won": 1,
                "brier": "0.25000000", "brier_count": 1, "brier_coverage": "0.50000000",
                "new_field": 1,
            });
            let at = "2026-11-01T00:00:00.000000Z";
            return Reply::Json(
                200,
                json!({"items": [item], "next_cursor": null, "as_of": at}),
            );
        }
        Reply::Json(
            200,
            json!({
                "bot_id": 7, "handle": "mia", "status": "ALIVE", "mode": "enforce",
                "balance": zero, "shadow_balance": zero,
                "cost": {
                    "fees": wide, "phantom_fees": zero, "lookup_fees": zero, "lost_stakes": zero,
                    "llm_usd": zero, "input_tokens": 1, "cached_input_tokens": 0,
                    "output_tokens": 2, "reasoning_tokens": 0, "llm_calls": 3, "unpriced_calls": 0,
                    "unreported_calls": 0, "reported_usd": zero, "reported_usd_calls": 0,
                },
                "produced": {
                    "payouts": zero, "bounties": zero, "profit": zero, "settled": 0, "won": 0,
                    "brier": null, "brier_count": 0, "brier_coverage": null,
                    "cost_per_settled": null, "cost_per_profit": null,
                    "llm_usd_per_settled": null, "llm_usd_per_profit": null,
                },
                "attention": {"interventions": 0, "errors": 0},
                "activity": {
                    "ticks": 0, "idle_rate": null, "idle_streak": 0,
                    "would_have_been_liquidated_at": null,
                },
                "trend": {
                    "window_ticks": 60, "profit_per_tick": null, "previous": null,
                    "direction": "up",
                },
                "if_nothing_changes": {
                    "burn_per_tick": "0.50000000", "ticks_left": 0, "dies_in_tick": 9,
                    "dies_at": null,
                },
                "recent": [], "as_of": "2026-11-01T00:00:00.000000Z",
            }),
        )
    })
    .await;
    let client = stub.client();
    let query = StandingsQuery { status: Some(BotStatus::Dead), page: PageQuery::newest(1) };
    let standings = client.standings(&query).await.unwrap();
    let item = &standings.items[0];
    assert_eq!((item.rank, item.wealth.as_str()), (3, wide));
    assert_eq!(item.return_on_grants.as_deref(), Some("-1.00000000"));
    let insights = client.insights("mia").await.unwrap();
    assert_eq!(insights.cost.fees, wide);
    assert_eq!(insights.if_nothing_changes.ticks_left, Some(0));
    let requests = stub.requests();
    assert_eq!(requests[0].target, "/standings?limit=1&status=DEAD");
    assert_eq!(requests[1].target, "/insights/mia");
}

#[tokio::test]
async fn a_handle_cannot_leave_its_place_in_the_path() {
    let stub = Stub::start(|_, _| Reply::Json(200, bot())).await;
    stub.client().bot("../economy?x#y").await.unwrap();
    assert_eq!(stub.requests()[0].target, "/bots/..%2Feconomy%3Fx%23y");
}

#[tokio::test]
async fn figures_are_asked_for_by_their_digest() {
    let digest = "ab".repeat(32);
    let kept = json!({
        "digest": digest, "rules": "economy 1\n", "first_used_at": "2026-11-24T00:47:03.662057Z",
    });
    let stub = Stub::start(move |_, _| Reply::Json(200, kept.clone())).await;
    let kept = stub.client().rules(&digest).await.unwrap();
    assert_eq!((kept.digest, kept.rules.as_str()), (digest.clone(), "economy 1\n"));
    let asked = format!("/economy/rules/{digest}");
    assert!(stub.requests()[0].is("GET", &asked));
}

#[tokio::test]
async fn a_base_url_may_have_a_path() {
    let stub = Stub::start(|_, _| Reply::Json(200, json!({"status": "ok"}))).await;
    let mut config = stub.config();
    config.base_url = config.base_url.join("/arena/v1/").unwrap();
    Client::new(config).unwrap().health().await.unwrap();
    assert_eq!(stub.requests()[0].target, "/arena/v1/health");
}

#[tokio::test]
async fn registration_reads_its_credentials() {
    let stub = Stub::start(|_, _| {
        let body = json!({
            "id": 1, "handle": "new-bot", "status": "ALIVE", "balance": "1000.00000000",
            "api_key": "ldk_1", "api_secret": "lds_1",
            "created_at": "2026-11-01T00:00:00.000000Z",
        });
        Reply::Json(201, body)
    })
    .await;
    let request = RegisterRequest {
        handle: "new-bot".parse().unwrap(),
        persona: None,
        registration_token: Some("token".to_owned().into()),
    };
    let answer = stub.client().register(&request, &IdempotencyKey::random()).await.unwrap();
    assert_eq!(answer.api_key.expose(), "ldk_1");
    let body = json!({"handle": "new-bot", "registration_token": "token"});
    assert_eq!(stub.requests()[0].json(), body);
}

#[tokio::test]
async fn keys_are_rotated_under_a_key() {
    let answer = json!({
        "id": 10_001, "api_key": "ldk_2", "api_secret": "lds_2",
        "old_valid_until": "2026-11-01T00:10:00.000000Z",
    });
    let stub = Stub::start(move |request, _| match request.target.as_str() {
        "/auth/token" => token("t", 1800),
        _ => Reply::Json(200, answer.clone()),
    })
    .await;
    let request = RotateRequest { grace_seconds: 600 };
    let key = IdempotencyKey::random();
    let rotated = stub.bot().rotate_keys(BotId(10_001), &request, &key).await.unwrap();
    assert_eq!(rotated.api_secret.expose(), "lds_2");
    let asked = &stub.requests()[1];
    assert_eq!(asked.target, "/bots/10001/keys");
    assert_eq!(asked.json(), json!({ "grace_seconds": 600 }));
    assert!(asked.header("idempotency-key").is_some());
}

#[tokio::test]
async fn a_secret_goes_with_each_call_in_its_own_header() {
    let stub = Stub::start(|_, _| Reply::Json(200, me())).await;
    let credential = Credential::ApiSecret("lds_1".into());
    let bot = stub.client().with_credential(credential).unwrap();
    bot.me().await.unwrap();
    assert_eq!(stub.requests()[0].header("x-agent-secret"), Some("lds_1"));
}

#[tokio::test]
async fn without_a_credential_nothing_is_asked_as_a_bot() {
    let stub = Stub::start(|_, _| Reply::Json(200, me())).await;
    assert_eq!(stub.client().me().await.unwrap_err(), ClientError::NoCredential);
    assert!(stub.requests().is_empty());
}

#[test]
fn a_url_that_cannot_be_the_arenas_is_refused() {
    for url in [
        "ftp://127.0.0.1",
        "http://user@127.0.0.1",
        "http://:secret@127.0.0.1",
        "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x",
        "unix:/tmp/socket",
    ] {
        let result = Client::new(ClientConfig::new(url.parse().unwrap()));
        assert_eq!(result.map(drop).unwrap_err(), SetupError::BaseUrl, "{url}");
    }
}
