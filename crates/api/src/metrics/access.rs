//! Access to `GET /metrics`: by the token, if one is set, else for clients that are certainly in
//! the operator's network.
//!
//! Behind a proxy every client has the proxy's address. If the proxy is declared, the client that it names
//! decides; if it names none, access is refused. An undeclared proxy is recognised by its traces on a request, if
//! there are any. Against one that leaves nothing only the token helps.

use std::net::IpAddr;

use actix_web::http::Version;
use actix_web::http::header::HeaderMap;
use daemon::config::Reader;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::address::{Networks, Proxies};
use crate::auth;
use crate::error::ApiError;
use crate::keys::sha256;

/// Headers that proxies add, besides everything that begins with [`X_FORWARDED`].
const TRACES: [&str; 7] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-original-forwarded-for",
    "true-client-ip",
    "cf-connecting-ip",
];
const TOKEN_MIN_CHARS: usize = 24;
const X_FORWARDED: &str = "x-forwarded-";

/// Access to metrics.
#[derive(Clone)]
pub struct MetricsAccess {
    /// Clients there have access, unless there is a token.
    pub operators: Networks,
    /// Clients with it have access from anywhere, and no others.
    pub token: Option<SecretString>,
}

impl MetricsAccess {
    pub(crate) fn read(reader: &mut Reader<'_>) -> MetricsAccess {
        MetricsAccess {
            operators: reader.or("OPERATOR_NETWORKS", Networks::loopback()),
            token: reader.optional_secret("METRICS_TOKEN", TOKEN_MIN_CHARS),
        }
    }

    /// Accepts a request with the token or, if none is set, from a client that is certainly in the operator's
    /// network. Otherwise the error says what is missing.
    pub(crate) fn admit(
        &self,
        proxies: &Proxies,
        peer: Option<IpAddr>,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        if let Some(token) = &self.token {
            return shown(token, headers);
        }
        let refused = |detail| Err(ApiError::forbidden(detail));
        let Some(peer) = peer else {
            return refused("Metrics are for the operator's network (OPERATOR_NETWORKS).");
        };
        if !proxies.trusts(peer) && is_forwarded(version, headers) {
            return refused(
                "Metrics are for the operator's network (OPERATOR_NETWORKS), and this request came \
                 through a proxy that is not declared (TRUSTED_PROXIES).",
            );
        }
        let client = proxies.client(peer, headers);
        if proxies.trusts(client) {
            return refused(
                "Metrics are for the operator's network (OPERATOR_NETWORKS), and a proxy's address \
                 (TRUSTED_PROXIES) does not identify the client. METRICS_TOKEN would.",
            );
        }
        if self.operators.contain(client) {
            Ok(())
        } else {
            refused("Metrics are for the operator's network (OPERATOR_NETWORKS).")
        }
    }
}

fn shown(token: &SecretString, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = auth::bearer(headers).ok().flatten().unwrap_or_default();
    let expected = sha256(token.expose_secret().as_bytes());
    if sha256(given.as_bytes()).ct_eq(&expected).into() {
        Ok(())
    } else {
        Err(ApiError::unauthorized("Metrics need `Authorization: Bearer <METRICS_TOKEN>`."))
    }
}

