//! What credentials need done besides requests: learning of rotations by other processes, and
//! writing refusals down.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use daemon::shutdown::{Shutdown, Wake};
use db::DbResult;
use db::credentials::{Refused, refused, rotated_within};
use tracing::warn;

use super::rotations::REMEMBERED;
use crate::app::App;

/// How long a token may outlive a rotation by another process, or the end of its grace.
const EVERY: Duration = Duration::from_secs(2);

/// Serves, and keeps the credentials meanwhile.
pub(crate) async fn alongside(
    serving: impl Future<Output = io::Result<()>>,
    app: Data<App>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = keep(&app, &shutdown) => serving.await,
    };
    write_down(&app, app.refusals.rest()).await;
    served
}

async fn keep(app: &App, shutdown: &Shutdown) {
    while shutdown.sleep(EVERY).await == Wake::Elapsed {
        if let Err(error) = learn(app).await {
            warn!(%error, "rotations by other processes are not known; trying again");
        }
        write_down(app, app.refusals.due(Instant::now())).await;
    }
}

/// Reads the latest rotations, from whichever process.
pub(crate) async fn learn(app: &App) -> DbResult<()> {
    let mut conn = app.database.get().await?;
    let recent = rotated_within(&mut conn, REMEMBERED).await?;
    app.rotations.learn(&recent);
    Ok(())
}

async fn write_down(app: &App, rows: Vec<(Refused, u64)>) {
    for (what, count) in rows {
        let written = async {
            let mut conn = app.database.get().await?;
            refused(&mut conn, what, count).await
        };
        if let Err(error) = written.await {
            warn!(%error, ?what, count, "refused credentials are not in the audit log yet");
            app.refusals.note_many(what, count);
        }
    }
}
