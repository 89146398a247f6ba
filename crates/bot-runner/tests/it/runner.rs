//! Several bots, several runners, one schedule: on a real Postgres.

use std::time::Duration;

use bot_runner::runner::{Pace, Runner};
use bot_runner::turn::HostedBot;
use daemon::shutdown::Shutdown;
use db::schedules;
use ledger_core::BotId;
use llm::LlmError;
use test_kit::{Arena, TestBot, eventually};
use tokio::task::JoinHandle;

use crate::arena::{Scripted, StubArena, WAGER, WAIT};
use crate::stub::{Stub, problem};

fn pace() -> Pace {
    Pace {
        roster_check: Duration::from_millis(200),
        schedule_check: Duration::from_millis(50),
        grace: Duration::from_secs(8),
    }
}

struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    fn start(arena: &Arena, bots: Vec<HostedBot>, pace: Pace) -> Running {
        let shutdown = Shutdown::manual();
        let runner = Runner::new(arena.database().clone(), bots, pace, shutdown.clone());
        Running { shutdown, task: tokio::spawn(runner.run()) }
    }

    async fn stop(self) {
        self.shutdown.request();
        self.task.await.unwrap();
    }
}

/// A bot in Postgres and the stub arena that speaks for it.
async fn bot(arena: &Arena) -> (TestBot, StubArena) {
    let bot = arena.bot().hosted().create().await;
    let stub = StubArena::start(bot.id.0).await;
    (bot, stub)
}

/// A bot whose turns follow each other at once.
fn eager(stub: &StubArena, model: Scripted) -> HostedBot {
    let mut hosted = stub.hosted(model);
    hosted.persona.interval_seconds = 1;
    hosted
}

async fn at_least(count: usize, stub: &StubArena) {
    eventually("enough actions were sent", || async {
        (stub.actions().len() >= count).then_some(())
    })
    .await;
}

async fn turns(arena: &Arena, bot: BotId) -> i64 {
    let row = arena
        .owner_client()
        .await
        .query_one("SELECT turns FROM bot_schedules WHERE bot_id = $1", &[&bot.0])
        .await
        .unwrap();
    row.get(0)
}

/// The lease's holder, if there is one.
async fn holder(arena: &Arena, bot: BotId) -> Option<String> {
    let row = arena
        .owner_client()
        .await
        .query_one("SELECT lease_holder FROM bot_schedules WHERE bot_id = $1", &[&bot.0])
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_bot_lives_turn_after_turn() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    let running = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], pace());
    at_least(2, &stub).await;
    running.stop().await;
    assert_eq!(usize::try_from(turns(&arena, bot.id).await).unwrap(), stub.actions().len());
    assert_eq!(holder(&arena, bot.id).await, None);
}

#[tokio::test]
async fn a_dead_bot_ends_and_the_others_go_on_and_a_revived_one_comes_back() {
    let arena = Arena::new().await;
    let ((_, first), (_, second)) = (bot(&arena).await, bot(&arena).await);
    let bots =
        vec![eager(&first, Scripted::saying(WAGER)), eager(&second, Scripted::saying(WAGER))];
    let shutdown = Shutdown::manual();
    let runner = Runner::new(arena.database().clone(), bots, pace(), shutdown.clone());
    let mut ended = runner.ended();
    let task = tokio::spawn(runner.run());
    at_least(1, &first).await;

    first.change(|state| state.status = "DEAD");
    ended.wait_for(|count| *count == 1).await.unwrap();
    let (before, others_before) = (first.actions().len(), second.actions().len());
    at_least(others_before + 2, &second).await;
    assert_eq!(first.actions().len(), before, "the dead do not act");

    first.change(|state| state.status = "ALIVE");
    at_least(before + 1, &first).await;
    shutdown.request();
    task.await.unwrap();
}

