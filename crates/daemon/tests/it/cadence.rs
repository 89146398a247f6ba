use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daemon::cadence;
use daemon::shutdown::Shutdown;

const PERIOD: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(20);

/// When a round began and, if it got so far, ended.
type Round = (Instant, Option<Instant>);

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Round>>>);

impl Diary {
    fn begin(&self) -> usize {
        let mut rounds = self.0.lock().unwrap();
        rounds.push((Instant::now(), None));
        rounds.len() - 1
    }

    fn end(&self, index: usize) {
        self.0.lock().unwrap()[index].1 = Some(Instant::now());
    }

    fn rounds(&self) -> Vec<Round> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs rounds until the fifth, which asks to stop; `body` decides what each one does.
async fn five_rounds<B, F>(body: B) -> Vec<Round>
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
    tokio::time::timeout(DEADLINE, run).await.expect("the cadence ends after its fifth round");
    diary.rounds()
}

#[tokio::test]
async fn an_error_and_a_panic_do_not_stop_the_next_round() {
    let rounds = five_rounds(|index| async move {
        match index {
            0 => Err(std::io::Error::other("the first round fails")),
            1 => panic!("the second round panics"),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(rounds.len(), 5);
    assert!(rounds[0].1.is_some() && rounds[1].1.is_none() && rounds[2].1.is_some());
    for pair in rounds.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= PERIOD, "a failed round is not followed at once");
    }
}

#[tokio::test]
async fn a_panic_before_the_first_await_does_not_stop_it_either() {
    let rounds = five_rounds(|index| {
        assert!(index != 2, "the closure itself panics");
        async { Ok(()) }
    })
    .await;
    assert_eq!(rounds.len(), 5);
}

#[tokio::test]
async fn an_overrun_delays_and_never_overlaps() {
    let rounds = five_rounds(|index| async move {
        if index == 1 {
            tokio::time::sleep(PERIOD * 3).await;
        }
        Ok(())
    })
    .await;
    for pair in rounds.windows(2) {
        let ended = pair[0].1.expect("each round ends");
        assert!(pair[1].0 >= ended, "rounds overlap");
        assert!(pair[1].0 - pair[0].0 >= PERIOD, "lost time is made up by a burst");
    }
    let late = rounds[2].0 - rounds[1].1.unwrap();
    assert!(late < PERIOD, "after an overrun the next round follows at once, not after {late:?}");
}

#[tokio::test]
async fn the_current_round_finishes_before_a_stop() {
    let rounds = five_rounds(|_| async {
        tokio::time::sleep(PERIOD / 2).await;
        Ok(())
    })
    .await;
    assert!(rounds[4].1.is_some(), "the round in which the stop was asked for was cut off");
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
    assert_eq!(diary.rounds().len(), 1, "once a stop is requested no round begins");
}
