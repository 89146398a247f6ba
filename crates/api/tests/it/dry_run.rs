//! Dry runs: what would happen is what then happens, and asking leaves nothing behind.

use api_types::{DryRun, Problem, ProblemKind, Verdict};
use ledger_core::market::{MarketSource, Side};
use ledger_core::{EconomyRules, MarketId};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::market::RIGHT_ANSWER;
use test_kit::{Arena, TestBot, eventually};

use crate::service::{Answer, Service, wager};
use crate::state::State;

fn bet(stake: &str) -> Value {
    json!({ "side": "YES", "stake": stake, "confidence": "0.70" })
}

fn bets(on: &[(MarketId, &str)]) -> Value {
    let one = |(id, stake): &(MarketId, &str)| {
        let mut one = bet(stake);
        one["market_id"] = json!(id);
        one
    };
    json!({ "bets": on.iter().map(one).collect::<Vec<_>>() })
}

fn answer(text: &str, used_lookup: bool) -> Value {
    json!({ "answer": text, "used_lookup": used_lookup, "confidence": "0.90" })
}

impl Service {
    async fn sent(&self, bot: &TestBot, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path);
        Answer::of(request.header("X-Agent-Secret", &bot.api_secret).json(body)).await
    }

    /// A dry run, after which nothing may have changed.
    async fn dry(&self, bot: &TestBot, path: &str, body: &Value) -> DryRun {
        let before = State::of(&self.arena).await;
        let asked = self.sent(bot, &format!("{path}?dry_run=true"), body).await;
        assert_eq!(asked.status, 200, "{path} {body}: {}", asked.text());
        State::of(&self.arena).await.rows_must_be(&before, path);
        let told: DryRun = asked.ok();
        assert!(told.dry_run);
        if let Some(refusal) = &told.refusal {
            assert_eq!(Some(refusal.request_id.as_str()), asked.header("x-request-id"));
        }
        assert_eq!(told.would == Verdict::Refuse, told.refusal.is_some());
        told
    }

    /// A dry run, then the action: both must agree.
    async fn would_and_does(
        &self,
        bot: &TestBot,
        path: &str,
        body: &Value,
    ) -> Result<DryRun, Problem> {
        let told = self.dry(bot, path, body).await;
        let me = self.get_as(bot, "/bots/me").await.json();
        let done = self.sent(bot, path, body).await;
        match &told.refusal {
            None => {
                assert!(done.status.is_success(), "{path} {body}: {}", done.text());
                let left = done.json()["new_balance"].clone();
                if done.json()["payout"].is_null() {
                    assert_eq!(left, json!(told.balance_after), "{path} {body}");
                }
                Ok(told)
            }
            Some(refusal) => {
                let problem: Problem = serde_json::from_slice(&done.body).unwrap();
                let said = Problem { request_id: problem.request_id.clone(), ..refusal.clone() };
                assert_eq!(said, problem, "{path} {body}");
                assert_eq!(me["balance"], json!(told.balance_after), "{path} {body}");
                Err(problem)
            }
        }
    }

    async fn refused(&self, bot: &TestBot, path: &str, body: &Value, kind: ProblemKind) {
        let refused = self.would_and_does(bot, path, body).await;
        let problem = refused.err();
        assert_eq!(problem.and_then(|p| p.kind()), Some(kind), "{path} {body}");
    }
}

#[tokio::test]
async fn a_wager_is_told_what_it_costs_and_keeps_its_ticket() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let body = wager(&service.observe(&bot).await, "4");
    for _ in 0..3 {
        let told = service.dry(&bot, "/arena/action", &body).await;
        assert_eq!(told.would, Verdict::Accept);
        assert_eq!(told.cost.to_string(), "4.00000000");
        assert_eq!(told.balance_after.to_string(), "6.00000000");
    }
    let waiting = json!({ "observation_id": body["observation_id"], "action_type": "WAIT" });
    let told = service.dry(&bot, "/arena/action", &waiting).await;
    assert_eq!((told.would, told.cost.is_zero()), (Verdict::Accept, true));
    assert_eq!(told.balance_after.to_string(), "10.00000000");
    service.would_and_does(&bot, "/arena/action", &body).await.unwrap();
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_wager_is_refused_as_it_would_be() {
    let rules = EconomyRules {
        open_predictions_max: 2,
        open_stake_max: "6".parse().unwrap(),
        ..EconomyRules::default()
    };
    let arena = Arena::new().await.with_rules(rules);
    let service = Service::halted(arena, |_| ()).await;
    service.put_price("50000").await;
    let action = "/arena/action";
    let dead = service.arena.bot().dead().create().await;
    let bot = service.arena.bot().balance("10").create().await;
    let other = service.arena.bot().create().await;

    let theirs = wager(&service.observe(&other).await, "1");
    service.refused(&bot, action, &theirs, ProblemKind::ForeignTicket).await;
    service.refused(&dead, action, &theirs, ProblemKind::BotNotAlive).await;
    let body = wager(&service.observe(&bot).await, "10.01");
    service.refused(&bot, action, &body, ProblemKind::InsufficientFunds).await;
    // That one used it up.
    service.refused(&bot, action, &body, ProblemKind::TicketSpent).await;
    let body = wager(&service.observe(&bot).await, "6.01");
    service.refused(&bot, action, &body, ProblemKind::LimitReached).await;
    for _ in 0..2 {
        let body = wager(&service.observe(&bot).await, "1");
        service.would_and_does(&bot, action, &body).await.unwrap();
    }
    let body = wager(&service.observe(&bot).await, "1");
    service.refused(&bot, action, &body, ProblemKind::LimitReached).await;
    let body = wager(&service.observe(&bot).await, "1");
    let waiting = json!({ "observation_id": theirs["observation_id"], "action_type": "WAIT" });
    service.refused(&bot, action, &waiting, ProblemKind::ForeignTicket).await;
    service.take_price_away().await;
    service.refused(&bot, action, &body, ProblemKind::PriceStale).await;
}

