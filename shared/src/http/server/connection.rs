//! One connection, from its first byte to its last answer.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::addresses::{Addresses, Place};
use super::deadline::{Activity, Overdue};
use super::io::WatchedIo;
use super::metrics::{Closed, Refused, ServerMetrics};
use super::open::{Opened, Opening};
use super::service::service;
use super::unread::Discards;
use super::{Handler, ServerLimits, refuse, transport};
use crate::shutdown::Shutdown;
use crate::tasks::{Spawner, TaskPool};

/// Refusals under way at once; they are short, and cost a descriptor each.
const REFUSALS: usize = 128;

/// Time for an idle connection to take its leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections<H> {
    shared: Arc<Shared<H>>,
    addresses: Arc<Addresses>,
    open: TaskPool,
    refusals: TaskPool,
}

#[derive(Debug)]
struct Shared<H> {
    handler: H,
    shutdown: Shutdown,
    metrics: ServerMetrics,
    limits: ServerLimits,
    opening: Opening,
    discards: Arc<Discards>,
    http1: http1::Builder,
    http2: Option<http2::Builder<Spawner>>,
}

impl<H: Handler> Connections<H> {
    pub(super) fn new(
        limits: ServerLimits,
        (addresses, opening): (Arc<Addresses>, Opening),
        handler: H,
        shutdown: Shutdown,
    ) -> Self {
        let open = TaskPool::new("connection", limits.connections);
        let http2 = opening.may_be_http2();
        let shared = Arc::new(Shared {
            handler,
            shutdown,
            metrics: ServerMetrics::resolve(limits.name),
            limits,
            opening,
            discards: Arc::default(),
            http1: http1_builder(&limits),
            http2: http2.then(|| http2_builder(&limits, open.spawner())),
        });
        Self {
            shared,
            addresses,
            open,
            refusals: TaskPool::new("refusal", REFUSALS),
        }
    }

    /// Serves a connection, or refuses it when too many are open.
    pub(super) fn take(&self, stream: TcpStream, peer: IpAddr) {
        let Some(place) = self.addresses.enter(peer) else {
            return self.refuse(stream, Refused::Address);
        };
        let Some(slot) = self.open.try_slot() else {
            return self.refuse(stream, Refused::All);
        };
        // Fails only for a connection that is already gone, which reading will tell.
        drop(stream.set_nodelay(true));
        drop(slot.spawn(serve_one(Arc::clone(&self.shared), stream, place)));
    }

    fn refuse(&self, stream: TcpStream, why: Refused) {
        self.shared.metrics.refused[why as usize].increment(1);
        // With too many refusals under way too, the connection is just closed; and with TLS, where
        // an answer would cost a handshake.
        if !self.shared.opening.is_tls()
            && let Some(slot) = self.refusals.try_slot()
        {
            drop(slot.spawn(refuse::run(stream, &self.shared.discards)));
        }
    }

    pub(super) fn count_accept_error(&self) {
        self.shared.metrics.accept_errors.increment(1);
    }

    /// Waits for the connections to end, and cuts those that overstay; returns how many.
    pub(super) async fn drain(&self, grace: Duration) -> usize {
        let cut = self.open.drain(grace).await;
        self.refusals.drain(Duration::ZERO).await;
        cut
    }
}

fn http1_builder(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Our own deadlines take its place: see the module `deadline`. The number of headers stays
        // at hyper's 100, which it parses on the stack; any other costs an allocation per request.
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.buffer_bytes)
        // Else hyper copies head and body into one buffer, which keeps the size of the largest
        // answer, and what an answer holds is free before it is sent.
        .writev(true)
        .half_close(limits.half_close)
        // With it hyper 1.12 does not flush while unread bytes are there: a 400 or 431 for a broken
        // header is lost, and an answer waits for the rest of the request after it.
        .pipeline_flush(false);
    builder
}

