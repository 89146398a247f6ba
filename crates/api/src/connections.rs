//! How many connections there may be, and how long a client may leave one full.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use daemon::config::Reader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tracing::{debug, warn};

use crate::address::{Proxies, counted_as};

/// Open files of a process besides its clients' connections: pools, listeners, logs.
const OTHER_FILES: u64 = 256;
const TOTAL: usize = 10_000;
const PER_ADDRESS: usize = 1_000;
/// If the client has not read an answer for this long, it is not going to.
const STALL_SECONDS: u64 = 30;

/// The most connections of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of this process. Further ones wait until another one ends.
    pub total: usize,
    /// Of one address, trusted proxies excepted; `None` is no limit. Further ones are closed.
    pub per_address: Option<usize>,
    /// How long a client may read nothing before it is disconnected.
    pub stall: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            total: TOTAL,
            per_address: Some(PER_ADDRESS),
            stall: Duration::from_secs(STALL_SECONDS),
        }
    }
}

impl ConnectionLimits {
    pub(crate) fn read(reader: &mut Reader<'_>) -> ConnectionLimits {
        let each = reader.or_within("API_MAX_CONNECTIONS_PER_ADDRESS", PER_ADDRESS, 0..=1_000_000);
        ConnectionLimits {
            total: reader.or_within("API_MAX_CONNECTIONS", TOTAL, 1..=1_000_000),
            per_address: (each > 0).then_some(each),
            stall: Duration::from_secs(STALL_SECONDS),
        }
    }

    /// Raises the limit to this many open files, or returns an error.
    pub(crate) fn make_room(&self) {
        let needed = u64::try_from(self.total).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let Some(now) = current.filter(|now| *now < needed) else {
            return;
        };
        let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
        let raised = Rlimit { current: Some(wanted), maximum };
        let got = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => wanted,
            Err(_) => now,
        };
        if got < needed {
            warn!(
                open_files = got,
                needed,
                "the limit of open files is too low for API_MAX_CONNECTIONS: raise it (ulimit -n), \
                 or set fewer connections"
            );
        }
    }
}

/// The connections there are, by address.
#[derive(Clone)]
pub(crate) struct Doorman {
    limits: ConnectionLimits,
    proxies: Proxies,
    seats: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Doorman {
    pub(crate) fn new(limits: ConnectionLimits, proxies: &Proxies) -> Doorman {
        Doorman { limits, proxies: proxies.clone(), seats: Arc::default() }
    }

    /// Looks at a new connection. A connection over the limit of its address is closed at once:
    /// even an answer would delay earlier ones.
    pub(crate) fn meet(&self, connection: &TcpStream, extensions: &mut Extensions) {
        let socket = SockRef::from(connection);
        // Only the kernel knows for how long the peer has acknowledged nothing.
        if let Err(error) = socket.set_tcp_user_timeout(Some(self.limits.stall)) {
            debug!(%error, "a connection has no limit of stalling");
        }
        let Ok(peer) = connection.peer_addr() else {
            return;
        };
        match self.seat(peer.ip()) {
            Ok(seat) => {
                extensions.insert(seat);
            }
            Err(Full) => {
                debug!(client = %peer.ip(), "too many connections from one address");
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    pub(crate) fn seat(&self, peer: IpAddr) -> Result<Option<Seat>, Full> {
        let Some(limit) = self.limits.per_address else {
            return Ok(None);
        };
        if self.proxies.trusts(peer) {
            return Ok(None);
        }
        let address = counted_as(peer);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(address).or_default();
        if *taken >= limit {
            return Err(Full);
        }
        *taken += 1;
        Ok(Some(Seat { address, seats: Arc::clone(&self.seats) }))
    }
}

pub(crate) struct Full;

/// A connection's place under its address; free again when the connection is gone.
pub(crate) struct Seat {
    address: IpAddr,
    seats: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.address) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                seats.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn doorman(per_address: Option<usize>, trusted: &str) -> Doorman {
        let limits = ConnectionLimits { per_address, ..ConnectionLimits::default() };
        let proxies = Proxies { trusted: trusted.parse().unwrap(), ..Proxies::default() };
        Doorman::new(limits, &proxies)
    }

    #[test]
    fn a_seat_is_free_again_when_its_connection_is_gone() {
        let doorman = doorman(Some(2), "10.0.0.0/8");
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = doorman.seat(ip("2001:db8::1")).ok().unwrap();
        let _second = doorman.seat(ip("2001:db8::2")).ok().unwrap();
        assert!(doorman.seat(ip("2001:db8::3")).is_err(), "of the same /64");
        assert!(doorman.seat(ip("2001:db8:1::3")).is_ok());
        drop(first);
        let third = doorman.seat(ip("2001:db8::3")).ok().unwrap();
        assert!(third.is_some());
        let proxies: Vec<_> = (0..5).map(|_| doorman.seat(ip("10.1.1.1"))).collect();
        assert!(proxies.iter().all(|seat| matches!(seat, Ok(None))));
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let doorman = doorman(Some(1), "");
        for last in 1..100 {
            let seat = doorman.seat(IpAddr::from([192, 0, 2, last]));
            assert!(matches!(seat, Ok(Some(_))));
        }
        assert!(doorman.seats.lock().unwrap().is_empty());
    }
}
