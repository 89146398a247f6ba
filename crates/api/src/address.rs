//! The client address of a request: the peer of its connection, or the client named by trusted
//! proxies.
//!
//! Any client can write a forwarding header, so it is read only from the end, which a trusted proxy
//! wrote, and only as far as the named proxies are trusted. An unreadable part ends the search: the
//! request then counts as the last readable proxy's. It must never use a client's own claim.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use actix_web::{HttpMessage, HttpRequest};
use ipnet::IpNet;

/// Hops that are looked at, from the nearest on. More proxies in a row are a loop, or a lie.
const HOPS_MAX: usize = 16;
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The client of a request, as the server found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

/// The client: the result of [`Proxies::client`], else the peer.
pub(crate) fn of(req: &HttpRequest) -> Option<IpAddr> {
    let resolved = req.extensions().get::<Client>().map(|client| client.0);
    resolved.or_else(|| req.peer_addr().map(|peer| peer.ip().to_canonical()))
}

/// The network for counting an address: an owner of one IPv6 address usually has its whole /64.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    let [.., narrowest] = neighbourhoods(address);
    narrowest
}

/// The networks that an owner of this address may have: of IPv6 the /48, the /56 and the /64.
pub(crate) fn neighbourhoods(address: IpAddr) -> [IpAddr; 3] {
    match address.to_canonical() {
        IpAddr::V6(address) => [48, 56, 64].map(|prefix| {
            let host_bits = u128::MAX >> prefix;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host_bits))
        }),
        address @ IpAddr::V4(_) => [address; 3],
    }
}

/// Trusted proxies, and the one header they write. The others pass through them as clients wrote
/// them, and are therefore never looked at: not even where that one is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    pub trusted: Networks,
    pub header: ForwardingHeader,
}

/// Addresses and networks, written with commas in between: `10.0.0.0/8, ::1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// This machine alone.
    pub fn loopback() -> Networks {
        Networks(vec![
            IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8),
            IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        ])
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Which header trusted proxies append to, or set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    /// One address: set by a proxy, replacing the old value.
    XRealIp,
}

impl Proxies {
    /// The client's address of a request that came from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(self.header.name()).collect();
        let elements =
            lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for element in elements.take(self.header.hops_max()) {
            if !self.trusts(client) {
                break;
            }
            let Some(hop) =
                std::str::from_utf8(element).ok().and_then(|element| self.header.address(element))
            else {
                break;
            };
            client = hop;
        }
        client
    }

    /// Whether `peer` is a trusted proxy.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contain(peer)
    }
}

impl ForwardingHeader {
    const fn name(self) -> HeaderName {
        match self {
            ForwardingHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardingHeader::Forwarded => FORWARDED,
            ForwardingHeader::XRealIp => X_REAL_IP,
        }
    }

    const fn hops_max(self) -> usize {
        match self {
            ForwardingHeader::XForwardedFor | ForwardingHeader::Forwarded => HOPS_MAX,
            ForwardingHeader::XRealIp => 1,
        }
    }

    /// The address in one element of the header.
    fn address(self, element: &str) -> Option<IpAddr> {
        let node = match self {
            ForwardingHeader::XForwardedFor | ForwardingHeader::XRealIp => element,
            ForwardingHeader::Forwarded => element
                .split(';')
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
                .map(|(_, node)| node)?,
        };
        let node = node.trim();
        let node = node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node);
        address_of(node)
    }
}

/// An address, with or without a port, an IPv6 one with or without brackets.
fn address_of(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
    let address = match bare.parse() {
        Ok(address) => address,
        Err(_) => node.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

impl FromStr for Networks {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Networks, Self::Err> {
        let network = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address.to_canonical())),
            Err(_) => text.parse::<IpNet>().map_err(
                |_| "must be addresses or networks such as 10.0.0.0/8, with commas in between",
            ),
        };
        text.split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(network)
            .collect::<Result<_, _>>()
            .map(Networks)
    }
}

impl FromStr for ForwardingHeader {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ForwardingHeader, Self::Err> {
        [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded, ForwardingHeader::XRealIp]
            .into_iter()
            .find(|header| text.eq_ignore_ascii_case(header.name().as_str()))
            .ok_or("must be X-Forwarded-For, Forwarded or X-Real-IP")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::http::header::HeaderValue;

    use super::*;

    fn proxies(trusted: &str, header: ForwardingHeader) -> Proxies {
        Proxies { trusted: trusted.parse().unwrap(), header }
    }

