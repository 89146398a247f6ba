use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::cadence;
use daemon::shutdown::Shutdown;

const PERIOD: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(20);

/// When a cycle began and, if it got so far, ended.
type Cycle = (Instant, Option<Instant>);

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Cycle>>>);

impl Diary {
    fn begin(&self) -> usize {
        let mut cycles = self.0.lock().unwrap();
        cycles.push((Instant::now(), None));
        cycles.len() - 1
    }

    fn end(&self, index: usize) {
        self.0.lock().unwrap()[index].1 = Some(Instant::now());
    }

    fn cycles(&self) -> Vec<Cycle> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs cycles until the fifth, which asks to stop; `body` decides what each one does.
async fn five_cycles<B, F>(body: B) -> Vec<Cycle>
where
    B: Fn(usize) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), std::io::Error>> + Send + 'static,
{
    let (diary, shutdown) = (Diary::default(), Shutdown::manual());
    let run = cadence::run(PERIOD, &shutdown, || {
        let index = diary.begin();
        let (diary, shutdown) = (diary.clone(), shutdown.clone());
        let body = body(index);
        async move {
            if index == 4 {
                shutdown.request();
            }
            let result = body.await;
            diary.end(index);
            result
        }
    });
    tokio::time::timeout(DEADLINE, run)
        .await
        .expect("the cadence ends after its fifth cycle");
    diary.cycles()
}

#[tokio::test]
async fn an_error_and_a_panic_do_not_stop_the_next_cycle() {
    let cycles = five_cycles(|index| async move {
        match index {
            0 => Err(std::io::Error::other("the first cycle fails")),
            1 => panic!("the second cycle panics"),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(cycles.len(), 5);
    assert!(cycles[0].1.is_some() && cycles[1].1.is_none() && cycles[2].1.is_some());
    for pair in cycles.windows(2) {
        assert!(
            pair[1].0 - pair[0].0 >= PERIOD,
            "a failed cycle is not followed at once"
        );
    }
}

#[tokio::test]
async fn a_panic_before_the_first_await_does_not_stop_it_either() {
    let cycles = five_cycles(|index| {
        assert!(index != 2, "the closure itself panics");
        async { Ok(()) }
    })
    .await;
    assert_eq!(cycles.len(), 5);
}

#[tokio::test]
async fn an_overrun_delays_and_never_overlaps() {
    let cycles = five_cycles(|index| async move {
        if index == 1 {
            tokio::time::sleep(PERIOD * 3).await;
        }
        Ok(())
    })
    .await;
    for pair in cycles.windows(2) {
        let ended = pair[0].1.expect("each cycle ends");
        assert!(pair[1].0 >= ended, "cycles overlap");
        assert!(
            pair[1].0 - pair[0].0 >= PERIOD,
            "lost time is made up by a burst"
        );
    }
    let late = cycles[2].0 - cycles[1].1.unwrap();
    assert!(
        late < PERIOD,
        "after an overrun the next cycle follows at once, not after {late:?}"
    );
}

#[tokio::test]
async fn the_current_cycle_finishes_before_a_stop() {
    let cycles = five_cycles(|_| async {
        tokio::time::sleep(PERIOD / 2).await;
        Ok(())
    })
    .await;
    assert!(
        cycles[4].1.is_some(),
        "the cycle in which the stop was asked for was cut off"
    );
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_period() {
    let (shutdown, diary) = (Shutdown::manual(), Diary::default());
    let began = Instant::now();
    let run = cadence::run(Duration::from_secs(600), &shutdown, || {
        diary.begin();
        shutdown.request();
        async { Ok::<_, std::io::Error>(()) }
    });
    tokio::time::timeout(DEADLINE, run).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));

    cadence::run(PERIOD, &shutdown, || {
        diary.begin();
        async { Ok::<_, std::io::Error>(()) }
    })
    .await;
    assert_eq!(
        diary.cycles().len(),
        1,
        "once a stop is requested no cycle begins"
    );
}
