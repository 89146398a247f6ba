use std::time::Duration;

use cache::Cache;
use cache::observations::{Handed, Redemption};
use cache::prices::FreshPrice;
use ledger_core::prediction::PriceSource;
use ledger_core::{BotId, ObservationId};

use crate::{eventually, observation, own_cache};

const MIA: BotId = BotId(7);
const LONG: Duration = Duration::from_secs(60);

fn by(bot: BotId, observation: ObservationId) -> Handed {
    Handed { bot, observation, request: None }
}

async fn open_arena() -> Cache {
    let cache = own_cache().await;
    let at = "2026-02-16T00:00:00Z".parse().unwrap();
    let fresh = FreshPrice {
        price: "50000".parse().unwrap(),
        source: PriceSource::Simulated,
        provider_at: at,
        sampled_at: at,
    };
    cache.put_price(&fresh, LONG).await.unwrap();
    cache
}

#[tokio::test]
async fn a_ticket_is_good_once() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Redeemed));
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Gone));
}

#[tokio::test]
async fn a_stranger_leaves_the_ticket_unused() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    // 70 begins with 7: the owners are compared whole.
    assert_eq!(cache.redeem_observation(by(BotId(70), observation)).await, Ok(Redemption::Foreign));
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Redeemed));
}

#[tokio::test]
async fn a_ticket_that_never_was_is_gone() {
    let cache = open_arena().await;
    assert_eq!(cache.redeem_observation(by(MIA, observation())).await, Ok(Redemption::Gone));
}

#[tokio::test]
async fn a_ticket_expires() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, Duration::from_millis(30)).await.unwrap();
    // A stranger's look does not use it up, so it can be looked at until it is gone.
    eventually("the observation expires", || async {
        cache.redeem_observation(by(BotId(8), observation)).await == Ok(Redemption::Gone)
    })
    .await;
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Gone));
}

#[tokio::test]
async fn without_a_price_the_arena_is_halted_and_tickets_stay_good() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    let fresh = cache.price().await.unwrap().unwrap();
    cache.put_price(&fresh, Duration::ZERO).await.unwrap();
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Halted));
    cache.put_price(&fresh, LONG).await.unwrap();
    assert_eq!(cache.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Redeemed));
}

#[tokio::test]
async fn of_many_at_once_exactly_one_redeems() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(
                async move { cache.redeem_observation(by(MIA, observation)).await.unwrap() },
            )
        })
        .collect();
    let mut redeemed = 0;
    for task in tasks {
        match task.await.unwrap() {
            Redemption::Redeemed => redeemed += 1,
            other => assert_eq!(other, Redemption::Gone),
        }
    }
    assert_eq!(redeemed, 1);
}

#[tokio::test]
async fn namespaces_do_not_meet() {
    let (one, other) = (open_arena().await, open_arena().await);
    let observation = observation();
    one.issue_observation(MIA, observation, LONG).await.unwrap();
    assert_eq!(other.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Gone));
    assert_eq!(one.redeem_observation(by(MIA, observation)).await, Ok(Redemption::Redeemed));
}

#[tokio::test]
async fn many_tickets_are_answered_in_their_order_each_on_its_own() {
    let cache = open_arena().await;
    let (mine, theirs, never) = (observation(), observation(), observation());
    cache.issue_observation(MIA, mine, LONG).await.unwrap();
    cache.issue_observation(BotId(8), theirs, LONG).await.unwrap();
    let handed_in = [theirs, mine, never, mine].map(|observation| by(MIA, observation));
    assert_eq!(
        cache.redeem_observations(&handed_in).await.unwrap(),
        [Redemption::Foreign, Redemption::Redeemed, Redemption::Gone, Redemption::Gone]
    );
    assert_eq!(cache.redeem_observation(by(BotId(8), theirs)).await, Ok(Redemption::Redeemed));
}

#[tokio::test]
async fn whoever_looks_at_a_ticket_leaves_it() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    for (bot, expected) in [(MIA, Redemption::Redeemed), (BotId(8), Redemption::Foreign)] {
        for _ in 0..2 {
            assert_eq!(cache.look_at_observation(by(bot, observation)).await, Ok(expected));
        }
    }
    let redeemed = cache.redeem_observation(by(MIA, observation)).await;
    assert_eq!(redeemed, Ok(Redemption::Redeemed));
    let gone = cache.look_at_observation(by(MIA, observation)).await;
    assert_eq!(gone, Ok(Redemption::Gone));
}

#[tokio::test]
async fn a_used_ticket_knows_the_twin_of_the_request_that_used_it() {
    let cache = open_arena().await;
    let observation = observation();
    cache.issue_observation(MIA, observation, LONG).await.unwrap();
    let of = |request: Option<[u8; 32]>| Handed { request, ..by(MIA, observation) };
    let one = of(Some([7; 32]));
    assert_eq!(cache.redeem_observation(one).await, Ok(Redemption::Redeemed));
    assert_eq!(cache.redeem_observation(one).await, Ok(Redemption::Twin));
    for other in [of(None), of(Some([8; 32])), by(BotId(8), observation)] {
        assert_eq!(cache.redeem_observation(other).await, Ok(Redemption::Gone));
    }
    cache.forget_observation(observation).await.unwrap();
    assert_eq!(cache.redeem_observation(one).await, Ok(Redemption::Gone));
}
