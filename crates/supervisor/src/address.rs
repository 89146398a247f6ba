//! The URL of a server, taken apart.

use daemon::process::Refusal;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::Told;

/// Parameters that the services do not support: other clients would use them, and a password would be revealed.
const REFUSED: [&str; 4] = ["sslpassword", "sslkey", "sslcert", "passfile"];

/// A server's address, and its user. Of a URL of Postgres or Redis.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub(crate) scheme: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) is_pooled: bool,
}

impl ServerUrl {
    /// Takes the text apart. An error does not show its value.
    pub(crate) fn parse(setting: &str, text: &str, default_port: u16) -> Told<ServerUrl> {
        let form = format!("scheme://user:password@host:{default_port}/name");
        let parsed = Url::parse(text).ok();
        let named = parsed.and_then(|url| {
            let host = match url.host()? {
                Host::Ipv6(address) => address.to_string(),
                other => other.to_string(),
            };
            (!host.is_empty()).then_some((url, host))
        });
        let Some((url, host)) = named else {
            return Err(Refusal::config(format!(
                "{setting} is not a URL such as {form} (percent-encode @ : / in a password)."
            )));
        };
        let parameters: Vec<&str> = url.query().unwrap_or_default().split('&').collect();
        let has = |name: &str| {
            let mut names = parameters.iter().map(|pair| pair.split('=').next());
            names.any(|known| known == Some(name))
        };
        if has("password") {
            return Err(Refusal::config(format!(
                "{setting} has a password after its question mark. Write it before the @, as in {form}."
            )));
        }
        if let Some(name) = REFUSED.into_iter().find(|name| has(name)) {
            return Err(Refusal::config(format!(
                "{setting} has {name} after its question mark, which is not supported. Remove it; the \
                 password stands before the @."
            )));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Ok(ServerUrl {
            scheme: url.scheme().to_owned(),
            user: decoded(url.username()),
            password: decoded(url.password().unwrap_or_default()),
            host,
            port: url.port().unwrap_or(default_port),
            database: decoded(url.path().trim_start_matches('/')),
            is_pooled: parameters.contains(&"pooler=transaction"),
        })
    }
}

/// Host and port for a URL, where IPv6 needs brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where to reach who listens on that address; for a wildcard that is the loopback.
pub(crate) fn connectable(host: &str) -> String {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
        _ => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let refusal = ServerUrl::parse("X", url, 5432).err().unwrap();
        assert_eq!(refusal.exit_code(), 78);
        let refusal = refusal.to_string();
        assert!(!refusal.contains("hunter2"), "{refusal}");
        refusal
    }

    #[test]
    fn a_url_is_taken_apart() {
        let url = "postgres://us%20er:p%40s%2Fs%5C@[::1]:77/d%20b?sslmode=verify-full&sslrootcert=/my%20ca.pem";
        let url = ServerUrl::parse("X", url, 5432).unwrap();
        let found = (&*url.user, &*url.password, &*url.host, url.port, &*url.database);
        assert_eq!(found, ("us er", "p@s/s\\", "::1", 77, "d b"));
        assert!(!url.is_pooled);
        let url = ServerUrl::parse("X", "redis://:p%22s!%5Cx$@h?pooler=transaction", 6379).unwrap();
        assert_eq!((&*url.user, &*url.password, url.port), ("", "p\"s!\\x$", 6379));
        assert!(url.is_pooled);
    }

    #[test]
    fn what_is_none_is_refused_without_its_value() {
        assert!(refused("postgres//a:hunter2@h").contains("X is not a URL"));
        assert!(refused("hunter2").contains("X is not a URL"));
        assert!(refused("postgres://a:b@h/d?password=hunter2").contains("after its question mark"));
        for name in REFUSED {
            let said = refused(&format!("postgres://a:b@h/d?sslmode=require&{name}=hunter2"));
            assert!(said.contains(name), "{said}");
        }
    }

    #[test]
    fn a_wildcard_is_reached_by_the_loopback() {
        let reached = |host: &str| authority(&connectable(host), 8000);
        assert_eq!(reached("0.0.0.0"), "127.0.0.1:8000");
        for wildcard in ["::", "[::]", "0:0:0:0:0:0:0:0"] {
            assert_eq!(reached(wildcard), "[::1]:8000");
        }
        assert_eq!(reached("::1"), "[::1]:8000");
        assert_eq!(reached("127.0.0.2"), "127.0.0.2:8000");
    }
}
