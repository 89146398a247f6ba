//! The host names of a service.
//!
//! Any web page can point its own name at 127.0.0.1, and a browser then treats the service there as a part of the
//! page (DNS rebinding). The browser still sends that name as `Host`, so a service accepts only its own names:
//! those of this machine's loopback, the local address of a connection, and the names in `PUBLIC_HOSTS`.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::http::uri::Authority;
use tracing::warn;

use crate::config::Reader;

/// The setting that lists them.
pub const PUBLIC_HOSTS: &str = "PUBLIC_HOSTS";
/// The shortest time between two lines of the log about names that are not known.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// A service's own names.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// In lower case, without ports.
    public: Vec<Name>,
    told: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Address(IpAddr),
    Text(String),
}

/// Why a request is for another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// It has no `Host`, which HTTP/1.1 requires.
    NoHost,
    /// It names another host.
    Unknown,
}

impl Hosts {
    /// `PUBLIC_HOSTS`, and the host of `API_URL`, which the arena's own programs use.
    pub fn read(reader: &mut Reader<'_>) -> Hosts {
        let HostList(mut public) = reader.or(PUBLIC_HOSTS, HostList::default());
        let url = reader.raw("API_URL").unwrap_or_default();
        let authority = url
            .split_once("://")
            .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        public.extend(authority.and_then(Name::of));
        Hosts(Arc::new(Known { public, told: Mutex::default() }))
    }

    /// Whether a request is for this service: by the names in `Host` and in the request's target, if it has one,
    /// and by the local address of the connection.
    ///
    /// # Errors
    /// [`Stranger`]; a refused name is logged at most once a minute.
    pub fn admit<'a>(
        &self,
        target: Option<&str>,
        hosts: impl IntoIterator<Item = &'a [u8]>,
        came_to: Option<IpAddr>,
    ) -> Result<(), Stranger> {
        let mut asked = 0;
        for host in hosts {
            asked += 1;
            let text = std::str::from_utf8(host).unwrap_or_default();
            if text.is_empty() && asked == 1 && target.is_some() {
                continue;
            }
            self.know(text, came_to)?;
        }
        if asked > 1 {
            return Err(Stranger::Unknown);
        }
        match target {
            Some(target) => self.know(target, came_to),
            None if asked == 0 => Err(Stranger::NoHost),
            None => Ok(()),
        }
    }

    fn know(&self, authority: &str, came_to: Option<IpAddr>) -> Result<(), Stranger> {
        if authority.is_empty() {
            return Err(Stranger::NoHost);
        }
        let is_own = |name: &Name| match name {
            Name::Address(address) => {
                address.is_loopback() || came_to.is_some_and(|here| here.to_canonical() == *address)
            }
            Name::Text(name) => name == "localhost",
        };
        let name = Name::of(authority);
        if name.is_some_and(|name| is_own(&name) || self.0.public.contains(&name)) {
            return Ok(());
        }
        self.tell(authority);
        Err(Stranger::Unknown)
    }

    fn tell(&self, authority: &str) {
        let now = Instant::now();
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| now.duration_since(at) >= BETWEEN_LINES) {
            *told = Some(now);
            let host: String = authority.chars().take(100).collect();
            warn!(
                ?host,
                "a request for another host was refused; if that is a name of this service, add it to \
                 {PUBLIC_HOSTS}"
            );
        }
    }

    /// Warns at the start if other machines can connect and no name is configured.
    pub fn warn_if_nameless(&self, service: &str, listens_on: IpAddr) {
        if !listens_on.is_loopback() && self.0.public.is_empty() {
            warn!(
                service,
                address = %listens_on,
                "other machines can connect, and this service has no configured name: it accepts requests by \
                 address, and refuses those by a name. Set {PUBLIC_HOSTS} to its names"
            );
        }
    }
}

