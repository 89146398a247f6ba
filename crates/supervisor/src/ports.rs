//! The listeners on this machine's ports, from the kernel's tables.

use std::fmt;
use std::fs;

use daemon::process::Refusal;

use crate::Told;

const LISTENS: &str = "0A";

/// Somebody who listens.
#[derive(Debug)]
pub(crate) struct Holder {
    /// The process, if we may read it.
    pub(crate) process: Option<(String, u32)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((name, pid)) => write!(f, "{name} (pid {pid})"),
            None => f.write_str("a process of another user (sudo ss -ltnp shows it)"),
        }
    }
}

/// Each port with a listener, and the socket's inode.
fn listening() -> Vec<(u16, u64)> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        found.extend(text.lines().filter_map(listener));
    }
    found
}

/// `sl local_address rem_address st … inode`.
fn listener(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    if fields.nth(1)? != LISTENS {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some((u16::from_str_radix(port, 16).ok()?, inode))
}

/// Its listener, if any.
pub(crate) fn holder(port: u16) -> Option<Holder> {
    let (_, inode) = listening().into_iter().find(|(taken, _)| *taken == port)?;
    Some(Holder { process: owner_of(inode) })
}

fn owner_of(inode: u64) -> Option<(String, u32)> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        let mut open = open.into_iter().flatten().flatten();
        open.any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*socket))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((name.trim_end().to_owned(), pid))
}

/// The first port from this one on without a listener that is not `wanted` by another of ours.
///
/// # Errors
/// When there is none.
pub fn next_free(first: u16, wanted: &[u16]) -> Told<u16> {
    let taken = listening();
    (first..=u16::MAX)
        .find(|port| !wanted.contains(port) && taken.iter().all(|(taken, _)| taken != port))
        .ok_or_else(|| Refusal::unavailable(format!("no free port from {first} on.")))
}

/// Like [`next_free`], for another one than this.
pub(crate) fn next_after(port: u16, wanted: &[u16]) -> Told<u16> {
    next_free(port.checked_add(1).unwrap_or(1025), wanted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (_, pid) = holder(port).unwrap().process.unwrap();
        assert_eq!(pid, std::process::id());
        let next = next_free(port, &[]).unwrap();
        assert!(next > port);
        assert_ne!(next_free(port, &[next]).unwrap(), next);
        drop(socket);
        // A test beside this one may start a process, which has our sockets until it is what it should be.
        let deadline = Instant::now() + Duration::from_secs(10);
        while holder(port).is_some() {
            assert!(Instant::now() < deadline, "port {port} is still held");
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_who_listens_counts() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 \
                    0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(line), Some((8080, 4711)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue"), None);
    }
}
