use std::time::Duration;

use db::DbError;
use db::bots::{BotRef, Credentials};
use db::credentials::{self, Rotated, Rotation, Rotator, Standing};
use db::error::Conflict;
use db::idempotency::{Claim, KEPT, Pair, Remember, StoredAnswer};
use ledger_core::BotId;
use ledger_core::economy::Operator;
use test_kit::{Arena, TestBot};

fn pair(byte: u8) -> Credentials {
    Credentials { api_key_hash: format!("$argon2id${byte}"), api_secret_sha256: [byte; 32] }
}

async fn rotate(
    arena: &Arena,
    bot: &TestBot,
    version: i64,
    new: u8,
    hook: Option<&Remember<'_, Rotated>>,
) -> Result<Rotated, DbError> {
    let rotation = Rotation {
        bot: &BotRef::Id(bot.id),
        rotator: Rotator::Bot { version },
        credentials: &pair(new),
        grace: Duration::from_secs(600),
    };
    credentials::rotate(&mut *arena.conn().await, &rotation, hook).await
}

async fn standing(arena: &Arena, secret: u8) -> Option<(i64, Standing)> {
    let mut conn = arena.conn().await;
    let found = credentials::by_secret(&mut conn, &[secret; 32]).await;
    found.unwrap().map(|owner| (owner.version, owner.standing))
}

#[tokio::test]
async fn a_bot_has_one_pair_and_one_predecessor() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    for (version, new) in [(1, 1), (2, 2), (3, 3)] {
        let rotated = rotate(&arena, &bot, version, new, None).await.unwrap();
        assert_eq!(rotated.version, version + 1);
    }
    assert_eq!(standing(&arena, 3).await, Some((4, Standing::Current)));
    assert_eq!(standing(&arena, 2).await, Some((3, Standing::Grace)));
    assert_eq!(standing(&arena, 1).await, None);
    let mut conn = arena.conn().await;
    let bot_ref = BotRef::Handle(bot.handle.parse().unwrap());
    let known = credentials::login(&mut conn, &bot_ref).await.unwrap();
    let known = known.unwrap();
    assert_eq!(known.api_key_hash, "$argon2id$3");
    let before = known.predecessor.unwrap();
    assert_eq!((before.version, before.api_key_hash.as_str()), (3, "$argon2id$2"));
    assert!(before.remaining <= Duration::from_secs(600) && !before.remaining.is_zero());

    let client = arena.owner_client().await;
    let sql = "UPDATE superseded_credentials SET valid_until = rotated_at";
    client.execute(sql, &[]).await.unwrap();
    assert_eq!(standing(&arena, 2).await, Some((3, Standing::Ended)));
    let known = credentials::login(&mut conn, &bot_ref).await.unwrap();
    assert!(known.unwrap().predecessor.is_none());
    // Known for half an hour after its end.
    let sql = "UPDATE superseded_credentials SET rotated_at = rotated_at - interval '31 minutes', \
               valid_until = valid_until - interval '31 minutes'";
    client.execute(sql, &[]).await.unwrap();
    assert_eq!(standing(&arena, 2).await, None);
}

#[tokio::test]
async fn credentials_that_were_rotated_away_rotate_nothing() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    rotate(&arena, &bot, 1, 1, None).await.unwrap();
    let error = rotate(&arena, &bot, 1, 2, None).await.unwrap_err();
    let superseded = Conflict::CredentialsSuperseded;
    assert!(matches!(error, DbError::Conflict(found) if found == superseded));
    assert_eq!(standing(&arena, 1).await, Some((2, Standing::Current)));
    // An operator needs no credentials of the bot.
    let olga: Operator = "olga".parse().unwrap();
    let rotation = Rotation {
        bot: &BotRef::Id(bot.id),
        rotator: Rotator::Operator(&olga),
        credentials: &pair(3),
        grace: Duration::ZERO,
    };
    let mut conn = arena.conn().await;
    let rotated = credentials::rotate(&mut conn, &rotation, None).await.unwrap();
    assert_eq!(rotated.version, 3);
    assert_eq!(standing(&arena, 1).await, Some((2, Standing::Ended)));
}

#[tokio::test]
async fn a_rotation_whose_answer_cannot_be_kept_did_not_happen() {
    let arena = Arena::new().await;
    let (bot, other) = (arena.bot().create().await, arena.bot().create().await);
    let render = |rotated: &Rotated| StoredAnswer {
        status: 200,
        answer: b"{}".to_vec(),
        secrets_of: Some(Pair { bot: rotated.bot, version: rotated.version }),
    };
    let hook = Remember {
        claim: Claim { key_sha256: [7; 32], body_sha256: [7; 32] },
        rivals: Default::default(),
        keep: KEPT,
        render: &render,
    };
    rotate(&arena, &bot, 1, 1, Some(&hook)).await.unwrap();
    let error = rotate(&arena, &other, 1, 2, Some(&hook)).await.unwrap_err();
    assert!(matches!(error, DbError::Conflict(Conflict::IdempotencyKey)));
    assert_eq!(standing(&arena, 2).await, None);
    let mut conn = arena.conn().await;
    let hour = Duration::from_secs(3600);
    let recent = credentials::rotated_within(&mut conn, hour).await.unwrap();
    assert_eq!(recent.len(), 1);
    assert_eq!((recent[0].bot, recent[0].version), (bot.id, 2));
}

#[tokio::test]
async fn of_rotations_with_the_same_credentials_one_wins() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    let racing = (1..=6).map(|new| rotate(&arena, &bot, 1, new, None));
    let outcomes = futures_util::future::join_all(racing).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn no_credential_may_be_missing() {
    let arena = Arena::new().await;
    let client = arena.owner_client().await;
    let sql = "SELECT count(*) FROM information_schema.columns \
               WHERE table_schema = 'public' AND is_nullable = 'YES' \
                 AND (table_name = 'superseded_credentials' OR table_name = 'bots')";
    let nullable: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(nullable, 0);
}

#[tokio::test]
async fn a_key_that_is_replaced_ends_with_all_it_bought_and_leaves_the_secret() {
    let arena = Arena::new().await;
    let bot = arena.bot().create().await;
    rotate(&arena, &bot, 1, 1, None).await.unwrap();
    let mut conn = arena.conn().await;
    credentials::replace_api_key(&mut conn, bot.id, "$argon2id$new", "mia").await.unwrap();
    // The secret belongs to the bot with the new number; earlier credentials have ended.
    assert_eq!(standing(&arena, 1).await, Some((3, Standing::Current)));
    let bot_ref = BotRef::Id(bot.id);
    let known = credentials::login(&mut conn, &bot_ref).await.unwrap();
    let known = known.unwrap();
    assert_eq!(known.api_key_hash, "$argon2id$new");
    assert!(known.predecessor.is_none());
    let window = Duration::from_secs(1800);
    let recent = credentials::rotated_within(&mut conn, window).await.unwrap();
    assert_eq!(recent.len(), 1);
    assert_eq!(
        (recent[0].bot, recent[0].version, recent[0].old_remaining),
        (bot.id, 3, Duration::ZERO)
    );
    let nobody = credentials::replace_api_key(&mut conn, BotId(1), "$argon2id$new", "mia").await;
    assert!(matches!(nobody, Err(DbError::NotFound("bot"))));
}
