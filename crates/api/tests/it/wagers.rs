//! Wagers that share a commit, as their agents see it.

use api_types::ProblemKind;
use futures_util::future::{join_all, select};
use serde_json::json;
use test_kit::TestBot;

use crate::service::{Answer, Service, wager};

#[tokio::test]
async fn a_crowd_of_bots_is_served_each_by_its_own_means() {
    const EACH: usize = 4;
    let service = Service::new().await;
    let mut observations = Vec::new();
    let mut bots = Vec::new();
    for affordable in 0..12_usize {
        let balance = format!("{}.50", affordable.min(EACH + 1));
        bots.push((service.arena.bot().balance(&balance).create().await, affordable));
    }
    for (bot, _) in &bots {
        for n in 0..EACH {
            let mut body = wager(&service.observe(bot).await, "1");
            body["usage"] = json!({
                "provider": "mock", "model": "m", "input_tokens": 1, "output_tokens": 1,
                "llm_calls": 1,
            });
            observations.push((bot, body, format!("{}-{n}", bot.id)));
        }
    }
    let answers = join_all(
        observations.iter().map(|(bot, body, key)| act_with_key(&service, bot, body, key)),
    )
    .await;
    let mut expected = 0;
    for (bot, affordable) in &bots {
        let mine = observations.iter().zip(&answers).filter(|((b, ..), _)| b.id == bot.id);
        let (accepted, refused): (Vec<_>, Vec<_>) =
            mine.map(|(_, answer)| answer).partition(|answer| answer.status.is_success());
        assert_eq!(accepted.len(), EACH.min(*affordable));
        for answer in refused {
            answer.problem(ProblemKind::InsufficientFunds);
        }
        expected += EACH.min(*affordable);
    }
    // Each answer was kept: a retry gets it again.
    for ((bot, body, key), answer) in observations.iter().zip(&answers) {
        if answer.status.is_success() {
            let again = act_with_key(&service, bot, body, key).await;
            assert_eq!(again.json(), answer.json());
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
    }
    let owner = service.arena.owner_client().await;
    let rows: i64 = owner
        .query_one("SELECT count(*) FROM agent_metrics WHERE kind = 'ACTION'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(usize::try_from(rows).unwrap(), expected);
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn an_impossible_wager_spoils_nobody_elses() {
    let service = Service::new().await;
    let replayer = service.arena.bot().balance("10").create().await;
    let used = service.observe(&replayer).await;
    service.act(&replayer, &wager(&used, "1")).await.json();
    let mut observations = Vec::new();
    let mut bots = Vec::new();
    for _ in 0..16 {
        bots.push(service.arena.bot().balance("10").create().await);
    }
    for bot in &bots {
        observations.push((bot, wager(&service.observe(bot).await, "1")));
    }
    // As if Redis had been restored from an old copy.
    let again = std::time::Duration::from_secs(60);
    service.cache.issue_observation(replayer.id, used.observation_id, again).await.unwrap();
    observations.insert(8, (&replayer, wager(&used, "1")));
    let answers = join_all(observations.iter().map(|(bot, body)| service.act(bot, body))).await;
    for ((bot, _), answer) in observations.iter().zip(answers) {
        if bot.id == replayer.id {
            answer.problem(ProblemKind::TicketSpent);
        } else {
            assert_eq!(answer.json()["new_balance"], "9.00000000");
        }
    }
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn a_wallet_that_is_held_delays_its_own_bot_alone() {
    let service = Service::new().await;
    let held = service.arena.bot().create().await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(service.arena.bot().create().await);
    }
    let slow = wager(&service.observe(&held).await, "1");
    let mut observations = Vec::new();
    for bot in &others {
        observations.push((bot, wager(&service.observe(bot).await, "1")));
    }
    let mut holder = service.arena.owner_client().await;
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT 1 FROM wallets WHERE bot_id = $1 FOR UPDATE", &[&held.id.0])
        .await
        .unwrap();
    let waiting = Box::pin(service.act(&held, &slow));
    let rest = Box::pin(join_all(observations.iter().map(|(bot, body)| service.act(bot, body))));
    let waiting = match select(waiting, rest).await {
        futures_util::future::Either::Left(_) => panic!("its wallet is held"),
        futures_util::future::Either::Right((answers, waiting)) => {
            for answer in answers {
                answer.json();
            }
            waiting
        }
    };
    hold.rollback().await.unwrap();
    waiting.await.json();
    service.arena.assert_sound().await;
}

#[tokio::test]
async fn whoever_loses_the_answer_to_a_commit_is_told_to_look() {
    let service = Service::new().await;
    let bots = [service.arena.bot().create().await, service.arena.bot().create().await];
    let owner = service.arena.owner_client().await;
    // Runs when all is written and the commit has begun.
    owner
        .batch_execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER die_in_commit AFTER INSERT ON posts \
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()",
        )
        .await
        .unwrap();
    let mut observations = Vec::new();
    for bot in &bots {
        observations.push((bot, wager(&service.observe(bot).await, "1")));
    }
    let answers = join_all(observations.iter().map(|(bot, body)| service.act(bot, body))).await;
    for answer in answers {
        let problem = answer.problem(ProblemKind::Unavailable);
        assert!(problem.detail.contains("look before you repeat it"), "{}", problem.detail);
    }
    owner.batch_execute("DROP TRIGGER die_in_commit ON posts").await.unwrap();
    let service = &service;
    for bot in &bots {
        // The pool finds out about a dead connection by using it.
        let accepted = test_kit::eventually("the pool has mended itself", || async move {
            let seen = service.get_as(bot, "/arena/observation").await;
            if !seen.status.is_success() {
                return None;
            }
            let answer = service.act(bot, &wager(&seen.ok(), "1")).await;
            answer.status.is_success().then(|| answer.json())
        })
        .await;
        assert_eq!(accepted["new_balance"], "999.00000000");
    }
    service.arena.assert_sound().await;
}

async fn act_with_key(
    service: &Service,
    bot: &TestBot,
    body: &serde_json::Value,
    key: &str,
) -> Answer {
    Answer::of(service.action(bot, body).header("Idempotency-Key", key)).await
}