/// Whether the request has traces of a proxy. HTTP/1.0 is one: scrapers use newer versions, and
/// nginx passes requests on with 1.0 unless `proxy_http_version` is set.
fn is_forwarded(version: Version, headers: &HeaderMap) -> bool {
    version < Version::HTTP_11
        || headers.keys().any(|name| {
            let name = name.as_str();
            name.starts_with(X_FORWARDED) || TRACES.contains(&name)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::address::ForwardingHeader;

    const TOKEN: &str = "the-token-that-prometheus-shows";

    fn access(operators: &str, token: Option<&str>) -> MetricsAccess {
        MetricsAccess {
            operators: operators.parse().unwrap(),
            token: token.map(SecretString::from),
        }
    }

    fn proxies(trusted: &str, header: ForwardingHeader) -> Proxies {
        Proxies { trusted: trusted.parse().unwrap(), header }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    /// The status of the answer.
    fn status(
        access: &MetricsAccess,
        proxies: &Proxies,
        peer: &str,
        version: Version,
        lines: &[(&'static str, &str)],
    ) -> u16 {
        let peer = Some(peer.parse().unwrap());
        match access.admit(proxies, peer, version, &headers(lines)) {
            Ok(()) => 200,
            Err(error) => error.kind().facts().status,
        }
    }

    #[test]
    fn what_came_through_a_proxy_that_is_not_declared_is_refused_by_any_trace_of_it() {
        let local = access("127.0.0.0/8, ::1", None);
        let nobody = Proxies::default();
        let asked = |peer, version, lines: &[(&'static str, &str)]| {
            status(&local, &nobody, peer, version, lines)
        };
        let ordinary = [("host", "127.0.0.1:8000"), ("user-agent", "Prometheus/3.5")];
        assert_eq!(asked("127.0.0.1", Version::HTTP_11, &ordinary), 200);
        assert_eq!(asked("::1", Version::HTTP_11, &ordinary), 200);
        assert_eq!(asked("::ffff:127.0.0.1", Version::HTTP_11, &[]), 200);
        assert_eq!(asked("203.0.113.7", Version::HTTP_11, &ordinary), 403);
        // nginx, as it comes.
        assert_eq!(asked("127.0.0.1", Version::HTTP_10, &ordinary), 403);
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", ""),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "arena.example"),
            ("forwarded", "for=127.0.0.1"),
            ("forwarded", "for=unknown"),
            ("via", "1.1 somebody"),
            ("x-real-ip", "127.0.0.1"),
            ("x-client-ip", "127.0.0.1"),
            ("x-original-forwarded-for", "127.0.0.1"),
            ("true-client-ip", "127.0.0.1"),
            ("cf-connecting-ip", "127.0.0.1"),
        ] {
            let status = asked("127.0.0.1", Version::HTTP_11, &[(name, value)]);
            assert_eq!(status, 403, "{name}: {value}");
        }
    }

    #[test]
    fn a_declared_proxy_that_does_not_say_who_asks_is_refused_and_not_taken_for_the_client() {
        use ForwardingHeader::{Forwarded, XForwardedFor, XRealIp};
        // The proxy is in the operator's network, as one on the same machine is.
        let local = access("127.0.0.0/8, 198.51.100.0/24", None);
        type Case<'a> = (ForwardingHeader, &'a [(&'static str, &'a str)], u16);
        let cases: &[Case<'_>] = &[
            (XForwardedFor, &[], 403),
            (XForwardedFor, &[("x-forwarded-for", "")], 403),
            (XForwardedFor, &[("x-forwarded-for", "unknown")], 403),
            (XForwardedFor, &[("x-forwarded-for", "_hidden")], 403),
            (XForwardedFor, &[("x-forwarded-for", "198.51.100.7, unknown")], 403),
            // A proxy's address does not identify the client behind it.
            (XForwardedFor, &[("x-forwarded-for", "127.0.0.1")], 403),
            (XForwardedFor, &[("x-forwarded-for", "unknown, 127.0.0.1")], 403),
            (XForwardedFor, &[("x-forwarded-for", "203.0.113.7")], 403),
            (XForwardedFor, &[("x-forwarded-for", "198.51.100.7, 203.0.113.7")], 403),
            (XForwardedFor, &[("x-forwarded-for", "198.51.100.7")], 200),
            (XForwardedFor, &[("x-forwarded-for", "203.0.113.7, 198.51.100.7")], 200),
            // Other headers came from the client.
            (XForwardedFor, &[("forwarded", "for=198.51.100.7")], 403),
            (XForwardedFor, &[("x-real-ip", "198.51.100.7")], 403),
            (Forwarded, &[], 403),
            (Forwarded, &[("forwarded", "for=unknown")], 403),
            (Forwarded, &[("forwarded", "for=_hidden")], 403),
            (Forwarded, &[("forwarded", "for=\"_hidden:4711\"")], 403),
            (Forwarded, &[("forwarded", "for=198.51.100.7, for=unknown")], 403),
            (Forwarded, &[("forwarded", "proto=https")], 403),
            (Forwarded, &[("x-forwarded-for", "198.51.100.7")], 403),
            (Forwarded, &[("forwarded", "for=198.51.100.7")], 200),
            (XRealIp, &[], 403),
            (XRealIp, &[("x-real-ip", "unknown")], 403),
            (XRealIp, &[("x-real-ip", "127.0.0.1")], 403),
            (XRealIp, &[("x-real-ip", "203.0.113.7")], 403),
            (XRealIp, &[("x-forwarded-for", "198.51.100.7")], 403),
            (XRealIp, &[("x-real-ip", "198.51.100.7")], 200),
        ];
        for (header, lines, expected) in cases {
            let declared = proxies("127.0.0.1", *header);
            // The proxy's HTTP version says nothing about its client.
            for version in [Version::HTTP_10, Version::HTTP_11] {
                let status = status(&local, &declared, "127.0.0.1", version, lines);
                assert_eq!(status, *expected, "{header:?} {lines:?} {version:?}");
            }
        }
        // Other clients of the operator's network still connect directly.
        let declared = proxies("127.0.0.1", XForwardedFor);
        assert_eq!(status(&local, &declared, "127.0.0.2", Version::HTTP_11, &[]), 200);
        let nowhere = local.admit(&declared, None, Version::HTTP_11, &HeaderMap::new());
        assert!(matches!(nowhere, Err(ApiError::Told(api_types::ProblemKind::Forbidden, _))));
    }

    #[test]
    fn where_there_is_a_token_it_alone_decides() {
        let guarded = access("127.0.0.0/8", Some(TOKEN));
        let right: &str = &format!("Bearer {TOKEN}");
        let longer: &str = &format!("Bearer {TOKEN}x");
        let basic: &str = &format!("Basic {TOKEN}");
        let cases: &[(&[(&'static str, &str)], u16)] = &[
            (&[("authorization", right)], 200),
            (&[("authorization", right), ("x-forwarded-for", "unknown")], 200),
            (&[], 401),
            (&[("authorization", longer)], 401),
            (&[("authorization", basic)], 401),
            (&[("authorization", TOKEN)], 401),
            (&[("authorization", "Bearer ")], 401),
            (&[("authorization", "ä")], 401),
        ];
        for peer in ["127.0.0.1", "203.0.113.7"] {
            for trusted in ["", "127.0.0.1"] {
                let declared = proxies(trusted, ForwardingHeader::XForwardedFor);
                for (lines, expected) in cases {
                    let status = status(&guarded, &declared, peer, Version::HTTP_10, lines);
                    assert_eq!(status, *expected, "{peer} {trusted} {lines:?}");
                }
            }
        }
    }
}