/// Bounds what one HTTP/2 connection may cost: requests under way, streams reset before they were
/// seen, header, bytes of bodies.
///
/// # Source
/// Rapid reset (CVE-2023-44487) is bounded by the streams that were reset before the service saw
/// them; h2's own bounds on continuation floods and on resets of its own making stay as they are.
fn http2_builder(limits: &ServerLimits, spawner: Spawner) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(200_u32)
        .max_pending_accept_reset_streams(20_usize)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // Body bytes in flight.
        .initial_stream_window_size(1_u32 << 20)
        .initial_connection_window_size(4_u32 << 20)
        // Asks whether the client still lives.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn serve_one<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream, place: Place) {
    let mut open = shared.metrics.opened();
    open.closed = serve(&shared, stream, &place).await;
}

async fn serve<H: Handler>(shared: &Shared<H>, stream: TcpStream, place: &Place) -> Closed {
    let begun = Instant::now();
    let due = begun + shared.limits.first();
    let mut opening = Box::pin(timeout_at(due, shared.opening.open(stream, place)));
    let opened = tokio::select! {
        biased;
        opened = opening.as_mut() => opened,
        () = shared.shutdown.triggered() => return Closed::Ended,
    };
    drop(opening);
    let Opened {
        mut transport,
        ahead,
        spoken,
    } = match opened {
        Err(_) => return shared.opening.failure(Closed::Idle),
        Ok(Err(_)) => return shared.opening.failure(Closed::Broken),
        Ok(Ok(opened)) => opened,
    };
    let activity = Activity::new(&shared.discards, spoken, place.peer());
    transport::watch(&mut transport, &activity);
    let service = service(&shared.handler, &activity);
    let io = TokioIo::new(WatchedIo::new(transport, ahead, Arc::clone(&activity)));
    match shared.http2.as_ref().filter(|_| spoken.is_http2) {
        Some(http2) => {
            let connection = Box::pin(http2.serve_connection(io, service));
            drive(shared, &activity, begun, connection).await
        }
        None => {
            let connection = Box::pin(shared.http1.serve_connection(io, service));
            drive(shared, &activity, begun, connection).await
        }
    }
}

/// What a connection is told from outside.
enum Told {
    /// To stop.
    Ordered,
    /// That a deadline was missed.
    Overdue(Overdue),
}

/// The connection is boxed: moved from future to future, each of them would hold a copy of it.
async fn drive<H, C>(
    shared: &Shared<H>,
    activity: &Activity,
    opened: Instant,
    mut connection: Pin<Box<C>>,
) -> Closed
where
    C: GracefulConnection<Error = hyper::Error>,
{
    // They look at locks and timers, and the connection wakes for every request: in a set of their
    // own they are polled only when they have something to say.
    let mut watched = FuturesUnordered::new();
    let ordered = shared.shutdown.triggered().map(|()| Told::Ordered);
    watched.push(ordered.left_future());
    let missed = shared.limits.missed(activity, opened).map(Told::Overdue);
    watched.push(missed.right_future());
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return of_end(ended),
            Some(told) = watched.next() => match told {
                Told::Ordered => connection.as_mut().graceful_shutdown(),
                Told::Overdue(overdue) => return close_overdue(overdue, connection.as_mut()).await,
            }
        }
    }
}

fn of_end(ended: Result<(), hyper::Error>) -> Closed {
    match ended {
        Ok(()) => Closed::Ended,
        Err(error) => {
            tracing::debug!(%error, "connection broken");
            Closed::Broken
        }
    }
}

/// Says goodbye to an idle connection, and drops one that is still sending its header or takes
/// nothing of its answer.
async fn close_overdue<C>(overdue: Overdue, mut connection: Pin<&mut C>) -> Closed
where
    C: GracefulConnection<Error = hyper::Error>,
{
    match overdue {
        Overdue::Header => Closed::SlowHeader,
        Overdue::Answer => Closed::SlowReader,
        Overdue::Idle => {
            connection.as_mut().graceful_shutdown();
            // A request may have come at the same moment: it is answered, if it is quick.
            drop(timeout(GOODBYE, connection).await);
            Closed::Idle
        }
    }
}
