//! One connection, from its first byte to its last answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadline::{Activity, Deadlines, Overdue};
use super::io::WatchedIo;
use super::metrics::{Closed, ServerMetrics};
use super::service::service;
use super::unread::Discards;
use super::{Handler, Http2, Http2Limits, ServerLimits, refuse};
use crate::shutdown::Shutdown;
use crate::tasks::{Spawner, TaskPool};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Refusals under way at once; they are short, and cost a descriptor each.
const REFUSALS: usize = 128;

/// Time for an idle connection to take its leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Connections<H> {
    shared: Arc<Shared<H>>,
    open: TaskPool,
    refusals: TaskPool,
}

#[derive(Debug)]
struct Shared<H> {
    handler: H,
    shutdown: Shutdown,
    metrics: ServerMetrics,
    deadlines: Deadlines,
    discards: Arc<Discards>,
    http1: http1::Builder,
    http2: Option<http2::Builder<Spawner>>,
}

impl<H: Handler> Connections<H> {
    pub(super) fn new(limits: ServerLimits, handler: H, shutdown: Shutdown) -> Self {
        let open = TaskPool::new("connection", limits.connections);
        let shared = Arc::new(Shared {
            handler,
            shutdown,
            metrics: ServerMetrics::resolve(limits.name),
            deadlines: Deadlines {
                header: limits.header_timeout,
                idle: limits.keep_alive_idle,
                write: limits.write_idle,
            },
            discards: Arc::default(),
            http1: http1_builder(&limits),
            http2: match limits.http2 {
                Http2::Off => None,
                Http2::On(http2) => Some(http2_builder(&limits, &http2, open.spawner())),
            },
        });
        Self {
            shared,
            open,
            refusals: TaskPool::new("refusal", REFUSALS),
        }
    }

    /// Serves a connection, or refuses it when too many are open.
    pub(super) fn take(&self, stream: TcpStream) {
        let Some(slot) = self.open.try_slot() else {
            self.shared.metrics.refused.increment(1);
            // With too many refusals under way too, the connection is just closed.
            if let Some(slot) = self.refusals.try_slot() {
                drop(slot.spawn(refuse::run(stream, &self.shared.discards)));
            }
            return;
        };
        // Fails only for a connection that is already gone, which reading will tell.
        drop(stream.set_nodelay(true));
        drop(slot.spawn(serve_one(Arc::clone(&self.shared), stream)));
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

fn http2_builder(
    limits: &ServerLimits,
    http2: &Http2Limits,
    spawner: Spawner,
) -> http2::Builder<Spawner> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2.streams)
        .max_pending_accept_reset_streams(http2.pending_resets)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(http2.stream_window_bytes)
        .initial_connection_window_size(http2.connection_window_bytes)
        .keep_alive_interval(http2.ping_every)
        .keep_alive_timeout(http2.ping_timeout);
    builder
}

async fn serve_one<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream) {
    let mut open = shared.metrics.opened();
    let opened = Instant::now();
    open.closed = match &shared.http2 {
        None => serve_http1(&shared, opened, stream, Bytes::new()).await,
        Some(http2) => serve_either(&shared, http2, opened, stream).await,
    };
}

async fn serve_either<H: Handler>(
    shared: &Shared<H>,
    http2: &http2::Builder<Spawner>,
    opened: Instant,
    mut stream: TcpStream,
) -> Closed {
    let due = opened + shared.deadlines.first();
    let detected = tokio::select! {
        detected = timeout_at(due, read_ahead(&mut stream)) => detected,
        () = shared.shutdown.triggered() => return Closed::Ended,
    };
    match detected {
        Err(_) => Closed::Idle,
        Ok(Err(_)) => Closed::Broken,
        Ok(Ok(ahead)) if ahead.starts_with(HTTP2_PREFACE) => {
            let activity = Activity::new(&shared.discards);
            let io = TokioIo::new(WatchedIo::new(stream, ahead, None));
            let connection = http2.serve_connection(io, service(&shared.handler, &activity));
            drive(shared, &activity, opened, Box::pin(connection)).await
        }
        Ok(Ok(ahead)) => serve_http1(shared, opened, stream, ahead).await,
    }
}

async fn serve_http1<H: Handler>(
    shared: &Shared<H>,
    opened: Instant,
    stream: TcpStream,
    ahead: Bytes,
) -> Closed {
    let activity = Activity::new(&shared.discards);
    let io = TokioIo::new(WatchedIo::new(stream, ahead, Some(Arc::clone(&activity))));
    let connection = shared
        .http1
        .serve_connection(io, service(&shared.handler, &activity));
    drive(shared, &activity, opened, Box::pin(connection)).await
}

/// Reads until the bytes are the preface of HTTP/2 or can no longer become it.
async fn read_ahead(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut ahead = BytesMut::with_capacity(HTTP2_PREFACE.len());
    while ahead.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&ahead) {
        if stream.read_buf(&mut ahead).await? == 0 {
            break;
        }
    }
    Ok(ahead.freeze())
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
    let missed = shared.deadlines.missed(activity, opened).map(Told::Overdue);
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
