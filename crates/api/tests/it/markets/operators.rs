//! Operators' acts on markets.

use super::*;

#[tokio::test]
async fn operators_open_markets_and_call_them_off() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let deadline = service.arena.now().await.plus_seconds(7_200);
    let github = json!({
        "source": "GITHUB", "description": "Rust's next thousand", "bounty": "12.5", "deadline": deadline,
        "criteria": { "repository": "rust-lang/rust", "comparison": ">=", "stars": 101_000 },
    });
    let opened = service.open(&github).await;
    assert_eq!(opened.status, 201);
    let market: Market = opened.ok();
    assert_eq!(opened.header("location"), Some(format!("/markets/{}", market.id).as_str()));
    assert!(
        market
            .description
            .starts_with("Rust's next thousand — Will rust-lang/rust have at least 101000 stars")
    );
    let placed = service.bet_as(&bot, market.id, &bet("YES", "3")).await;
    placed.ok::<BetsPlaced>();
    let void = |reason: &str| {
        let path = format!("/markets/{}/void", market.id);
        service
            .operator(Method::POST, &path)
            .header("X-Operator", "ada")
            .json(&json!({ "reason": reason }))
    };
    Answer::of(void(" \n")).await.refuses_field("reason");
    let voided: Market = Answer::of(void("asked twice")).await.ok();
    assert_eq!(voided.status, MarketStatus::Void);
    assert_eq!(voided.void_reason.as_deref(), Some("asked twice"));
    Answer::of(void("again")).await.problem(ProblemKind::MarketClosed);
    assert_eq!(service.get_as(&bot, "/bots/me").await.json()["balance"], "1000.00000000");
    let research = json!({
        "source": "RESEARCH", "description": "", "bounty": "1", "deadline": deadline,
        "criteria": { "article": "Ada Lovelace" }, "answer": "974",
    });
    let asked = service.open(&research).await;
    assert!(
        !asked.text().contains("\"974\"") && !asked.text().contains("nonce"),
        "{}",
        asked.text()
    );
    service.open(&research).await.problem(ProblemKind::AlreadyIn);
    let listed = service.get("/markets?status=open&source=research").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    service.get("/markets?status=ajar").await.refuses_field("status");
    service.get("/markets?source=TV").await.refuses_field("source");
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn what_no_market_can_be_is_refused() {
    let service = Service::new().await;
    let deadline = service.arena.now().await.plus_seconds(7_200);
    let sound = json!({
        "source": "WEATHER", "description": "warm?", "bounty": "5", "deadline": deadline,
        "criteria": { "city": "Berlin", "latitude": "52.52", "longitude": "13.41", "comparison": ">", "celsius": 21 },
    });
    let before = service.footprint().await;
    let with = |path: &[&str], value: Value| {
        let mut body = sound.clone();
        let slot = path.iter().fold(&mut body, |at, name| &mut at[*name]);
        *slot = value;
        body
    };
    let soon = service.arena.now().await.plus_seconds(60);
    for (path, value, field) in [
        (vec!["source"], json!("TV"), "source"),
        (vec!["source"], json!("GITHUB"), "criteria.celsius"),
        (vec!["criteria", "celsius"], json!(90), "criteria.celsius"),
        (vec!["criteria", "celsius"], json!("21"), "criteria.celsius"),
        (vec!["criteria", "latitude"], json!("91"), "criteria.latitude"),
        (vec!["criteria", "latitude"], json!(52.5), "criteria.latitude"),
        (vec!["criteria", "comparison"], json!("=="), "criteria.comparison"),
        (vec!["criteria", "wind"], json!(1), "criteria.wind"),
        (vec!["criteria"], json!(7), "criteria"),
        (vec!["bounty"], json!("-1"), "bounty"),
        (vec!["bounty"], json!(5), "bounty"),
        (vec!["deadline"], json!("tomorrow"), "deadline"),
        (vec!["deadline"], json!(soon), "deadline"),
        (vec!["answer"], json!("1"), "answer"),
        (vec!["description"], json!("x".repeat(201)), "description"),
    ] {
        service.open(&with(&path, value)).await.refuses_field(field);
    }
    let unanswered = json!({
        "source": "RESEARCH", "description": "", "bounty": "1", "deadline": deadline,
        "criteria": { "article": "Ada Lovelace" },
    });
    service.open(&unanswered).await.refuses_field("answer");
    let dear = with(&["bounty"], json!("500.01"));
    let problem = service.open(&dear).await.problem(ProblemKind::LimitReached);
    assert_eq!(problem.field(), Some("bounty"));
    service.post("/markets", &sound).await.problem(ProblemKind::Unauthorized);
    assert_eq!(service.footprint().await, before);
    service.open(&sound).await.ok::<Market>();
}
