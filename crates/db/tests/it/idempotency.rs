use db::DbError;
use db::actions::{self, Accepted};
use db::error::Conflict;
use db::idempotency::{self, Claim, Recall, Remember, StoredAnswer};
use test_kit::Arena;

fn answer(accepted: &Accepted) -> StoredAnswer {
    StoredAnswer {
        status: 200,
        answer: accepted.action_id.to_string().into_bytes(),
        secrets_of: None,
    }
}

#[tokio::test]
async fn an_answer_is_kept_with_its_effects_or_not_at_all() {
    let arena = Arena::new().await;
    let bot = arena.bot().balance("5.00").create().await;
    let mut conn = arena.conn().await;
    let claim = Claim { key_sha256: [1; 32], body_sha256: [2; 32] };
    let hook =
        Remember { claim, rivals: Default::default(), keep: idempotency::KEPT, render: &answer };

    let too_much = crate::wager(bot.id, "50.00");
    actions::place(&mut conn, &too_much, arena.rules(), Some(&hook)).await.unwrap_err();
    assert_eq!(idempotency::recall(&mut conn, &claim).await.unwrap(), Recall::Fresh);

    let wager = crate::wager(bot.id, "1.00");
    let accepted = actions::place(&mut conn, &wager, arena.rules(), Some(&hook)).await.unwrap();
    let kept = Recall::Replay(answer(&accepted));
    assert_eq!(idempotency::recall(&mut conn, &claim).await.unwrap(), kept);
    let other = Claim { body_sha256: [3; 32], ..claim };
    assert_eq!(idempotency::recall(&mut conn, &other).await.unwrap(), Recall::OtherBody);
    arena.assert_sound().await;
}

#[tokio::test]
async fn twins_leave_one_effect() {
    let arena = Arena::with_pool(16).await;
    let bot = arena.bot().create().await;
    let claim = Claim { key_sha256: [1; 32], body_sha256: [2; 32] };
    let mut twins = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (database, rules) = (arena.database().clone(), arena.rules().clone());
        let wager = crate::wager(bot.id, "1.00");
        twins.spawn(async move {
            let mut conn = database.get().await.unwrap();
            let hook = Remember {
                claim,
                rivals: Default::default(),
                keep: idempotency::KEPT,
                render: &answer,
            };
            actions::place(&mut conn, &wager, &rules, Some(&hook)).await
        });
    }
    let mut accepted = 0;
    while let Some(result) = twins.join_next().await {
        match result.unwrap() {
            Ok(_) => accepted += 1,
            Err(DbError::Conflict(Conflict::IdempotencyKey)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 1);
    let profile = db::bots::find(&mut *arena.conn().await, &db::bots::BotRef::Id(bot.id)).await;
    assert_eq!(profile.unwrap().balance, "999.00".parse().unwrap());
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_day_later_the_key_is_free_again() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    let mut conn = arena.conn().await;
    let claim = Claim { key_sha256: [1; 32], body_sha256: [2; 32] };
    let hook =
        Remember { claim, rivals: Default::default(), keep: idempotency::KEPT, render: &answer };
    let first = crate::wager(bot.id, "1.00");
    actions::place(&mut conn, &first, arena.rules(), Some(&hook)).await.unwrap();
    arena
        .owner_client()
        .await
        .batch_execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
        .await
        .unwrap();
    assert_eq!(idempotency::recall(&mut conn, &claim).await.unwrap(), Recall::Fresh);
    let second = crate::wager(bot.id, "1.00");
    actions::place(&mut conn, &second, arena.rules(), Some(&hook)).await.unwrap();
    let now = arena.now().await.datetime();
    assert_eq!(idempotency::prune(&mut conn, now).await.unwrap(), 0);
    assert!(matches!(idempotency::recall(&mut conn, &claim).await.unwrap(), Recall::Replay(_)));
}

/// The process crashes between the commit and its answer: a retry at another process finds the answer, because it
/// was committed with its effects.
#[tokio::test]
async fn an_answer_outlives_the_process_that_never_gave_it() {
    let arena = Arena::new().await;
    let dead = arena.bot().dead().create().await;
    let who = "ops".parse().unwrap();
    let bot = db::bots::BotRef::Id(dead.id);
    let amount = "5.00".parse().unwrap();
    let claim = |at: u8| Claim { key_sha256: [at; 32], body_sha256: [2; 32] };
    let shown = |act: &db::bots::OperatorAct| StoredAnswer {
        status: 200,
        answer: act.entry.hash.to_string().into_bytes(),
        secrets_of: None,
    };
    let hook = |at: u8| Remember {
        rivals: Default::default(),
        keep: idempotency::KEPT,
        claim: claim(at),
        render: &shown,
    };
    {
        let mut conn = arena.conn().await;
        let [one, two, three] = [hook(1), hook(2), hook(3)];
        let revived = db::bots::revive(&mut conn, &bot, amount, &who, "why", Some(&one));
        revived.await.unwrap();
        let retired = db::bots::retire(&mut conn, &bot, &who, "why", Some(&two));
        retired.await.unwrap();
        // Refused, so nothing is kept.
        let again = db::bots::revive(&mut conn, &bot, amount, &who, "why", Some(&three));
        again.await.unwrap_err();
    }
    let elsewhere =
        db::Database::connect(db::DatabaseConfig { url: arena.database_url(), pool_size: 1 });
    let elsewhere = elsewhere.await.unwrap();
    let mut conn = elsewhere.get().await.unwrap();
    let chain = db::ledger::page(&mut conn, dead.id, None, 10).await.unwrap();
    for (at, entry) in [(1, &chain[1]), (2, &chain[0])] {
        let Recall::Replay(kept) = idempotency::recall(&mut conn, &claim(at)).await.unwrap() else {
            panic!("the answer to {at} is not kept");
        };
        assert_eq!(kept.answer, entry.hash.to_string().into_bytes());
    }
    let fresh = idempotency::recall(&mut conn, &claim(3)).await.unwrap();
    assert_eq!(fresh, Recall::Fresh);
    arena.assert_sound().await;
}

/// An upgrade meets answers that name no credentials: those with secrets go, the others stay.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_forgets_secrets_whose_owner_is_not_known() {
    let arena = Arena::new().await;
    let owner = arena.owner_client().await;
    let migrations = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        std::fs::read_to_string(format!("{folder}/2026-11-29-000016_kept_answers/{file}")).unwrap()
    };
    owner.batch_execute(&migrations("down.sql")).await.unwrap();
    owner
        .batch_execute(
            "INSERT INTO idempotency_keys \
                    (key_sha256, body_sha256, status, answer, encrypted, expires_at) \
             SELECT decode(repeat(which, 32), 'hex'), decode(repeat('02', 32), 'hex'), 200, which::bytea, \
                    which = '07', now() + interval '1 hour' FROM unnest(ARRAY['07', '08']) which",
        )
        .await
        .unwrap();
    owner.batch_execute(&migrations("up.sql")).await.unwrap();
    let mut conn = arena.conn().await;
    let mut recall = async |key: u8| {
        let claim = Claim { key_sha256: [key; 32], body_sha256: [2; 32] };
        idempotency::recall(&mut conn, &claim).await.unwrap()
    };
    assert_eq!(recall(7).await, Recall::Fresh);
    assert!(matches!(recall(8).await, Recall::Replay(_)));
    let nobodys = "UPDATE idempotency_keys SET encrypted = true";
    assert!(owner.batch_execute(nobodys).await.is_err());
}
