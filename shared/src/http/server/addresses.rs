//! How much of a listener one address takes. The lock is taken when a connection comes and goes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::http::client::{ClientAddr, TrustedProxies, network};

/// Handshakes under way at once of one address: a quarter of all, so that who stalls its own leaves
/// room for others.
const HANDSHAKES: usize = 32;

/// The connections of each address that has one.
#[derive(Debug)]
pub(super) struct Addresses {
    limit: usize,
    trusted: TrustedProxies,
    open: Mutex<HashMap<IpAddr, Taken>>,
}

/// What an address takes.
#[derive(Debug)]
struct Taken {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

/// A connection that counts for its address until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    peer: IpAddr,
    /// None for a trusted proxy, behind which there are many.
    pub(super) handshakes: Option<Arc<Semaphore>>,
}

impl Addresses {
    pub(super) fn new(limit: usize, trusted: TrustedProxies) -> Arc<Self> {
        Arc::new(Self {
            limit,
            trusted,
            open: Mutex::default(),
        })
    }

    /// Counts a connection of `peer`, unless it has too many.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let handshakes = if self.trusted.trusts(peer) {
            None
        } else {
            Some(self.count(peer)?)
        };
        Some(Place {
            addresses: Arc::clone(self),
            peer,
            handshakes,
        })
    }

    fn count(&self, peer: IpAddr) -> Option<Arc<Semaphore>> {
        let mut open = self.open.lock();
        let taken = open.entry(network(peer)).or_insert_with(|| Taken {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        });
        if taken.connections >= self.limit {
            return None;
        }
        taken.connections += 1;
        Some(Arc::clone(&taken.handshakes))
    }
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    address: IpAddr,
    trusted: TrustedProxies,
}

impl Default for Peer {
    /// Nobody in particular.
    fn default() -> Self {
        Self {
            address: Ipv4Addr::UNSPECIFIED.into(),
            trusted: TrustedProxies::default(),
        }
    }
}

impl Peer {
    pub(super) fn is_proxy(&self) -> bool {
        self.trusted.trusts(self.address)
    }

    /// Whose request with these headers is.
    pub(super) fn client(&self, headers: &HeaderMap) -> ClientAddr {
        self.trusted.client(self.address, headers)
    }
}

impl Place {
    pub(super) fn peer(&self) -> Peer {
        Peer {
            address: self.peer,
            trusted: self.addresses.trusted.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.handshakes.is_none() {
            return;
        }
        let mut open = self.addresses.open.lock();
        let address = network(self.peer);
        if let Some(taken) = open.get_mut(&address) {
            taken.connections -= 1;
            if taken.connections == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Arc<Addresses> {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        Addresses::new(2, TrustedProxies::from(trusted))
    }

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let addresses = addresses();
        let enter = |peer: &str| addresses.enter(peer.parse().unwrap());
        let first = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(first.0.is_some() && first.1.is_some());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        assert!(addresses.open.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let addresses = addresses();
        let enter = |peer: &str| addresses.enter(peer.parse().unwrap());
        let _held = (enter("2001:db8::1"), enter("2001:db8::ffff:1"));
        assert!(enter("2001:db8::2").is_none());
        assert!(enter("2001:db8:0:1::2").is_some());
    }

    #[test]
    fn trusted_proxies_have_no_bound_of_their_own() {
        let addresses = addresses();
        let held: Vec<_> = (0..9)
            .map(|_| addresses.enter("10.1.1.1".parse().unwrap()))
            .collect();
        assert!(held.iter().all(Option::is_some));
    }
}