/// A copy of Redis that is older than the database offers used observations again.
#[tokio::test]
async fn a_ticket_that_the_database_knows_as_used_is_refused() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let seen = service.observe(&bot).await;
    let body = wager(&seen, "1");
    service.act(&bot, &body).await.json();
    let minute = std::time::Duration::from_secs(60);
    let again = service.cache.issue_observation(bot.id, seen.observation_id, minute);
    again.await.unwrap();
    service.refused(&bot, "/arena/action", &body, ProblemKind::TicketSpent).await;
}

#[tokio::test]
async fn bets_are_judged_as_they_would_be() {
    let service = Service::new().await;
    let arena = &service.arena;
    let dead = arena.bot().dead().create().await;
    let bot = arena.bot().balance("10").create().await;
    let rich = arena.bot().balance("999999999").create().await;
    let [a, b] =
        [arena.market(MarketSource::News).await.id, arena.market(MarketSource::Weather).await.id];
    let research = arena.market(MarketSource::Research).await.id;
    let closed = arena.market(MarketSource::Github).await.id;
    arena.age_market(closed, 100_000).await;
    let nowhere = MarketId(uuid::Uuid::new_v4());
    let on = |market: MarketId| format!("/markets/{market}/bets");
    for (who, path, body, kind) in [
        (&dead, on(a), bet("1"), ProblemKind::BotNotAlive),
        (&bot, on(a), bet("10.01"), ProblemKind::InsufficientFunds),
        (&rich, on(a), bet("999999998"), ProblemKind::LimitReached),
        (&bot, on(closed), bet("1"), ProblemKind::MarketClosed),
        (&bot, on(nowhere), bet("1"), ProblemKind::NotFound),
        (&bot, on(research), bet("1"), ProblemKind::InvalidField),
    ] {
        service.refused(who, &path, &body, kind).await;
    }
    let several = "/markets/bets";
    let body = bets(&[(a, "6"), (b, "4.01")]);
    service.refused(&bot, several, &body, ProblemKind::InsufficientFunds).await;
    let body = bets(&[(a, "1"), (nowhere, "1")]);
    let told = service.dry(&bot, several, &body).await;
    assert_eq!(told.refusal.unwrap().field(), Some("bets[1].market_id"));
    service.refused(&bot, several, &body, ProblemKind::NotFound).await;

    let told = service.would_and_does(&bot, &on(a), &bet("1")).await;
    assert_eq!(told.unwrap().cost.to_string(), "1.00000000");
    service.refused(&bot, &on(a), &bet("1"), ProblemKind::AlreadyIn).await;
    let c = arena.market(MarketSource::News).await.id;
    let body = bets(&[(b, "2"), (c, "3")]);
    let told = service.would_and_does(&bot, several, &body).await.unwrap();
    assert_eq!(told.cost.to_string(), "5.00000000");
    assert_eq!(told.balance_after.to_string(), "4.00000000");
    arena.assert_sound().await;
}