    fn client(proxies: &Proxies, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(proxies.header.name(), value);
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn neighbours_in_a_64_share_their_limit() {
        let counted = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(counted("203.0.113.7"), "203.0.113.7");
        let around = neighbourhoods("2001:db8:1:2345:6::7".parse().unwrap());
        assert_eq!(
            around.map(|network| network.to_string()),
            ["2001:db8:1::", "2001:db8:1:2300::", "2001:db8:1:2345::"]
        );
    }

    #[test]
    fn only_what_a_trusted_proxy_vouches_for_is_believed() {
        let ours = proxies("10.0.0.0/8, ::1", ForwardingHeader::XForwardedFor);
        let cases: &[(&str, &[&str], &str)] = &[
            // A client's own claim is ignored.
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("203.0.113.7", &[], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // The client wrote the first one itself.
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            // Proxies all the way.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // With ports and brackets.
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            // What cannot be read is the nearest proxy's that could.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &[",,,"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.256"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1 198.51.100.2"], "10.0.0.1"),
            ("10.0.0.1", &["ä"], "10.0.0.1"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(&client(&ours, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_long_chain_of_proxies_is_followed_only_so_far() {
        let ours = proxies("10.0.0.0/8", ForwardingHeader::XForwardedFor);
        let many: Vec<_> =
            (0..10_000).map(|at| format!("10.0.{}.{}", at / 250, at % 250)).collect();
        let line = format!("198.51.100.1, {}", many.join(", "));
        assert_eq!(client(&ours, "10.0.0.1", &[&line]), "10.0.39.234");
    }

    #[test]
    fn the_standard_header_is_read_as_rfc_7239_writes_it() {
        let ours = proxies("10.0.0.0/8", ForwardingHeader::Forwarded);
        for (line, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("For=\"[2001:db8:cafe::17]:4711\";proto=http", "2001:db8:cafe::17"),
            ("proto=https;for=198.51.100.1;by=10.0.0.1", "198.51.100.1"),
            ("for=192.0.2.66, for=198.51.100.1:80", "198.51.100.1"),
            ("for=\"192.0.2.66, for=198.51.100.1", "198.51.100.1"),
            ("for=192.0.2.66, for=unknown", "10.0.0.1"),
            ("for=192.0.2.66, for=_hidden", "10.0.0.1"),
            ("by=192.0.2.66", "10.0.0.1"),
            ("198.51.100.1", "10.0.0.1"),
        ] {
            assert_eq!(client(&ours, "10.0.0.1", &[line]), expected, "{line}");
        }
    }

    #[test]
    fn only_the_header_that_the_proxies_write_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED, HeaderValue::from_static("for=192.0.2.66"));
        let ours = proxies("10.0.0.0/8", ForwardingHeader::XForwardedFor);
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(ours.client(peer, &headers), peer);
        assert_eq!("x-forwarded-for".parse(), Ok(ForwardingHeader::XForwardedFor));
        assert_eq!("Forwarded".parse(), Ok(ForwardingHeader::Forwarded));
        assert_eq!("X-Real-IP".parse(), Ok(ForwardingHeader::XRealIp));
        assert!("X-Client-IP".parse::<ForwardingHeader>().is_err());
    }

    #[test]
    fn x_real_ip_is_one_address_of_the_nearest_proxy_and_only_where_it_was_chosen() {
        let ours = proxies("10.0.0.0/8", ForwardingHeader::XRealIp);
        let cases: &[(&str, &[&str], &str)] = &[
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            // A proxy appends it after the client's value.
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
            // It is not a list: the author of the first one is unknown.
            ("10.0.0.1", &["192.0.2.66, 10.0.0.2"], "10.0.0.2"),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(&client(&ours, peer, lines), expected, "{peer} {lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(X_REAL_IP, HeaderValue::from_static("192.0.2.66"));
        for header in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded] {
            let peer = "10.0.0.1".parse().unwrap();
            let ours = proxies("10.0.0.0/8", header);
            assert_eq!(ours.client(peer, &headers), peer, "{header:?}");
        }
    }

    #[test]
    fn a_list_of_networks_is_read_whole_or_not_at_all() {
        for bad in ["10.0.0.0/33", "localhost", "10.0.0.1, somewhere", "10.0.0"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert_eq!("".parse(), Ok(Networks::default()));
        assert_eq!(" , ".parse(), Ok(Networks::default()));
        assert_eq!("::ffff:10.0.0.1".parse::<Networks>(), "10.0.0.1/32".parse::<Networks>());
    }
}
