use std::time::Duration;

use bus::limits::{Admission, Limit};

use crate::{eventually, own_bus};

const TWO: Limit = Limit {
    uses: 2,
    window: Duration::from_secs(60),
};

#[tokio::test]
async fn a_limit_admits_its_number_and_says_when_to_come_back() {
    let bus = own_bus().await;
    assert_eq!(
        bus.take("grant:a", TWO).await,
        Ok(Admission::Admitted { remaining: 1 })
    );
    assert_eq!(
        bus.take("grant:a", TWO).await,
        Ok(Admission::Admitted { remaining: 0 })
    );
    let Ok(Admission::Exhausted { retry_after }) = bus.take("grant:a", TWO).await else {
        panic!("a third was admitted");
    };
    assert!(
        retry_after > Duration::from_secs(30) && retry_after <= TWO.window,
        "{retry_after:?}"
    );
    assert_eq!(
        bus.take("grant:b", TWO).await,
        Ok(Admission::Admitted { remaining: 1 })
    );
}

#[tokio::test]
async fn a_place_given_back_is_free_again() {
    let bus = own_bus().await;
    let one = Limit { uses: 1, ..TWO };
    bus.take("x", one).await.unwrap();
    bus.give_back("x").await.unwrap();
    assert_eq!(
        bus.take("x", one).await,
        Ok(Admission::Admitted { remaining: 0 })
    );
    // Giving back what was never taken makes no room.
    bus.give_back("y").await.unwrap();
    bus.take("y", one).await.unwrap();
    assert!(matches!(
        bus.take("y", one).await,
        Ok(Admission::Exhausted { .. })
    ));
}

#[tokio::test]
async fn a_window_ends_however_often_somebody_knocks() {
    let bus = own_bus().await;
    let brief = Limit {
        uses: 1,
        window: Duration::from_millis(50),
    };
    bus.take("x", brief).await.unwrap();
    eventually("there is room again", || async {
        matches!(bus.take("x", brief).await, Ok(Admission::Admitted { .. }))
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_as_allowed_are_admitted() {
    let bus = own_bus().await;
    let five = Limit { uses: 5, ..TWO };
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.take("crowd", five).await.unwrap() })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += u32::from(matches!(task.await.unwrap(), Admission::Admitted { .. }));
    }
    assert_eq!(admitted, 5);
}