#[tokio::test]
async fn the_retired_stay_retired() {
    let arena = Arena::new().await;
    let (_, stub) = bot(&arena).await;
    stub.change(|state| state.status = "RETIRED");
    let bots = vec![eager(&stub, Scripted::saying(WAGER))];
    let shutdown = Shutdown::manual();
    let runner = Runner::new(arena.database().clone(), bots, pace(), shutdown.clone());
    let mut ended = runner.ended();
    let task = tokio::spawn(runner.run());
    ended.wait_for(|count| *count == 1).await.unwrap();
    // Several roster checks later the arena has still got only one request.
    let waited = tokio::time::timeout(pace().roster_check * 5, ended.wait_for(|it| *it == 0));
    assert!(waited.await.is_err());
    assert_eq!(stub.stub.count("GET", "/bots/me"), 1);
    shutdown.request();
    task.await.unwrap();
}

#[tokio::test]
async fn two_runners_share_a_bot_and_take_each_turn_once() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    let one = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], pace());
    let two = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAIT))], pace());
    at_least(4, &stub).await;
    tokio::join!(one.stop(), two.stop());
    let requests = stub.action_requests();
    let mut keys: Vec<_> =
        requests.iter().map(|it| it.header("idempotency-key").unwrap().to_owned()).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "a turn was taken twice");
    assert_eq!(usize::try_from(turns(&arena, bot.id).await).unwrap(), count);
}

#[tokio::test]
async fn a_dead_runners_turn_is_taken_over_when_its_lease_has_expired() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot.id, 0).await.unwrap();
    let claimed = schedules::claim(&mut conn, bot.id, "a-dead-runner", 2).await.unwrap().unwrap();
    let expires = arena.now().await.plus_seconds(1);

    let running = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], pace());
    at_least(1, &stub).await;
    assert!(arena.now().await > expires, "the lease was not respected");
    running.stop().await;

    let first = stub.action_requests()[0].header("idempotency-key").unwrap().to_owned();
    let same = format!("turn-{}-{}", claimed.turns, claimed.due_at.micros());
    assert_eq!(first, same, "the turn that was taken over keeps its key");
    let held = schedules::complete(&mut conn, &claimed, 1).await.unwrap();
    assert!(!held, "the dead runner's claim is void");
}

#[tokio::test]
async fn a_killed_runners_bots_go_on_with_another() {
    let arena = Arena::new().await;
    let mut bots = Vec::new();
    for _ in 0..3 {
        bots.push(bot(&arena).await);
    }
    let hosted = |model: &Scripted| -> Vec<HostedBot> {
        let each = bots.iter().map(|(_, stub)| eager(stub, model.clone()));
        each.collect()
    };
    // It has claimed each bot's turn, and thinks.
    let (thoughtful, _gate) = Scripted::saying(WAGER).gated();
    let one = Running::start(&arena, hosted(&thoughtful), pace());
    eventually("it thinks about all of them", || async {
        (thoughtful.prompts().len() == bots.len()).then_some(())
    })
    .await;
    let mut claims = Vec::new();
    for (bot, _) in &bots {
        let name = holder(&arena, bot.id).await.unwrap();
        let due_at = schedules::next_turn_at(&mut *arena.conn().await, bot.id).await;
        claims.push((name, due_at.unwrap().unwrap()));
    }
    let quick = Scripted::saying(WAIT);
    let two = Running::start(&arena, hosted(&quick), pace());
    for (_, stub) in &bots {
        eventually("the second runner knows the bot too", || async {
            // The introductions of both, and the first one's turn.
            (stub.stub.count("GET", "/bots/me") >= 3).then_some(())
        })
        .await;
    }
    assert!(quick.prompts().is_empty(), "no bot is run by both");

    // As after kill -9: nothing is given back. Then the leases run out.
    one.task.abort();
    assert!(one.task.await.unwrap_err().is_cancelled());
    let sql = "UPDATE bot_schedules SET lease_expires_at = clock_timestamp() \
               WHERE lease_holder = $1";
    let client = arena.owner_client().await;
    let left = client.execute(sql, &[&claims[0].0]).await.unwrap();
    assert_eq!(left, 3, "all were the dead one's: {claims:?}");
    for ((_, stub), (_, due_at)) in bots.iter().zip(&claims) {
        at_least(1, stub).await;
        let key = format!("turn-0-{}", due_at.micros());
        let first = &stub.action_requests()[0];
        assert_eq!(first.header("idempotency-key"), Some(key.as_str()));
        assert_eq!(first.json()["action_type"], "WAIT", "the second one's");
    }
    two.stop().await;
}

