//! The one reader of the event log in this process.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use cache::WakeUps;
use daemon::shutdown::Shutdown;
use db::DbResult;
use db::events::Position;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{error, warn};

use super::BACKLOG_MAX;
use super::Told;
use super::batch::Batch;
use crate::app::App;
use crate::metrics;

/// Events read at a time.
const BATCH_MAX: i64 = 100;
/// The shortest time between two looks: under load, what came meanwhile is read together.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest. Pauses grow to it while nothing comes: what a wake-up told of may still be held
/// back by an older transaction, whose end nobody tells.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A moment for the slowest listener, where a listener is half a backlog behind.
const SLOWEST_WAIT: Duration = Duration::from_millis(10);

/// Follows the event log until the service stops, and then lets every listener go.
pub(crate) fn start(app: &Data<App>, shutdown: &Shutdown) {
    let (app, shutdown) = (Data::clone(app), shutdown.clone());
    tokio::spawn(async move {
        let wake_ups = app.cache.wake_ups();
        tokio::select! {
            () = shutdown.wait() => {}
            () = follow(&app, &wake_ups) => {}
        }
        app.streams.close();
    });
}

async fn follow(app: &App, wake_ups: &WakeUps) {
    let streams = &app.streams;
    loop {
        while streams.listeners() == 0 {
            streams.arrived.notified().await;
        }
        match begin(app).await {
            Ok(now) => serve(app, wake_ups, now).await,
            Err(error) => {
                warn!(%error, "cannot read the event log; live events have to wait");
                sleep(PAUSE_MAX).await;
            }
        }
    }
}

/// Where the log ends now. Listeners that came earlier learn it, and read for themselves what they
/// do not know up to there.
async fn begin(app: &App) -> DbResult<Position> {
    let now = db::events::bounds(&mut *app.database.get().await?)
        .await?
        .now;
    app.streams.tell(Told::News(Arc::new(Batch::empty(now))));
    Ok(now)
}

/// Tells what comes after `position`, as long as anybody listens.
async fn serve(app: &App, wake_ups: &WakeUps, mut position: Position) {
    let streams = &app.streams;
    let keep_alive = streams.patience.keep_alive;
    let mut beats = interval_at(Instant::now() + keep_alive, keep_alive);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = PAUSE_MIN;
    while streams.listeners() > 0 {
        match tell_more(app, position).await {
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
            _ = beats.tick() => streams.tell(Told::Beat),
        }
    }
}

/// Reads and tells until nothing is left. Answers where that is, if there was anything.
async fn tell_more(app: &App, position: Position) -> DbResult<Option<Position>> {
    let streams = &app.streams;
    let mut until = position;
    loop {
        let page = db::events::after(&mut *app.database.get().await?, until, BATCH_MAX).await?;
        let Some(last) = page.events.last().map(|event| event.position) else {
            break;
        };
        let is_last = page.until > last;
        match Batch::render(until, &page) {
            Ok(batch) => {
                streams.tell(Told::News(Arc::new(batch)));
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
