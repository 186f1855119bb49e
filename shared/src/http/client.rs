//! Which address a request comes from. Pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of a client, as far as it is known: that of the other end of its connection, or what
/// a trusted proxy there says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

/// The proxies whose `X-Forwarded-For` counts; clones share the list.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl From<Vec<IpNet>> for TrustedProxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }
}

impl TrustedProxies {
    /// Whether what is said at this address counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request came from `peer` with these headers: the last address that no trusted proxy is.
    /// Each proxy adds, at the end, whom it was asked by, so what stands before that address is what
    /// its client says of itself. What cannot be read ends the search at the proxy that sent it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut said = values.flat_map(|value: &HeaderValue| {
            let value = value.to_str().unwrap_or_default();
            value.rsplit(',').map(|one| address(one.trim()))
        });
        while self.trusts(client)
            && let Some(Some(before)) = said.next()
        {
            client = before;
        }
        ClientAddr(client)
    }
}

/// What stands for all addresses of one client: of IPv6 a /64, which is the least that anybody gets.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Reads an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = alone.unwrap_or(text).parse();
    let address = address.or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.1.2.3";

    fn client(peer: &str, headers: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let proxies = TrustedProxies::from(Vec::from(networks));
        let values = headers.iter().map(|value| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (FORWARDED_FOR, value)
        });
        let headers = values.collect();
        let ClientAddr(address) = proxies.client(peer.parse().unwrap(), &headers);
        address.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client(PROXY, &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("2001:db8::1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(PROXY, &[]), PROXY);
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts_whatever_a_client_writes_before_it() {
        let table: [(&[&str], &str); 8] = [
            (&["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            (&["1.1.1.1", "198.51.100.1 ,10.9.9.9"], "198.51.100.1"),
            (&["10.5.5.5, 10.9.9.9"], "10.5.5.5"),
            (&["1.1.1.1, unknown"], PROXY),
            (&["1.1.1.1, unknown, 10.9.9.9"], "10.9.9.9"),
            (&["1.1.1.1, 198.51.100.1:4711"], "198.51.100.1"),
            (
                &["1.1.1.1, [2001:dba::7]:4711, [2001:db8::9]"],
                "2001:dba::7",
            ),
        ];
        for (headers, expected) in table {
            assert_eq!(client(PROXY, headers), expected, "{headers:?}");
        }
        assert_eq!(client(PROXY, &["1.1.1.1, \u{e4}"]), PROXY);
    }
}
