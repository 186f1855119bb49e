//! `[server]` and `[admin]`: what the service listens on.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Key, Source};

/// The public listener, whose default differs by service.
pub const fn server_listen(default: &'static str) -> Key<SocketAddr> {
    Key::new(
        "server.listen",
        default,
        "Address of the public port; port 0 takes a free one. `PORT` in the environment replaces \
         its port.",
    )
}

/// The admin listener, whose default differs by service.
pub const fn admin_listen(default: &'static str) -> Key<SocketAddr> {
    Key::new(
        "admin.listen",
        default,
        "Address of the admin port: `/livez`, `/readyz`, `/metrics`. It asks for no credentials and \
         stays on loopback: for balancers and Prometheus, pass `/readyz` and `/metrics` on by a \
         proxy of yours.",
    )
}

/// How many clients may be connected.
pub const SERVER_CONNECTIONS: Key<NonZeroU32> = Key::new(
    "server.connections",
    "10000",
    "Open connections; one more is answered 503. Each idle one costs about 20 KiB and a file \
     descriptor: the hard limit of open files less 512 (at least half of it) is the most, said at \
     the start. Lower refuses clients earlier, higher needs memory and `ulimit -Hn`.",
)
.range("1", "1000000");

/// How long sending the header of a request may take.
pub const SERVER_HEADER_TIMEOUT: Key<Duration> = Key::new(
    "server.header_timeout",
    "5s",
    "Longest time from the first byte of a request to the end of its header; of the first \
     request, from the opening of the connection. Lower cuts clients on bad networks; higher lets \
     slow ones hold connections.",
)
.range("100ms", "5m");

/// How long a connection may stay without a request.
pub const SERVER_KEEP_ALIVE_IDLE: Key<Duration> = Key::new(
    "server.keep_alive_idle",
    "75s",
    "Longest time between two requests of a connection. Lower makes clients connect again, and \
     lets one run into a connection that is just closing; higher keeps idle ones open.",
)
.range("1s", "1h");

/// How long a client may take nothing of its answer.
///
/// # Source
/// nginx's `send_timeout`, between two writes too.
pub const SERVER_WRITE_IDLE: Key<Duration> = Key::new(
    "server.write_idle",
    "60s",
    "Longest time between two writes that a connection takes of an answer; it is then closed. \
     Lower cuts clients on bad networks; higher lets those who do not read hold exports and places of the live stream.",
)
.range("100ms", "1h");

/// The public port.
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig {
    /// See [`server_listen`].
    pub listen: SocketAddr,
    /// See [`SERVER_CONNECTIONS`].
    pub connections: NonZeroU32,
    /// See [`SERVER_HEADER_TIMEOUT`].
    pub header_timeout: Duration,
    /// See [`SERVER_KEEP_ALIVE_IDLE`].
    pub keep_alive_idle: Duration,
    /// See [`SERVER_WRITE_IDLE`].
    pub write_idle: Duration,
}

impl ServerConfig {
    /// Reads the section; `listen` is the service's own [`server_listen`].
    pub fn read(source: &mut Source, listen: &Key<SocketAddr>) -> Self {
        let mut address = source.get(listen);
        if let Some(port) = source.plain_port(listen.name) {
            address.set_port(port);
        }
        Self {
            listen: address,
            connections: source.get(&SERVER_CONNECTIONS),
            header_timeout: source.get(&SERVER_HEADER_TIMEOUT),
            keep_alive_idle: source.get(&SERVER_KEEP_ALIVE_IDLE),
            write_idle: source.get(&SERVER_WRITE_IDLE),
        }
    }
}

/// The admin port.
#[derive(Debug, Clone, Copy)]
pub struct AdminConfig {
    /// See [`admin_listen`].
    pub listen: SocketAddr,
}

impl AdminConfig {
    /// Reads the section; `listen` is the service's own [`admin_listen`].
    pub fn read(source: &mut Source, listen: &Key<SocketAddr>) -> Self {
        Self {
            listen: source.get(listen),
        }
    }
}