impl Name {
    /// Of a host with or without a port.
    fn of(authority: &str) -> Option<Name> {
        let parsed = Authority::from_str(authority).ok()?;
        if authority.contains('@') {
            return None;
        }
        let host = parsed.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Name::Address(address.to_canonical()));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        (!name.is_empty()).then(|| Name::Text(name.to_ascii_lowercase()))
    }
}

/// Names with commas in between, as the setting has them.
#[derive(Debug, Default)]
struct HostList(Vec<Name>);

impl FromStr for HostList {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<HostList, &'static str> {
        let name = |text: &str| {
            // An IPv6 address needs no brackets here.
            if let Ok(address) = text.parse::<IpAddr>() {
                return Ok(Name::Address(address.to_canonical()));
            }
            let plain = !text.contains(['*', '/']);
            Name::of(text).filter(|_| plain).ok_or(
                "must be names or addresses such as arena.example, with commas in between, without https:// \
                 and without *",
            )
        };
        text.split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(name)
            .collect::<Result<_, _>>()
            .map(HostList)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Sources;

    fn hosts(settings: &str) -> Hosts {
        let sources = Sources::from_parts(settings, []);
        let mut reader = Reader::new(&sources);
        let hosts = Hosts::read(&mut reader);
        reader.finish().unwrap();
        hosts
    }

    fn asked(hosts: &Hosts, host: &str) -> Result<(), Stranger> {
        hosts.admit(None, [host.as_bytes()], "192.0.2.5".parse().ok())
    }

    #[test]
    fn a_service_goes_by_its_own_names_alone() {
        let hosts = hosts(
            "PUBLIC_HOSTS=arena.example, 2001:db8::7,10.0.0.9\nAPI_URL=http://api:8000/base\n",
        );
        for own in [
            "127.0.0.1:8000",
            "127.0.0.53",
            "localhost",
            "LocalHost.:8000",
            "[::1]:8000",
            "[::ffff:127.0.0.1]",
            "192.0.2.5:8000",
            "arena.example",
            "Arena.Example:443",
            "arena.example.",
            "[2001:db8::7]:8000",
            "10.0.0.9",
            "api:8000",
        ] {
            assert_eq!(asked(&hosts, own), Ok(()), "{own}");
        }
        for other in [
            "evil.example",
            "arena.example.evil.example",
            "evil-arena.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "0.0.0.0:8000",
            "192.0.2.6",
            "[2001:db8::8]",
            "2130706433",
            "arena example",
            "ärena",
        ] {
            assert_eq!(asked(&hosts, other), Err(Stranger::Unknown), "{other}");
        }
        assert_eq!(asked(&hosts, ""), Err(Stranger::NoHost));
    }

    #[test]
    fn whoever_is_named_twice_must_be_known_twice() {
        let hosts = Hosts::default();
        let (ours, theirs) = ("127.0.0.1:8000", "evil.example");
        let admit = |target: Option<&str>, named: &[&str]| {
            hosts.admit(target, named.iter().map(|host| host.as_bytes()), None)
        };
        assert_eq!(admit(Some(ours), &[ours]), Ok(()));
        assert_eq!(admit(Some(ours), &[]), Ok(()));
        assert_eq!(admit(Some(ours), &[""]), Ok(()));
        assert_eq!(admit(None, &[]), Err(Stranger::NoHost));
        for (target, named) in [
            (Some(theirs), &[ours][..]),
            (Some(ours), &[theirs]),
            (Some(theirs), &[]),
            (None, &[ours, theirs]),
            (None, &[theirs, ours]),
            (None, &[ours, ours]),
        ] {
            let refused = admit(target, named);
            assert_eq!(refused, Err(Stranger::Unknown), "{target:?} {named:?}");
        }
    }

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        for bad in ["https://arena.example", "*", "*.example", "a b", "arena.example/path"] {
            assert!(bad.parse::<HostList>().is_err(), "{bad}");
        }
        assert!("".parse::<HostList>().unwrap().0.is_empty());
    }
}
