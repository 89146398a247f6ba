//! Background work for credentials: reading rotations by other processes, and recording refusals.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::shutdown::{Shutdown, Wake};
use db::DbResult;
use db::credentials::{Refused, refused, rotated_within};
use tracing::warn;

use super::Auth;
use super::rotations::REMEMBERED;

/// How long a token may outlive a rotation by another process, or the end of its grace.
const EVERY: Duration = Duration::from_secs(2);

/// Serves, and keeps the credentials meanwhile.
pub(crate) async fn alongside(
    serving: impl Future<Output = io::Result<()>>,
    auth: Arc<Auth>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = auth.keep(&shutdown) => serving.await,
    };
    auth.write_down(auth.refusals.rest()).await;
    served
}

impl Auth {
    async fn keep(&self, shutdown: &Shutdown) {
        while shutdown.sleep(EVERY).await == Wake::Elapsed {
            if let Err(error) = self.learn().await {
                warn!(%error, "rotations by other processes are not known; trying again");
            }
            self.write_down(self.refusals.due(Instant::now())).await;
        }
    }

    /// Reads the latest rotations, from whichever process.
    pub(crate) async fn learn(&self) -> DbResult<()> {
        let mut conn = self.database.get().await?;
        let recent = rotated_within(&mut conn, REMEMBERED).await?;
        self.rotations.learn(&recent);
        Ok(())
    }

    async fn write_down(&self, rows: Vec<(Refused, u64)>) {
        for (what, count) in rows {
            let written = async {
                let mut conn = self.database.get().await?;
                refused(&mut conn, what, count).await
            };
            if let Err(error) = written.await {
                warn!(%error, ?what, count, "refused credentials are not in the audit log yet");
                self.refusals.note_many(what, count);
            }
        }
    }
}