#[tokio::test]
async fn a_turn_that_its_dead_runner_had_acted_is_completed_and_not_repeated() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    stub.change(|state| state.action_problem = Some((422, "idempotency-mismatch")));
    let running = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], pace());
    eventually("the turn is completed", || async {
        let client = arena.owner_client().await;
        let sql = "SELECT 1 FROM bot_schedules WHERE bot_id = $1 AND turns >= 1";
        client.query_opt(sql, &[&bot.id.0]).await.unwrap()
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn rubbish_from_the_model_costs_one_turn() {
    let arena = Arena::new().await;
    let (_, stub) = bot(&arena).await;
    let model = Scripted::new(|before| Ok(if before == 0 { "rubbish" } else { WAGER }));
    let running = Running::start(&arena, vec![eager(&stub, model)], pace());
    at_least(2, &stub).await;
    running.stop().await;
    let actions = stub.actions();
    assert_eq!(actions[0]["action_type"], "WAIT");
    assert_eq!(actions[1]["action_type"], "PREDICT");
    assert!(actions.iter().all(|action| action["usage"]["llm_calls"] == 1));
}

#[tokio::test]
async fn a_turn_that_has_begun_is_finished_at_a_stop() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    let (model, gate) = Scripted::saying(WAGER).gated();
    let running = Running::start(&arena, vec![eager(&stub, model.clone())], pace());
    eventually("the model is asked", || async { model.prompts().pop() }).await;
    running.shutdown.request();
    gate.add_permits(1);
    running.task.await.unwrap();
    assert_eq!(stub.actions().len(), 1);
    assert_eq!(turns(&arena, bot.id).await, 1);
    assert_eq!(holder(&arena, bot.id).await, None);
}

#[tokio::test]
async fn a_turn_that_does_not_end_in_time_is_given_back() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    let (model, _gate) = Scripted::saying(WAGER).gated();
    let short = Pace { grace: Duration::from_millis(50), ..pace() };
    let running = Running::start(&arena, vec![eager(&stub, model.clone())], short);
    eventually("the model is asked", || async { model.prompts().pop() }).await;
    running.stop().await;
    assert_eq!(stub.actions().len(), 0);
    let mut conn = arena.conn().await;
    let claim = schedules::claim(&mut conn, bot.id, "the-next-runner", 5).await;
    assert!(
        claim.unwrap().is_some_and(|turn| turn.turns == 0),
        "the same turn is due at once for whoever comes next"
    );
}

#[tokio::test]
async fn a_turn_that_is_cut_off_while_it_acts_comes_again_under_the_same_key() {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    stub.change(|state| state.action_problem = Some((503, "unavailable")));
    let short = Pace { grace: Duration::ZERO, ..pace() };
    let running = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], short);
    // The client is between its attempts.
    at_least(1, &stub).await;
    running.stop().await;
    assert_eq!(turns(&arena, bot.id).await, 0);
    assert_eq!(holder(&arena, bot.id).await, None);

    let before = stub.action_requests();
    stub.change(|state| state.action_problem = None);
    let running = Running::start(&arena, vec![eager(&stub, Scripted::saying(WAGER))], pace());
    at_least(before.len() + 1, &stub).await;
    running.stop().await;
    let again = &stub.action_requests()[before.len()];
    let key = before[0].header("idempotency-key");
    assert!(key.is_some());
    assert_eq!(again.header("idempotency-key"), key);
}

