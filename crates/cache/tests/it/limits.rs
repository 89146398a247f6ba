use std::time::Duration;

use cache::limits::rate::{Rate, Use, Verdict};
use cache::limits::{Admission, Limit};
use cache::{Cache, CacheError, CacheResult};

use crate::{eventually, own_cache, own_cache_and_namespace, raw};

const TWO: Limit = Limit { uses: 2, window: Duration::from_secs(60) };

#[tokio::test]
async fn a_limit_admits_its_number_and_says_when_to_come_back() {
    let cache = own_cache().await;
    assert_eq!(cache.take("grant:a", TWO).await, Ok(Admission::Admitted { remaining: 1 }));
    assert_eq!(cache.take("grant:a", TWO).await, Ok(Admission::Admitted { remaining: 0 }));
    let Ok(Admission::Exhausted { retry_after }) = cache.take("grant:a", TWO).await else {
        panic!("a third was admitted");
    };
    assert!(retry_after > Duration::from_secs(30) && retry_after <= TWO.window, "{retry_after:?}");
    assert_eq!(cache.take("grant:b", TWO).await, Ok(Admission::Admitted { remaining: 1 }));
}

#[tokio::test]
async fn a_place_given_back_is_free_again() {
    let cache = own_cache().await;
    let one = Limit { uses: 1, ..TWO };
    cache.take("x", one).await.unwrap();
    cache.give_back("x").await.unwrap();
    assert_eq!(cache.take("x", one).await, Ok(Admission::Admitted { remaining: 0 }));
    // Giving back what was never taken makes no room.
    cache.give_back("y").await.unwrap();
    cache.take("y", one).await.unwrap();
    assert!(matches!(cache.take("y", one).await, Ok(Admission::Exhausted { .. })));
}

#[tokio::test]
async fn a_window_ends_however_often_somebody_knocks() {
    let cache = own_cache().await;
    let brief = Limit { uses: 1, window: Duration::from_millis(50) };
    cache.take("x", brief).await.unwrap();
    eventually("there is room again", || async {
        matches!(cache.take("x", brief).await, Ok(Admission::Admitted { .. }))
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_as_allowed_are_admitted() {
    let cache = own_cache().await;
    let five = Limit { uses: 5, ..TWO };
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.take("crowd", five).await.unwrap() })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u32::from(matches!(task.await.unwrap(), Admission::Admitted { .. }));
    }
    assert_eq!(admitted, 5);
}

fn uses<'a>(uses: &[(&'a str, u32, u32)]) -> Vec<Use<'a>> {
    uses.iter()
        .map(|(name, per_minute, burst)| Use { name, rate: Rate::per_minute(*per_minute, *burst) })
        .collect()
}

async fn admit(cache: &Cache, uses: &[Use<'_>]) -> CacheResult<Verdict> {
    cache.admit_each(&[uses]).await.map(|verdicts| verdicts[0])
}

#[tokio::test]
async fn a_use_is_counted_under_all_rates_or_under_none() {
    let cache = own_cache().await;
    let both = uses(&[("wide", 60, 5), ("narrow", 1, 2)]);
    for left in [1, 0] {
        let Ok(Verdict::Admitted { tightest: 1, remaining, reset }) = admit(&cache, &both).await
        else {
            panic!("refused, or another is tightest");
        };
        assert_eq!(remaining, left);
        assert!(reset > Duration::from_secs(30), "{reset:?}");
    }
    for _ in 0..10 {
        let Ok(Verdict::Refused { by: 1, retry_after }) = admit(&cache, &both).await else {
            panic!("a third was admitted, or by another");
        };
        assert!(
            retry_after > Duration::from_secs(30) && retry_after <= Duration::from_secs(60),
            "{retry_after:?}"
        );
    }
    // Two were counted under the wide one, and none of the ten.
    let wide = uses(&[("wide", 60, 5)]);
    assert!(matches!(admit(&cache, &wide).await, Ok(Verdict::Admitted { remaining: 2.., .. })));
}

#[tokio::test]
async fn room_comes_back_with_time_and_the_key_goes() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let fast = uses(&[("fast", 1200, 1)]);
    assert!(matches!(admit(&cache, &fast).await, Ok(Verdict::Admitted { remaining: 0, .. })));
    eventually("there is room again", || async {
        matches!(admit(&cache, &fast).await, Ok(Verdict::Admitted { .. }))
    })
    .await;
    eventually("nothing is left of it", || async {
        let left: i64 = redis::cmd("EXISTS")
            .arg(format!("{namespace}rate:fast"))
            .query_async(&mut raw().await)
            .await
            .unwrap();
        left == 0
    })
    .await;
}

#[tokio::test]
async fn a_burst_of_many_at_once_is_cut_exactly() {
    let cache = own_cache().await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let cache = cache.clone();
            // One comes back in a minute: none does within this test.
            tokio::spawn(async move {
                let crowd = uses(&[("crowd", 1, 7), ("other", 6000, 1000)]);
                admit(&cache, &crowd).await.unwrap()
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u32::from(matches!(task.await.unwrap(), Verdict::Admitted { .. }));
    }
    assert_eq!(admitted, 7);
}

#[tokio::test]
async fn what_is_no_time_under_a_key_is_an_error_and_no_admission() {
    let (cache, namespace) = own_cache_and_namespace().await;
    let _: () = redis::cmd("SET")
        .arg(format!("{namespace}rate:odd"))
        .arg("soon")
        .query_async(&mut raw().await)
        .await
        .unwrap();
    let odd = uses(&[("odd", 60, 1)]);
    let answer = admit(&cache, &odd).await;
    assert!(matches!(answer, Err(CacheError::Refused(_))), "{answer:?}");
}

#[tokio::test]
async fn requests_that_are_asked_about_together_are_counted_one_after_the_other() {
    let cache = own_cache().await;
    let (mia, tom) =
        (uses(&[("address", 1, 3), ("mia", 1, 1)]), uses(&[("address", 1, 3), ("tom", 1, 9)]));
    let together: Vec<_> = [&mia, &mia, &tom, &tom, &tom].map(Vec::as_slice).into();
    let verdicts = cache.admit_each(&together).await.unwrap();
    let by = |verdict: &Verdict| match *verdict {
        Verdict::Admitted { tightest, remaining, .. } => Ok((tightest, remaining)),
        Verdict::Refused { by, .. } => Err(by),
    };
    let verdicts: Vec<_> = verdicts.iter().map(by).collect();
    // The second is refused under its own rate, and costs the others nothing.
    assert_eq!(verdicts, [Ok((1, 0)), Err(1), Ok((0, 1)), Ok((0, 0)), Err(0)]);
    assert!(matches!(admit(&cache, &tom).await, Ok(Verdict::Refused { by: 0, .. })));
}
