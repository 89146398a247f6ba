//! The one reader of the event log in this process.

use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, WakeUps};
use daemon::shutdown::Shutdown;
use db::DbResult;
use db::events::Position;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{error, warn};

use super::batch::Batch;
use super::{BACKLOG_MAX, Broadcast, Streams};
use crate::metrics;

/// Events read at a time.
const BATCH_MAX: i64 = 100;
/// The shortest time between two reads: under load, several events are read together.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest. Intervals grow to it while nothing comes: an older open transaction may hold back a
/// notified event, and its end sends no notification.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A moment for the slowest listener, where a listener is half a backlog behind.
const SLOWEST_WAIT: Duration = Duration::from_millis(10);

/// Follows the event log until the service stops, and then lets every listener go.
pub(crate) fn start(streams: &Arc<Streams>, cache: &Cache, shutdown: &Shutdown) {
    let (streams, shutdown) = (Arc::clone(streams), shutdown.clone());
    let wake_ups = cache.wake_ups();
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.wait() => {}
            () = follow(&streams, &wake_ups) => {}
        }
        streams.close();
    });
}

async fn follow(streams: &Streams, wake_ups: &WakeUps) {
    loop {
        while streams.listeners() == 0 {
            streams.arrived.notified().await;
        }
        match begin(streams).await {
            Ok(now) => serve(streams, wake_ups, now).await,
            Err(error) => {
                warn!(%error, "cannot read the event log; live events have to wait");
                sleep(PAUSE_MAX).await;
            }
        }
    }
}

/// Where the log ends now. Earlier listeners are notified, and read the events up to there themselves.
async fn begin(streams: &Streams) -> DbResult<Position> {
    let now = db::events::bounds(&mut *streams.database.get().await?).await?.now;
    streams.tell(Broadcast::News(Arc::new(Batch::empty(now))));
    Ok(now)
}

/// Sends the events after `position`, as long as there are listeners.
async fn serve(streams: &Streams, wake_ups: &WakeUps, mut position: Position) {
    let keep_alive = streams.patience.keep_alive;
    let mut beats = interval_at(Instant::now() + keep_alive, keep_alive);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = PAUSE_MIN;
    while streams.listeners() > 0 {
        match tell_more(streams, position).await {
            Ok(Some(until)) => {
                position = until;
                pause = PAUSE_MIN;
            }
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "cannot read the event log; live events have to wait");
                pause = PAUSE_MAX;
            }
        }
        sleep(PAUSE_MIN).await;
        tokio::select! {
            () = wake_ups.next() => pause = PAUSE_MIN,
            () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            _ = beats.tick() => streams.tell(Broadcast::Beat),
        }
    }
}

/// Reads and sends until nothing is left. Answers where that is, if there was anything.
async fn tell_more(streams: &Streams, position: Position) -> DbResult<Option<Position>> {
    let mut until = position;
    loop {
        let page = db::events::after(&mut *streams.database.get().await?, until, BATCH_MAX).await?;
        let Some(last) = page.events.last().map(|event| event.position) else {
            break;
        };
        let is_last = page.until > last;
        match Batch::render(until, &page) {
            Ok(batch) => {
                streams.tell(Broadcast::News(Arc::new(batch)));
                if let Some(newest) = page.events.last() {
                    metrics::told_up_to(newest.at);
                }
            }
            Err(error) => error!(%error, "events cannot be rendered"),
        }
        until = page.until;
        if is_last {
            break;
        }
        if streams.backlog() > BACKLOG_MAX / 2 {
            sleep(SLOWEST_WAIT).await;
        }
    }
    Ok((until != position).then_some(until))
}
