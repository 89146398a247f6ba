//! Supervision: restarts a process that ends, after growing pauses, and reports one that is no longer ready.

use std::time::Duration;

use daemon::process::Failure;
use tokio::time::Instant;

use crate::logs::Writer;
use crate::part::Part;
use crate::private::upgraded;
use crate::probe;
use crate::say::{Colour, now, say, warn};
use crate::up::{Running, Supervisor};

const TURN: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// After this running time the pauses start again with the first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Supervisor {
    /// For ever.
    pub(crate) async fn watch(&mut self) -> Result<(), Failure> {
        loop {
            for part in Part::ALL {
                if self.processes.contains_key(&part) {
                    self.look(part).await;
                }
            }
            tokio::time::sleep(TURN).await;
        }
    }

    async fn look(&mut self, part: Part) {
        let watched = self.watched(part);
        if let Some(due) = watched.due {
            if Instant::now() >= due {
                watched.due = None;
                self.start_again(part);
            }
            return;
        }
        if let Some(code) = self.ended(part) {
            self.has_died(part, code).await;
            return;
        }
        let watched = self.watched(part);
        let is_healthy = |running: &Running| running.since.elapsed() >= HEALTHY_AFTER;
        if watched.running.as_ref().is_some_and(is_healthy) {
            watched.pause = None;
        }
        let is_time = watched.look_at.is_none_or(|at| Instant::now() >= at);
        if !(is_time || watched.is_recovering && part.is_service()) {
            return;
        }
        watched.look_at = Some(Instant::now() + LOOK_EVERY);
        if part.is_service() {
            self.see_readiness(part).await;
        } else {
            self.see_server(part);
        }
    }

    fn start_again(&mut self, part: Part) {
        let name = part.name();
        match self.launch(part) {
            Ok(_) => {
                let pid = self.pid(part);
                say(&format!("{} {name} is started again (pid {pid})", now()));
                self.watched(part).is_recovering = true;
            }
            Err(refusal) => {
                let seconds = self.put_off(part).as_secs();
                warn(&format!("{} {refusal} Trying again in {seconds} s.", now()));
            }
        }
    }

    /// Has it started again later; how much later.
    fn put_off(&mut self, part: Part) -> Duration {
        let watched = self.watched(part);
        let pause = watched.pause.unwrap_or(FIRST_PAUSE);
        watched.pause = Some((pause * 2).min(LAST_PAUSE));
        watched.due = Some(Instant::now() + pause);
        pause
    }

    async fn has_died(&mut self, part: Part, code: i32) {
        let words = self.last_words(part, false).await;
        let pid = self.pid(part);
        let seconds = self.put_off(part).as_secs();
        let watched = self.watched(part);
        (watched.running, watched.is_unready) = (None, false);
        let died = format!("{} (pid {pid}) died with code {code}", part.name());
        let died = self.warned.paint(Colour::Red, &died);
        warn(&format!(
            "{} {died}; starting it again in {seconds} s. Its last words: {words}",
            now()
        ));
    }

    /// Says it when that has changed.
    async fn see_readiness(&mut self, part: Part) {
        let Some(seat) = self.stack.as_ref().and_then(|stack| stack.seat(part)).cloned() else {
            return;
        };
        let is_ready = probe::ready(&seat.host, seat.port).await == Some(200);
        let (name, said) = (part.name(), self.said);
        let lives = self.running(part).is_some_and(Running::lives);
        let watched = self.watched(part);
        let is_known = watched.is_recovering || watched.is_unready;
        if is_ready && is_known {
            (watched.is_recovering, watched.is_unready) = (false, false);
            let text = said.paint(Colour::Green, &format!("{name} is ready again"));
            say(&format!("{} {text}", now()));
        } else if !is_ready && !is_known && lives {
            // One that has just ended is reported as ended.
            watched.is_unready = true;
            let text = said.paint(Colour::Yellow, &format!("{name} is not ready"));
            say(&format!("{} {text}; http://{}/ready says why", now(), seat.authority()));
        }
    }

    /// A server whose programs were replaced on disk, or whose log is no longer written.
    fn see_server(&mut self, part: Part) {
        let (name, said, log) = (part.name(), self.said, self.place.log(part.name()));
        let watched = self.watched(part);
        let Some(running) = watched.running.as_mut().filter(|running| running.lives()) else {
            return;
        };
        if let Some(writer) = running.writer.take_if(|writer| writer.has_ended()) {
            let (log, why) = (log.display(), Writer::end(writer));
            let text = format!(
                "{name} runs, but {log} is not written any more: {why}. When a pause of some seconds suits: \
                 ./run_system.sh stop, then start it again."
            );
            say(&format!("{} {}", now(), said.paint(Colour::Yellow, &text)));
        }
        if watched.is_told_upgraded {
            return;
        }
        if let Some(text) = upgraded(name, running.pid()) {
            watched.is_told_upgraded = true;
            say(&format!("{} {}", now(), said.paint(Colour::Yellow, &text)));
        }
    }
}
