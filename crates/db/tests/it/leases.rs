use db::{leases, schedules};
use test_kit::{Arena, eventually};

#[tokio::test]
async fn one_holds_a_lease_until_it_lapses_and_the_token_grows() {
    let arena = Arena::new().await;
    let mut conn = arena.conn().await;
    let first = leases::acquire(&mut conn, "oracle", "a", 60).await.unwrap().unwrap();
    assert_eq!(leases::acquire(&mut conn, "oracle", "b", 60).await.unwrap(), None);
    assert_eq!(leases::acquire(&mut conn, "oracle", "a", 0).await.unwrap(), Some(first));
    let second = leases::acquire(&mut conn, "oracle", "b", 60).await.unwrap().unwrap();
    assert!(second > first);
    // The former holder cannot release it for the other.
    leases::release(&mut conn, "oracle", "a").await.unwrap();
    assert_eq!(leases::acquire(&mut conn, "oracle", "a", 60).await.unwrap(), None);
    leases::release(&mut conn, "oracle", "b").await.unwrap();
    assert!(leases::acquire(&mut conn, "oracle", "a", 60).await.unwrap().unwrap() > second);
}

#[tokio::test]
async fn of_many_who_reach_for_a_lease_one_gets_it() {
    let arena = Arena::with_pool(16).await;
    let mut runners = tokio::task::JoinSet::new();
    for runner in 0..16 {
        let database = arena.database().clone();
        runners.spawn(async move {
            let mut conn = database.get().await.unwrap();
            leases::acquire(&mut conn, "oracle", &format!("runner-{runner}"), 60).await.unwrap()
        });
    }
    let mut winners = 0;
    while let Some(token) = runners.join_next().await {
        winners += usize::from(token.unwrap().is_some());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_turn_is_taken_once_and_taken_over_when_its_runner_dies() {
    let arena = Arena::new().await;
    let bot = arena.bot().hosted().create().await.id;
    let mut conn = arena.conn().await;
    schedules::enrol(&mut conn, bot, 0).await.unwrap();
    schedules::enrol(&mut conn, bot, 3600).await.unwrap();
    let first = schedules::claim(&mut conn, bot, "a", 0).await.unwrap().unwrap();
    // The claim lapsed at once, as if its runner had died.
    let second = eventually("the turn is taken over", || async {
        schedules::claim(&mut *arena.conn().await, bot, "b", 60).await.unwrap()
    })
    .await;
    assert!(second.token > first.token);
    assert_eq!(schedules::claim(&mut conn, bot, "c", 60).await.unwrap(), None);
    assert!(!schedules::complete(&mut conn, &first, 60).await.unwrap());
    assert!(schedules::complete(&mut conn, &second, 60).await.unwrap());
    assert!(!schedules::complete(&mut conn, &second, 60).await.unwrap());
    assert_eq!(schedules::claim(&mut conn, bot, "a", 60).await.unwrap(), None);
}

#[tokio::test]
async fn a_cooldown_outlives_the_process_and_only_grows() {
    let arena = Arena::new().await;
    let mut conn = arena.conn().await;
    let source = "coingecko";
    assert_eq!(leases::cooldown(&mut conn, source).await.unwrap(), None);
    leases::cool_down(&mut conn, source, 1, 600).await.unwrap();
    let long = leases::cooldown(&mut conn, source).await.unwrap().unwrap();
    assert!(long.active);
    leases::cool_down(&mut conn, source, 2, 1).await.unwrap();
    let still = leases::cooldown(&mut conn, source).await.unwrap().unwrap();
    assert_eq!((still.until, still.strikes), (long.until, 2));
    // An answer from before the requested wait does not end it.
    leases::clear_cooldown(&mut conn, source).await.unwrap();
    let kept = leases::cooldown(&mut conn, source).await.unwrap();
    assert_eq!(kept, Some(still));
    let owner = arena.owner_client().await;
    owner.batch_execute("UPDATE source_cooldowns SET until = clock_timestamp()").await.unwrap();
    leases::clear_cooldown(&mut conn, source).await.unwrap();
    assert_eq!(leases::cooldown(&mut conn, source).await.unwrap(), None);
}

#[tokio::test]
async fn refusals_of_one_moment_are_one_strike() {
    let arena = Arena::with_pool(8).await;
    let source = "github";
    let refused = async |seconds: i64| {
        let mut conn = arena.conn().await;
        let struck = leases::strike(&mut conn, source, |strikes| seconds * i64::from(strikes));
        struck.await.unwrap().strikes
    };
    let owner = arena.owner_client().await;
    for round in 1..=3 {
        let at_once = futures_util::future::join_all((0..6).map(|_| refused(120))).await;
        assert_eq!(at_once, [round; 6]);
        // A longer requested wait still applies.
        assert_eq!(refused(9_000).await, round);
        let mut conn = arena.conn().await;
        let kept = leases::cooldown(&mut conn, source).await.unwrap().unwrap();
        let left = kept.until.seconds_since(arena.now().await);
        assert!(kept.active && left > 8_000, "{left}");
        owner.batch_execute("UPDATE source_cooldowns SET until = clock_timestamp()").await.unwrap();
    }
}

#[tokio::test]
async fn settling_goes_on_over_restarts_and_begins_anew_after_interruptions() {
    let arena = Arena::new().await;
    let mut conn = arena.conn().await;
    let now = arena.now().await;
    let mut since = async |seconds: i64| {
        let at = now.plus_seconds(seconds);
        let since = leases::settling_since(&mut conn, at, 300).await.unwrap();
        since.seconds_since(now)
    };
    for (at, began) in [
        (0, 0),
        (300, 0),
        (600, 0),
        (901, 901),
        (1_200, 901),
        // A clock that was set back.
        (1_199, 1_199),
        (1_300, 1_199),
    ] {
        assert_eq!(since(at).await, began, "{at}");
    }
    leases::interrupt_settling(&mut *arena.conn().await).await.unwrap();
    assert_eq!(since(1_301).await, 1_301);
}
