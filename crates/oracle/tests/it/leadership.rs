//! One works, the others wait.

use std::time::Duration;

use daemon::shutdown::Shutdown;
use oracle::leadership::{Contest, Leadership, LeaseTimes, Role};
use test_kit::{Arena, eventually};

/// A lease that outlasts every test: it cannot be obtained by waiting.
const LONG: LeaseTimes = times(600);
const SHORT: LeaseTimes = times(1);

const fn times(lease_seconds: i64) -> LeaseTimes {
    LeaseTimes {
        lease_seconds,
        renew_interval: Duration::from_millis(100),
        poll_interval: Duration::from_millis(50),
    }
}

fn contend(arena: &Arena, times: LeaseTimes) -> (Leadership, Contest) {
    Leadership::contend(arena.database().clone(), times)
}

async fn until_active(leadership: &Leadership) {
    eventually("it is active", || async { leadership.is_active().then_some(()) }).await;
}

/// As in `docs/scaling.md`: the lease of a crashed oracle expires, and the next attempt gets it.
#[test]
fn a_standby_takes_over_within_ten_seconds() {
    let times = LeaseTimes::default();
    let lease = Duration::from_secs(times.lease_seconds.unsigned_abs());
    assert!(lease + times.poll_interval <= Duration::from_secs(10));
    // One renewal may fail and be tried again before the lease is lost.
    assert!(times.renew_interval + times.poll_interval < lease);
}

#[tokio::test]
async fn one_is_active_and_the_other_stands_by() {
    let arena = Arena::new().await;
    let (first, _first_contest) = contend(&arena, LONG);
    until_active(&first).await;
    let (second, _second_contest) = contend(&arena, LONG);
    let shutdown = Shutdown::manual();
    let waited =
        tokio::time::timeout(Duration::from_millis(500), second.next_term(&shutdown)).await;
    assert!(waited.is_err(), "no term while another holds the lease");
    assert_eq!((first.role(), second.role()), (Role::Active, Role::Standby));
}

#[tokio::test]
async fn a_standby_takes_over_when_the_active_one_withdraws() {
    let arena = Arena::new().await;
    let (first, first_contest) = contend(&arena, LONG);
    until_active(&first).await;
    let (second, _second_contest) = contend(&arena, LONG);
    first_contest.withdraw().await;
    assert_eq!(first.role(), Role::Standby);
    until_active(&second).await;
}

#[tokio::test]
async fn a_standby_takes_over_when_the_active_one_dies() {
    let arena = Arena::new().await;
    let (first, first_contest) = contend(&arena, SHORT);
    until_active(&first).await;
    let (second, _second_contest) = contend(&arena, SHORT);
    // Dropped without a withdrawal, the lease is left to run out.
    drop(first_contest);
    until_active(&second).await;
    assert_eq!(first.role(), Role::Standby, "never both");
    let row = arena
        .owner_client()
        .await
        .query_one("SELECT token FROM leases WHERE name = 'oracle'", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 2, "the token grows with each change of holder");
}

#[tokio::test]
async fn a_renewed_lease_outlasts_its_length() {
    let arena = Arena::new().await;
    let (first, _first_contest) = contend(&arena, SHORT);
    until_active(&first).await;
    let (second, _second_contest) = contend(&arena, SHORT);
    let shutdown = Shutdown::manual();
    let waited = tokio::time::timeout(Duration::from_secs(3), second.next_term(&shutdown)).await;
    assert!(waited.is_err(), "three leases long, and still the first one's");
    assert!(first.is_active());
}

#[tokio::test]
async fn a_term_ends_with_the_lease_and_another_may_follow() {
    let arena = Arena::new().await;
    let (leadership, _contest) = contend(&arena, SHORT);
    let shutdown = Shutdown::manual();
    let term = leadership.next_term(&shutdown).await.expect("a term");
    assert!(!term.is_requested());
    // Somebody else has it, as after a freeze.
    let client = arena.owner_client().await;
    let steal = "UPDATE leases SET holder = 'another', token = token + 1, \
                 expires_at = clock_timestamp() + interval '1 second'";
    client.batch_execute(steal).await.unwrap();
    tokio::time::timeout(test_kit::PATIENCE, term.wait()).await.expect("the term ends");
    assert_eq!(leadership.role(), Role::Standby);
    let next = tokio::time::timeout(test_kit::PATIENCE, leadership.next_term(&shutdown)).await;
    assert!(next.expect("in time").is_some(), "the other's lease ran out");
}

#[tokio::test]
async fn a_stop_ends_the_wait_and_the_term() {
    let arena = Arena::new().await;
    let (leadership, _contest) = contend(&arena, LONG);
    let shutdown = Shutdown::manual();
    let term = leadership.next_term(&shutdown).await.expect("a term");
    shutdown.request();
    tokio::time::timeout(test_kit::PATIENCE, term.wait()).await.expect("the term ends");
    assert!(leadership.is_active(), "the last round still runs under the lease");
    let (waiting, _waiting_contest) = contend(&arena, LONG);
    assert!(waiting.next_term(&shutdown).await.is_none());
}
