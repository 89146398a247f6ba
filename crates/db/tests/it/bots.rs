use db::DbError;
use db::actions;
use db::bots::{self, BotRef};
use db::error::Conflict;
use ledger_core::economy::Enforcement;
use ledger_core::{BotStatus, EntryType, Money, Refusal};
use test_kit::Arena;

#[tokio::test]
async fn a_bot_is_born_with_a_grant_and_nothing_else() {
    let arena = Arena::new().await;
    let bot = arena.bot().handle("Newborn").balance("12.50").create().await;
    let mut conn = arena.conn().await;
    let by_handle = BotRef::Handle("nEWBORN".parse().unwrap());
    let profile = bots::find(&mut conn, &by_handle).await.unwrap();
    assert_eq!(profile.id, bot.id);
    assert_eq!(profile.balance, "12.50".parse().unwrap());
    assert_eq!(profile.status, BotStatus::Alive);
    let entries = db::ledger::page(&mut conn, bot.id, None, 10).await.unwrap();
    let types: Vec<_> = entries.iter().map(|entry| entry.entry_type).collect();
    assert_eq!(types, [EntryType::Grant]);
    arena.assert_sound().await;
}

#[tokio::test]
async fn a_handle_is_taken_whatever_its_case() {
    let arena = Arena::new().await;
    arena.bot().handle("Twin").create().await;
    let mut conn = arena.conn().await;
    let credentials =
        bots::Credentials { api_key_hash: "$argon2id$x".to_owned(), api_secret_sha256: [7; 32] };
    let new = bots::NewBot {
        handle: &"tWIN".parse().unwrap(),
        persona: "",
        hosted: false,
        credentials: &credentials,
        actor: "test",
        while_paused: db::pauses::WhilePaused::Refuse,
    };
    let refused = bots::register(&mut conn, &new, arena.rules(), None).await.unwrap_err();
    assert!(matches!(refused, DbError::Conflict(Conflict::HandleTaken)), "{refused:?}");
    assert_eq!(bots::page(&mut conn, None, 10).await.unwrap().len(), 1);
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_dead_come_back_once_and_the_retired_never() {
    let arena = Arena::new().await;
    let bot = arena.bot().dead().create().await;
    let mut conn = arena.conn().await;
    let by_id = BotRef::Id(bot.id);
    let who = "ops".parse().unwrap();
    let amount: Money = "5.00".parse().unwrap();
    let none = bots::revive(&mut conn, &by_id, Money::ZERO, &who, "why", None).await.unwrap_err();
    assert!(matches!(none, DbError::Refused(Refusal::ReviveAmount { .. })), "{none:?}");

    let act = bots::revive(&mut conn, &by_id, amount, &who, "a second chance", None).await.unwrap();
    assert_eq!(act.profile.status, BotStatus::Alive);
    assert_eq!(act.profile.balance, amount);
    assert_eq!(act.entry.reference.as_str(), "REVIVE:ops");
    let again = bots::revive(&mut conn, &by_id, amount, &who, "why", None).await.unwrap_err();
    assert!(matches!(again, DbError::Refused(Refusal::NotDead { .. })), "{again:?}");

    let act = bots::retire(&mut conn, &by_id, &who, "enough", None).await.unwrap();
    assert_eq!(act.profile.status, BotStatus::Retired);
    assert_eq!(act.entry.amount, amount.negated());
    for refused in [
        bots::retire(&mut conn, &by_id, &who, "why", None).await.unwrap_err(),
        bots::revive(&mut conn, &by_id, amount, &who, "why", None).await.unwrap_err(),
    ] {
        assert!(matches!(refused, DbError::Refused(Refusal::Retired)), "{refused:?}");
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_reaper_spares_who_has_something_left_or_open() {
    let arena = Arena::new().await;
    let rules =
        ledger_core::EconomyRules { enforcement: Enforcement::Enforce, ..arena.rules().clone() };
    let arena = arena.with_rules(rules.clone());
    let open = arena.bot().balance("1.00").create().await.id;
    let rich = arena.bot().balance("9.00").create().await.id;
    let mut conn = arena.conn().await;
    actions::place(&mut conn, &crate::wager(open, "0.50"), &rules, None).await.unwrap();
    arena.tick(Enforcement::Enforce).await;
    let profile = bots::find(&mut conn, &BotRef::Id(open)).await.unwrap();
    assert_eq!((profile.balance, profile.open_predictions), (Money::ZERO, 1));
    assert_eq!(bots::reapable(&mut conn, 10).await.unwrap(), []);
    for bot in [open, rich] {
        assert!(bots::reap(&mut conn, bot, 3, &rules).await.unwrap().is_none());
    }
    arena.assert_sound().await;
}

#[tokio::test]
async fn the_reaper_liquidates_at_zero() {
    let arena = Arena::new().await;
    let rules =
        ledger_core::EconomyRules { enforcement: Enforcement::Enforce, ..arena.rules().clone() };
    let arena = arena.with_rules(rules.clone());
    let bot = arena.bot().balance("0.50").create().await;
    // A bot with exactly the fee pays it and stays alive with zero until the reaper runs.
    arena.tick(Enforcement::Enforce).await;
    let mut conn = arena.conn().await;
    assert_eq!(bots::reapable(&mut conn, 10).await.unwrap(), [bot.id]);
    let entry = bots::reap(&mut conn, bot.id, 7, &rules).await.unwrap().unwrap();
    assert_eq!(entry.entry_type, EntryType::Liquidation);
    assert_eq!(entry.amount, Money::ZERO);
    assert_eq!(entry.reference.as_str(), "REAPER:7");
    assert!(bots::reap(&mut conn, bot.id, 8, &rules).await.unwrap().is_none());
    arena.assert_sound().await;
}
