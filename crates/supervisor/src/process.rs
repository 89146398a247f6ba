//! Processes, each identified by its pid and its start time: a reused pid has another start time.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

pub use rustix::process::Signal;
use tokio::time::Instant;

use crate::say::warn;

/// How often something that is waited for is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Not even SIGKILL ends a process in uninterruptible sleep.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// When it started, in clock ticks since the boot; `None` for one that is gone, or a zombie.
pub fn born(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name in the second field may hold anything, blanks and brackets included.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A file with a pid and when that process started.
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    pub fn new(path: PathBuf) -> PidFile {
        PidFile { path }
    }

    /// The pid, while the process of the file is alive.
    pub fn read(&self) -> Option<u32> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        let (pid, start) = (pid.parse().ok()?, start.parse::<u64>().ok()?);
        (born(pid) == Some(start)).then_some(pid)
    }

    /// Writes it for a process; for one that has ended already, nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, pid: u32) -> io::Result<()> {
        match born(pid) {
            Some(start) => fs::write(&self.path, format!("{pid} {start}\n")),
            None => Ok(()),
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Starts it in its own process group, so that a terminal's Ctrl-C reaches only the supervisor, which stops it in
/// order.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    command.stdin(Stdio::null()).process_group(0).spawn()
}

/// Sends a signal; one that has ended needs none.
pub(crate) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no pid"))?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Asks a process to end by one signal and, where it does not, makes it by another.
pub async fn end(name: &str, pid: u32, first: Signal, patience: Duration, last: Signal) {
    let Some(start) = born(pid) else { return };
    let _ = signal(pid, first);
    if is_gone_within(pid, start, patience).await {
        return;
    }
    let (seconds, how) = (patience.as_secs(), name_of(last));
    warn(&format!("{name} (pid {pid}) did not stop within {seconds} s, sending {how}."));
    let _ = signal(pid, last);
    is_gone_within(pid, start, KILLED_WITHIN).await;
}

fn name_of(signal: Signal) -> &'static str {
    if signal == Signal::QUIT { "SIGQUIT" } else { "SIGKILL" }
}

/// Waits for the end of the process that started then.
pub(crate) async fn is_gone_within(pid: u32, start: u64, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while born(pid) == Some(start) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

/// The exit code like in a shell: 128 plus the number for a process ended by a signal.
pub fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_counts_with_its_start_alone() {
        let dir = tempfile::tempdir().unwrap();
        let me = std::process::id();
        let file = PidFile::new(dir.path().join("me.pid"));
        assert_eq!(file.read(), None);
        file.write(me).unwrap();
        assert_eq!(file.read(), Some(me));
        fs::write(dir.path().join("me.pid"), format!("{me} 1\n")).unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = spawn(Command::new("true")).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while born(child.id()).is_some() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
    }
}
