//! The connection loop: accepts, bounds, serves and drains HTTP connections.
//!
//! Hot path: ingest answers 50,000 requests/s through it. Forbidden here: an allocation or a task
//! per request beyond hyper's own, logs above debug, locks shared between connections.

use std::error::Error;
use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;

use crate::config::{AuthMode, ServerConfig};
use crate::shutdown::Shutdown;

use addresses::Addresses;
use connection::Connections;
use open::Opening;

mod accept;
mod addresses;
mod connection;
mod deadline;
mod exchange;
mod io;
mod listener;
mod metrics;
mod open;
mod refuse;
mod request;
mod service;
mod transport;
mod unread;

pub use exchange::Exchange;
pub use listener::Listener;
pub use request::{Connection, RequestBody};

/// What one listener may cost.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// The listener's name in metrics.
    pub name: &'static str,
    /// Open connections; one more is answered 503 and closed, which tells the client more than a
    /// place in the kernel's queue would.
    pub connections: usize,
    /// Of them, those of one address, or of one network of IPv6; trusted proxies may have them all.
    pub connections_per_address: usize,
    /// Longest time from the first byte of a request to the end of its header; of the first
    /// request, from the opening of the connection.
    pub header_timeout: Duration,
    /// Longest time between two requests.
    pub keep_alive_idle: Duration,
    /// The same until a connection has shown a valid credential ([`Connection::note_credential`]),
    /// where one is asked for.
    pub stranger_idle: Duration,
    /// Longest time in which a client takes nothing of an answer that waits to be sent: between two
    /// writes, whatever the answer's size. In HTTP/2, for each answer by itself.
    pub write_idle: Duration,
    /// Bytes of a request's header, start line included; also the header list of HTTP/2.
    pub header_bytes: usize,
    /// Bytes that one HTTP/1 connection may hold in each direction: read and not yet handed on,
    /// taken from an answer and not yet sent. One that is about to be full still takes a whole
    /// chunk of an answer. More than `header_bytes`.
    pub buffer_bytes: usize,
    /// Whether a client that has closed its side after a request (`nc -N`) is answered. One that has
    /// gone for good looks the same: so not for listeners with endless answers.
    pub half_close: bool,
    /// HTTP/2 on the same port, without TLS and with prior knowledge (h2c): the first bytes of a
    /// connection decide. With TLS the handshake does, and this says nothing.
    pub http2: bool,
}

/// How long who has shown no credential yet may be idle, where one is asked for.
const STRANGER_IDLE: Duration = Duration::from_secs(5);

impl ServerLimits {
    /// What is configured for a public port.
    pub fn public(config: &ServerConfig, auth: AuthMode) -> Self {
        let stranger_idle = match auth {
            AuthMode::Open => config.keep_alive_idle,
            AuthMode::Keys => STRANGER_IDLE,
        };
        let count = |count: NonZeroU32| usize::try_from(count.get()).unwrap_or(usize::MAX);
        Self {
            connections: count(config.connections),
            connections_per_address: count(config.connections_per_address),
            header_timeout: config.header_timeout,
            keep_alive_idle: config.keep_alive_idle,
            stranger_idle,
            write_idle: config.write_idle,
            ..Self::named("public")
        }
    }

    /// What a listener of this name costs unless it is told otherwise: the defaults of
    /// docs/CONFIGURATION.md.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            connections: 10_000,
            connections_per_address: 2_500,
            header_timeout: Duration::from_secs(5),
            keep_alive_idle: Duration::from_secs(75),
            stranger_idle: Duration::from_secs(75),
            write_idle: Duration::from_secs(60),
            header_bytes: 16 * 1024,
            buffer_bytes: 32 * 1024,
            half_close: false,
            http2: false,
        }
    }
}

/// A handler of requests: any cloneable `Fn(Request) -> Future<Output = Response>`.
///
/// The clone is made once per connection; the future is hyper's to poll, unboxed.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
    /// The answer under way.
    type Answer: Future<Output = Response<Self::Body>> + Send + 'static;
    /// Answers one request.
    fn answer(&self, request: Request<RequestBody>) -> Self::Answer;
}

impl<F, A, B> Handler for F
where
    F: Fn(Request<RequestBody>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;
    type Answer = A;

    fn answer(&self, request: Request<RequestBody>) -> A {
        self(request)
    }
}

/// Serves HTTP on a bound listener until the shutdown; then stops accepting, finishes the requests
/// under way, and cuts what is left after `grace`: connections, and requests of HTTP/2 connections.
/// Returns how many it cut.
///
/// Errors of single connections and of accepting are counted; none ends the loop.
pub async fn serve<H: Handler>(
    listener: impl Into<Listener>,
    limits: ServerLimits,
    handler: H,
    shutdown: Shutdown,
    grace: Duration,
) -> usize {
    let Listener { tcp, tls, trusted } = listener.into();
    let addresses = Addresses::new(limits.connections_per_address, trusted);
    let opening = Opening::new(tls, limits.http2);
    let connections = Connections::new(limits, (addresses, opening), handler, shutdown.clone());
    accept::run(&tcp, &connections, &shutdown).await;
    // A client that still connects is refused by the kernel, and turns to another instance.
    drop(tcp);
    connections.drain(grace).await
}
