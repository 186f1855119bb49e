//! What is served: a bound port, and what is spoken on it.

use tokio::net::TcpListener;

use crate::http::client::TrustedProxies;
use crate::tls::Tls;

/// A bound port, plain or with TLS.
#[derive(Debug)]
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
    pub(super) trusted: TrustedProxies,
}

impl From<TcpListener> for Listener {
    /// Speaks plain HTTP.
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            tls: None,
            trusted: TrustedProxies::default(),
        }
    }
}

impl Listener {
    /// Speaks TLS instead, with HTTP/2 where the client can.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Believes these proxies whose requests they pass on.
    #[must_use]
    pub fn trusting(mut self, trusted: TrustedProxies) -> Self {
        self.trusted = trusted;
        self
    }
}