/// A halted arena and a bot whose first turn is due.
async fn deferring(interval_seconds: i64) -> (Arena, TestBot, StubArena, HostedBot) {
    let arena = Arena::new().await;
    let (bot, stub) = bot(&arena).await;
    stub.change(|state| state.price = None);
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot.id, 0).await.unwrap();
    drop(conn);
    let mut hosted = stub.hosted(Scripted::saying(WAGER));
    hosted.persona.interval_seconds = interval_seconds;
    (arena, bot, stub, hosted)
}

#[tokio::test]
async fn a_halt_puts_the_turn_off_and_skips_nothing() {
    let (arena, bot, stub, hosted) = deferring(3_600).await;
    let mut conn = arena.conn().await;
    let due_at = schedules::next_turn_at(&mut conn, bot.id).await.unwrap();
    let running = Running::start(&arena, vec![hosted], pace());
    eventually("the turn is put off", || async {
        let is_deferred = "SELECT 1 FROM bot_schedules WHERE bot_id = $1 AND lease_token = 1 \
                             AND lease_holder IS NULL AND lease_expires_at > clock_timestamp()";
        let client = arena.owner_client().await;
        client.query_opt(is_deferred, &[&bot.id.0]).await.unwrap()
    })
    .await;
    assert_eq!(turns(&arena, bot.id).await, 0);
    let still = schedules::next_turn_at(&mut conn, bot.id).await.unwrap();
    assert_eq!(still, due_at);

    stub.change(|state| state.price = Some("97000.00000000"));
    let sql = "UPDATE bot_schedules SET lease_expires_at = clock_timestamp()";
    arena.owner_client().await.batch_execute(sql).await.unwrap();
    at_least(1, &stub).await;
    running.stop().await;
    let key = format!("turn-0-{}", due_at.unwrap().micros());
    let sent = stub.action_requests();
    assert_eq!(sent[0].header("idempotency-key"), Some(key.as_str()));
    assert_eq!(turns(&arena, bot.id).await, 1);
}

/// How long a turn was put off by the claim of that number, in seconds.
async fn put_off(arena: &Arena, bot: BotId, token: i64) -> f64 {
    eventually("the turn is put off", || async {
        let sql = "SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 \
                     FROM bot_schedules WHERE bot_id = $1 AND lease_token = $2 \
                      AND lease_holder IS NULL AND lease_expires_at > clock_timestamp()";
        let client = arena.owner_client().await;
        let row = client.query_opt(sql, &[&bot.0, &token]).await.unwrap();
        row.map(|row| row.get::<_, f64>(0))
    })
    .await
}

#[tokio::test]
async fn a_model_that_asks_for_time_gets_it_and_the_turn_is_not_lost() {
    let (arena, bot, stub, _) = deferring(3_600).await;
    stub.change(|state| state.price = Some("97000.00000000"));
    let retry_after = Some(Duration::from_secs(120));
    let model = Scripted::new(move |_| Err(LlmError::Overloaded { retry_after }));
    let mut hosted = stub.hosted(model.clone());
    hosted.persona.interval_seconds = 3_600;
    let running = Running::start(&arena, vec![hosted], pace());
    let first = put_off(&arena, bot.id, 1).await;
    assert!((100.0..130.0).contains(&first), "{first}");
    // Taken again too early: the model is not called, and the remaining wait applies.
    let sql = "UPDATE bot_schedules SET lease_expires_at = clock_timestamp()";
    arena.owner_client().await.batch_execute(sql).await.unwrap();
    let second = put_off(&arena, bot.id, 2).await;
    assert!((60.0..130.0).contains(&second), "{second}");
    running.stop().await;
    assert_eq!(model.prompts().len(), 1);
    assert_eq!(turns(&arena, bot.id).await, 0);
}

