//! Stops the running parts, started by any process.

use std::time::Duration;

use daemon::process::Refusal;

use crate::lock::Lock;
use crate::part::Part;
use crate::place::Place;
use crate::process::{self, Signal, born, end, is_gone_within};
use crate::say::say;
use crate::{Told, private, reason};

/// The time for each part to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Stops a running stack, or the leftovers of a killed supervisor, and waits for it.
///
/// # Errors
/// When something is left.
pub async fn stop(place: &Place) -> Told<()> {
    if let Some((pid, start)) = place.supervisor().read().and_then(|pid| Some((pid, born(pid)?))) {
        process::signal(pid, Signal::TERM).map_err(|error| {
            let (user, why) = (private::account::myself(), reason(&error));
            Refusal::failure(format!("may not stop pid {pid} as {user}: {why}."))
        })?;
        let parts = u32::try_from(Part::ALL.len()).unwrap_or(6);
        if !is_gone_within(pid, start, PATIENCE * (parts + 1)).await {
            return Err(Refusal::failure(format!(
                "pid {pid} has not stopped yet. See: ./run_system.sh status"
            )));
        }
        say(&format!("stopped (pid {pid})"));
        return Ok(());
    }
    let is_left = |part: &Part| place.pid_file(part.name()).exists();
    if place.supervisor().exists() || Part::ALL.iter().any(is_left) {
        let _lock = Lock::take(place)?;
        everything(place).await;
        place.supervisor().remove();
        say("run_system.sh itself was not running; its processes are stopped");
    } else {
        say("not running");
    }
    Ok(())
}

/// Stops all processes of the pid files, in reverse order.
pub(crate) async fn everything(place: &Place) {
    let mut stopped = Vec::new();
    for part in Part::ALL.into_iter().rev() {
        if let Some(pid) = place.pid(part) {
            one(part, pid).await;
            stopped.push(part.name());
        }
        place.pid_file(part.name()).remove();
    }
    let _ = std::fs::remove_file(place.run().join("stack"));
    if !stopped.is_empty() {
        say(&format!("stopped {}", stopped.join(" ")));
    }
}

/// Postgres is stopped "fast": on TERM it would wait for its clients. QUIT keeps it from leaving its children
/// behind, as KILL does.
pub(crate) async fn one(part: Part, pid: u32) {
    let (first, last) = match part {
        Part::Postgres => (Signal::INT, Signal::QUIT),
        _ => (Signal::TERM, Signal::KILL),
    };
    end(part.name(), pid, first, PATIENCE, last).await;
}
