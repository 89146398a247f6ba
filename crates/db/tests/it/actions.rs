use db::actions::{self, Accepted, Placed, Placing, Wager};
use db::error::Conflict;
use db::idempotency::{self, Claim, Recall, Remember, StoredAnswer};
use db::usage::Usage;
use db::{DbError, bots};
use ledger_core::{BotId, Money, Refusal};
use test_kit::Arena;

fn alone(wager: &Wager) -> Placing<'_> {
    Placing { wager, hook: None }
}

async fn balance(arena: &Arena, bot: BotId) -> Money {
    bots::find(&mut *arena.conn().await, &bots::BotRef::Id(bot)).await.unwrap().balance
}

async fn count(arena: &Arena, query: &str) -> i64 {
    let owner = arena.owner_client().await;
    owner.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn of_many_wagers_each_is_decided_on_its_own() {
    let arena = Arena::new().await;
    // The dead first: their death takes a tick.
    let dead = arena.bot().dead().create().await.id;
    let rich = arena.bot().balance("10.00").create().await.id;
    let poor = arena.bot().balance("1.00").create().await.id;
    let mut with_usage = crate::wager(rich, "4.00");
    with_usage.usage = Some(Usage {
        provider: "mock".to_owned(),
        model: "m".to_owned(),
        llm_calls: 1,
        unreported_calls: 0,
        input_tokens: 1,
        output_tokens: 1,
        cached_input_tokens: None,
        reasoning_tokens: None,
        cost_usd: None,
        priced_usd: None,
    });
    let wagers = [
        crate::wager(poor, "2.00"),
        with_usage,
        crate::wager(BotId(999_999), "1.00"),
        crate::wager(dead, "1.00"),
        crate::wager(rich, "1.00"),
    ];
    let claim = Claim { key_sha256: [1; 32], body_sha256: [2; 32] };
    let render = |accepted: &Accepted| StoredAnswer {
        status: 200,
        answer: accepted.new_balance.to_string().into_bytes(),
        secrets_of: None,
    };
    let hook =
        Remember { claim, rivals: Default::default(), keep: idempotency::KEPT, render: &render };
    let mut placings: Vec<_> = wagers.iter().map(alone).collect();
    placings[1].hook = Some(&hook);
    let mut conn = arena.conn().await;
    let placed = actions::place_all(&mut conn, &placings, arena.rules()).await.unwrap();
    let [
        Placed::Refused(Refusal::InsufficientFunds { .. }),
        Placed::Accepted(accepted),
        Placed::Passed,
        Placed::Refused(Refusal::NotAlive { .. }),
        // Its bot's first wager is not part of the balance it would be decided on.
        Placed::Passed,
    ] = &placed[..]
    else {
        panic!("{placed:?}");
    };
    assert_eq!(accepted.new_balance.to_string(), "6.00000000");
    assert_eq!(balance(&arena, rich).await, accepted.new_balance);
    assert_eq!(balance(&arena, poor).await.to_string(), "1.00000000");
    let Recall::Replay(kept) = idempotency::recall(&mut conn, &claim).await.unwrap() else {
        panic!("the answer was not kept");
    };
    assert_eq!(kept.answer, b"6.00000000");
    for table in ["predictions", "posts WHERE kind = 'WAGER'", "audit_log WHERE action = 'PREDICT'"]
    {
        let rows = count(&arena, &format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(rows, 1, "{table}");
    }
    assert_eq!(count(&arena, "SELECT count(*) FROM agent_metrics WHERE kind = 'ACTION'").await, 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn one_impossible_wager_leaves_nothing_of_the_others() {
    let arena = Arena::new().await;
    let (one, other) = (
        arena.bot().balance("10.00").create().await.id,
        arena.bot().balance("10.00").create().await.id,
    );
    let mut conn = arena.conn().await;
    let used = crate::wager(one, "1.00");
    actions::place(&mut conn, &used, arena.rules(), None).await.unwrap();
    let good = crate::wager(other, "1.00");
    let error = actions::place_all(&mut conn, &[alone(&good), alone(&used)], arena.rules())
        .await
        .unwrap_err();
    assert!(matches!(error, DbError::Conflict(Conflict::ObservationUsed)), "{error:?}");
    assert_eq!(balance(&arena, other).await.to_string(), "10.00000000");
    assert_eq!(balance(&arena, one).await.to_string(), "9.00000000");
    // The connection is as good as before.
    let placed = actions::place_all(&mut conn, &[alone(&good)], arena.rules()).await.unwrap();
    assert!(matches!(placed[..], [Placed::Accepted(_)]), "{placed:?}");
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_held_wallet_holds_nobody_up() {
    let arena = Arena::new().await;
    let (held, free) = (arena.bot().create().await.id, arena.bot().create().await.id);
    let mut holder = arena.owner_client().await;
    let hold = holder.transaction().await.unwrap();
    hold.execute("SELECT 1 FROM wallets WHERE bot_id = $1 FOR UPDATE", &[&held.0]).await.unwrap();
    let wagers = [crate::wager(held, "1.00"), crate::wager(free, "1.00")];
    let placings: Vec<_> = wagers.iter().map(alone).collect();
    let mut conn = arena.conn().await;
    let placed = actions::place_all(&mut conn, &placings, arena.rules()).await.unwrap();
    assert!(matches!(placed[..], [Placed::Passed, Placed::Accepted(_)]), "{placed:?}");
    hold.rollback().await.unwrap();
    arena.assert_sound().await;
}

#[tokio::test]
async fn many_at_once_on_the_same_wallets_neither_deadlock_nor_lose_one() {
    let arena = std::sync::Arc::new(Arena::with_pool(8).await);
    let mut bots = Vec::new();
    for _ in 0..10 {
        bots.push(arena.bot().balance("100.00").create().await.id);
    }
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..8_usize {
        let (arena, mut bots) = (std::sync::Arc::clone(&arena), bots.clone());
        bots.rotate_left(lane);
        lanes.spawn(async move {
            let mut conn = arena.conn().await;
            let wagers: Vec<_> = bots.iter().map(|bot| crate::wager(*bot, "1.00")).collect();
            let placings: Vec<_> = wagers.iter().map(alone).collect();
            let placed = actions::place_all(&mut conn, &placings, arena.rules()).await.unwrap();
            for (wager, placed) in wagers.iter().zip(placed) {
                if matches!(placed, Placed::Passed) {
                    actions::place(&mut conn, wager, arena.rules(), None).await.unwrap();
                }
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
    for bot in bots {
        assert_eq!(balance(&arena, bot).await.to_string(), "92.00000000");
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_taken_idempotency_key_leaves_nothing_of_its_batch() {
    let arena = Arena::new().await;
    let (one, other) = (arena.bot().create().await.id, arena.bot().create().await.id);
    let render =
        |_: &Accepted| StoredAnswer { status: 200, answer: b"kept".to_vec(), secrets_of: None };
    let hook = Remember {
        claim: Claim { key_sha256: [1; 32], body_sha256: [2; 32] },
        rivals: Default::default(),
        keep: idempotency::KEPT,
        render: &render,
    };
    let mut conn = arena.conn().await;
    let first = crate::wager(one, "1.00");
    actions::place(&mut conn, &first, arena.rules(), Some(&hook)).await.unwrap();
    let (twin, bystander) = (crate::wager(one, "1.00"), crate::wager(other, "1.00"));
    let placings = [alone(&bystander), Placing { wager: &twin, hook: Some(&hook) }];
    let error = actions::place_all(&mut conn, &placings, arena.rules()).await.unwrap_err();
    assert!(matches!(error, DbError::Conflict(Conflict::IdempotencyKey)), "{error:?}");
    assert_eq!(balance(&arena, other).await.to_string(), "1000.00000000");
    assert_eq!(balance(&arena, one).await.to_string(), "999.00000000");
    arena.assert_sound().await;
}