#[tokio::test]
async fn a_turn_that_was_put_off_for_its_interval_is_completed() {
    let (arena, bot, stub, hosted) = deferring(1).await;
    let running = Running::start(&arena, vec![hosted], pace());
    eventually("the turn is completed", || async {
        (turns(&arena, bot.id).await >= 1).then_some(())
    })
    .await;
    running.stop().await;
    assert!(stub.actions().is_empty());
    // Its introduction, the attempt that was put off, and the one that was not.
    assert!(stub.stub.count("GET", "/bots/me") >= 3);
}

#[tokio::test]
async fn a_model_that_asks_for_longer_than_the_interval_gets_it_too() {
    let (arena, bot, stub, _) = deferring(1).await;
    stub.change(|state| state.price = Some("97000.00000000"));
    let retry_after = Some(Duration::from_secs(120));
    let model = Scripted::new(move |_| Err(LlmError::Overloaded { retry_after }));
    let mut hosted = stub.hosted(model.clone());
    hosted.persona.interval_seconds = 1;
    let running = Running::start(&arena, vec![hosted], pace());
    eventually("the turn is completed", || async {
        // Taken again too early, until it was put off for its interval.
        let sql = "UPDATE bot_schedules SET lease_expires_at = clock_timestamp() \
                    WHERE lease_holder IS NULL AND turns = 0";
        arena.owner_client().await.batch_execute(sql).await.unwrap();
        (turns(&arena, bot.id).await >= 1).then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(turns(&arena, bot.id).await, 1);
    assert_eq!(model.prompts().len(), 1);
    let mut conn = arena.conn().await;
    let next = schedules::next_turn_at(&mut conn, bot.id).await.unwrap();
    let wait = next.unwrap().seconds_since(arena.now().await);
    assert!((60..=130).contains(&wait), "{wait}");
}

#[tokio::test]
async fn only_the_holder_of_a_claim_puts_it_off() {
    let (arena, bot, _stub, _) = deferring(1).await;
    let mut conn = arena.conn().await;
    let old = schedules::claim(&mut conn, bot.id, "one", 0).await.unwrap();
    let new = schedules::claim(&mut conn, bot.id, "two", 60).await.unwrap();
    let (old, new) = (old.unwrap(), new.unwrap());
    assert!(!schedules::defer(&mut conn, &old, 0).await.unwrap());
    assert_eq!(holder(&arena, bot.id).await.as_deref(), Some("two"));
    assert!(schedules::defer(&mut conn, &new, 0).await.unwrap());
    assert!(!schedules::complete(&mut conn, &new, 1).await.unwrap());
    let next = schedules::claim(&mut conn, bot.id, "three", 60).await;
    let next = next.unwrap().unwrap();
    assert_eq!((next.turns, next.due_at), (new.turns, new.due_at));
}

#[tokio::test]
async fn an_idle_runner_stops_at_once() {
    let arena = Arena::new().await;
    let (_, stub) = bot(&arena).await;
    let mut hosted = stub.hosted(Scripted::saying(WAIT));
    hosted.persona.interval_seconds = 3600;
    let running = Running::start(&arena, vec![hosted], Pace::default());
    eventually("the runner has looked at the bot", || async {
        (stub.stub.count("GET", "/bots/me") > 0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(2), running.stop()).await.unwrap();
}

#[tokio::test]
async fn a_refused_key_is_tried_again_at_the_roster_check() {
    let arena = Arena::new().await;
    let (_, stub) = bot(&arena).await;
    let mut hosted = eager(&stub, Scripted::saying(WAGER));
    let refusing = Stub::start(|_, _| problem(401, "unauthorized")).await;
    hosted.arena = refusing.bot();
    let running = Running::start(&arena, vec![hosted], pace());
    eventually("the key is tried again", || async {
        (refusing.requests().len() >= 3).then_some(())
    })
    .await;
    running.stop().await;
}