/// The result for an answer is identical for right and wrong ones, so a dry run cannot be used for guessing.
#[tokio::test]
async fn an_answer_is_told_its_price_and_never_its_judgement() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let market = service.arena.market(MarketSource::Research).await.id;
    let path = format!("/markets/{market}/answers");
    let asked = format!("{path}?dry_run=true");
    let mut told = Vec::new();
    for said in [RIGHT_ANSWER, "737", "something else"] {
        let answer = service.sent(&bot, &asked, &answer(said, true)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        told.push(answer.body);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    let one: DryRun = serde_json::from_slice(&told[0]).unwrap();
    // The stake of 1.00 and the fee of 0.50.
    assert_eq!(one.cost.to_string(), "1.50000000");
    assert_eq!(one.balance_after.to_string(), "8.50000000");
    let told = service.would_and_does(&bot, &path, &answer("1", false)).await;
    assert_eq!(told.unwrap().cost.to_string(), "1.00000000");
}

#[tokio::test]
async fn an_answer_is_refused_as_it_would_be() {
    let service = Service::new().await;
    let arena = &service.arena;
    let dead = arena.bot().dead().create().await;
    let poor = arena.bot().balance("1.49").create().await;
    let bot = arena.bot().balance("10").create().await;
    let research = arena.market(MarketSource::Research).await.id;
    let next = arena.market(MarketSource::Research).await.id;
    let news = arena.market(MarketSource::News).await.id;
    let on = |market: MarketId| format!("/markets/{market}/answers");
    let looked_up = answer("1", true);
    for (who, market, kind) in [
        (&dead, research, ProblemKind::BotNotAlive),
        (&poor, research, ProblemKind::InsufficientFunds),
        (&bot, news, ProblemKind::InvalidField),
        (&bot, MarketId(uuid::Uuid::new_v4()), ProblemKind::NotFound),
    ] {
        service.refused(who, &on(market), &looked_up, kind).await;
    }
    service.would_and_does(&bot, &on(research), &looked_up).await.unwrap();
    service.refused(&bot, &on(research), &looked_up, ProblemKind::AlreadyIn).await;
    service.refused(&bot, &on(next), &looked_up, ProblemKind::LimitReached).await;
}

/// Like the real request: until the wallet's lock is released.
#[tokio::test]
async fn a_dry_run_waits_its_turn_and_holds_nothing_afterwards() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let market = service.arena.market(MarketSource::News).await.id;
    let holder = service.arena.owner_client().await;
    let hold = "BEGIN; SELECT 1 FROM wallets FOR UPDATE; SELECT 1 FROM markets FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
    let body = wager(&service.observe(&bot).await, "1");
    let asked = [
        ("/arena/action?dry_run=true".to_owned(), body),
        (format!("/markets/{market}/bets?dry_run=true"), bet("1")),
        ("/markets/bets?dry_run=true".to_owned(), bets(&[(market, "1")])),
    ];
    let asking = asked.iter().map(|(path, body)| service.sent(&bot, path, body));
    let released = async {
        let watcher = service.arena.owner_client().await;
        eventually("all three wait", async || {
            let waiting = "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE NOT granted AND datname = current_database()";
            let row = watcher.query_one(waiting, &[]).await.unwrap();
            (row.get::<_, i64>(0) == 3).then_some(())
        })
        .await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (told, ()) = tokio::join!(futures_util::future::join_all(asking), released);
    for (told, (path, _)) in told.iter().zip(&asked) {
        assert_eq!(told.json()["would"], "ACCEPT", "{path}");
    }
    let at_once = "SELECT FROM wallets FOR UPDATE NOWAIT; SELECT FROM markets FOR UPDATE NOWAIT";
    holder.batch_execute(at_once).await.unwrap();
}

#[tokio::test]
async fn a_key_is_not_used_up_by_a_dry_run() {
    let service = Service::new().await;
    let bot = service.arena.bot().balance("10").create().await;
    let market = service.arena.market(MarketSource::News).await.id;
    let send = |query: &str| {
        let request = service.request(Method::POST, &format!("/markets/{market}/bets{query}"));
        let request = request.header("X-Agent-Secret", &bot.api_secret);
        Answer::of(request.header("Idempotency-Key", "k").json(&bet("1")))
    };
    assert_eq!(send("?dry_run=true").await.json()["would"], "ACCEPT");
    let placed = send("?dry_run=false").await;
    assert_eq!(placed.status, 201);
    assert_eq!(placed.header("idempotency-replayed"), None);
    // The request is there; what another one would meet is that it is.
    let after = send("?dry_run=true").await;
    assert_eq!(after.header("idempotency-replayed"), None);
    assert_eq!(after.json()["would"], "REFUSE");
    let again = send("").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn what_is_malformed_or_unproven_stays_so() {
    let service = Service::new().await;
    let bot = service.arena.bot().create().await;
    let market = service.arena.market(MarketSource::News).await.id;
    let before = State::of(&service.arena).await;
    let path = format!("/markets/{market}/bets");
    for value in ["", "1", "TRUE", "yes", "true%20", "true&dry_run=false"] {
        let answer = service.sent(&bot, &format!("{path}?dry_run={value}"), &bet("1")).await;
        answer.refuses_field("dry_run");
    }
    let dry = format!("{path}?dry_run=true");
    service.sent(&bot, &dry, &bet("0.001")).await.refuses_field("stake");
    service.post(&dry, &bet("1")).await.problem(ProblemKind::Unauthorized);
    // An operation without a dry run is refused with the parameter, not executed.
    for (method, path, body) in [
        (Method::POST, "/bots".to_owned(), json!({ "handle": "Mia" })),
        (Method::POST, format!("/markets/{market}/void"), json!({ "reason": "a test" })),
        (
            Method::POST,
            format!("/bots/{}/revive", bot.id),
            json!({ "amount": "1", "reason": "a test" }),
        ),
        (Method::DELETE, format!("/bots/{}", bot.id), json!({})),
    ] {
        let request = service.operator(method, &format!("{path}?dry_run=true"));
        Answer::of(request.json(&body)).await.refuses_field("dry_run");
    }
    State::of(&service.arena).await.must_be(&before, "what was malformed");
    service.arena.bet(bot.id, market, Side::Yes, "1").await;
}
