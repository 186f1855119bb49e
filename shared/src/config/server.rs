//! `[server]`: the public port.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Source;
use super::reach::{self, AuthMode, Plaintext};
use crate::tls::{CERT_FILE, KEY_FILE, Pair, TlsFiles};

crate::config_section! {
    /// The public port.
    pub struct ServerConfig: keys(source, listen_default: &'static str) in "server" {
        /// Open connections; one more is answered 503. Each idle one costs about 20 KiB and a file
        /// descriptor: the hard limit of open files less 512 (at least half of it) is the most,
        /// said at the start. Lower refuses clients earlier, higher needs memory and `ulimit -Hn`.
        connections: NonZeroU32 = "10000", "1"..="1000000";
        /// Open connections of one address; one more is answered 503, or closed where TLS is spoken.
        /// All addresses of an IPv6 /64 are one, and `server.trusted_proxies` are exempt. Lower keeps
        /// more for others; clients behind one address share it.
        connections_per_address: NonZeroU32 = "2500", "1"..="1000000";
        /// Proxies in front, as addresses or networks. The client of a request that they pass on is
        /// the last address of `X-Forwarded-For` that is none of them; of others that header counts
        /// for nothing. With `server.plaintext = "behind_proxy"` they have to be named.
        trusted_proxies: Vec<IpNet> = "";
        /// Longest time from the first byte of a request to the end of its header; of the first
        /// request, from the opening of the connection. Lower cuts clients on bad networks; higher
        /// lets slow ones hold connections.
        header_timeout: Duration = "5s", "100ms"..="5m";
        /// Longest time between two requests of a connection; 5 s at most with `auth.mode = "keys"`,
        /// until it has shown a valid credential. Lower makes clients connect again,
        /// and lets one run into a connection that is just closing; higher keeps idle ones open.
        keep_alive_idle: Duration = "75s", "1s"..="1h";
        // nginx's `send_timeout`, between two writes too.
        /// Longest time between two writes that a connection takes of an answer; it is then closed.
        /// Lower cuts clients on bad networks; higher lets those who do not read hold exports and
        /// places of the live stream.
        write_idle: Duration = "60s", "100ms"..="1h";
        /// Address of the public port; port 0 takes a free one. `PORT` in the environment replaces
        /// its port.
        listen: SocketAddr = listen_default;
        /// PEM file of the public port's certificate, the service's own one first, then those that
        /// lead to an authority; turns TLS on (1.2 and 1.3, with HTTP/2 where the client can). Looked
        /// at every 10 s: a renewed pair is shown from then on, a bad one is reported and the old one
        /// stays.
        cert_file["server.tls.cert_file"]: Option<PathBuf> = "";
        /// PEM file of its private key, without a password: RSA, ECDSA or Ed25519.
        key_file["server.tls.key_file"]: Option<PathBuf> = "";
        /// Where plain HTTP may be spoken, without `server.tls`: on `loopback` addresses, or on any
        /// `behind_proxy`, where a proxy speaks TLS in front and nobody else can connect. Keys cross
        /// the network in plain text otherwise.
        plaintext: Plaintext = "loopback";
    } with {
        /// What is spoken TLS with, from those files.
        tls: Option<TlsConfig> = None;
    }
}

/// A certificate, and where it came from.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Where renewed ones will lie.
    pub files: TlsFiles,
    /// What lay there at the start.
    pub pair: Pair,
}

impl ServerConfig {
    /// Reads the section of a service that listens at `listen_default` by itself.
    pub fn read(source: &mut Source, listen_default: &'static str, auth: AuthMode) -> Self {
        const LISTEN: &str = "server.listen";
        let mut config = Self::keys(source, listen_default);
        if let Some(port) = source.plain_port(LISTEN) {
            config.listen.set_port(port);
        }
        let asks_tls = config.cert_file.is_some() || config.key_file.is_some();
        let is_protected = asks_tls || config.plaintext == Plaintext::BehindProxy;
        let needs = (is_protected, reach::PUBLIC);
        reach::check(source, LISTEN, config.listen, auth, needs);
        if config.plaintext == Plaintext::BehindProxy
            && !config.listen.ip().is_loopback()
            && config.trusted_proxies.is_empty()
        {
            source.problem(
                "server.trusted_proxies",
                "is empty, so that all who come through the proxy count as one client: name the \
                 proxy's address or network",
            );
        }
        config.tls = config.read_tls(source);
        config
    }

    fn read_tls(&self, source: &mut Source) -> Option<TlsConfig> {
        let (cert, key) = match (self.cert_file.clone(), self.key_file.clone()) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return None,
            (Some(_), None) => {
                source.problem(CERT_FILE, format!("is set without {KEY_FILE}: set both"));
                return None;
            }
            (None, Some(_)) => {
                source.problem(KEY_FILE, format!("is set without {CERT_FILE}: set both"));
                return None;
            }
        };
        let files = TlsFiles { cert, key };
        match files.load() {
            Ok(pair) => Some(TlsConfig { files, pair }),
            Err(error) => {
                source.problem(error.key(), error.to_string());
                None
            }
        }
    }
}
