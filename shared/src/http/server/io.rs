//! The socket as hyper gets it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::deadline::Activity;
use super::transport::{self, Transport};
use crate::http::problem::Problem;

/// How long, and for how many bytes, a client may go on sending after its last answer. A client
/// that sends without reading meets its end earlier: the kernel's buffers and these bytes are all.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 32 << 20;
/// Read at once and thrown away: on the stack, while nothing is awaited.
const SCRATCH_BYTES: usize = 32 * 1024;

/// A connection with what was read ahead of it. It notes when a header begins, makes problems of the
/// errors that hyper answers by itself, and closes so that the last answer arrives (RFC 9112, section
/// 9.6).
///
/// Closing a socket with unread bytes resets the connection, and the reset may overtake the answer:
/// a 413 or 431 would be lost while the client still sends. So such bytes are read and dropped.
#[derive(Debug)]
pub(super) struct WatchedIo {
    stream: Transport,
    ahead: Bytes,
    activity: Arc<Activity>,
    /// Requests of which everything is written.
    settled: u64,
    /// The rest of an error of hyper's, as a problem.
    problem: Option<Bytes>,
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    /// When more may be read: the rate of the listener.
    next: Pin<Box<Sleep>>,
    dropped: usize,
}

impl WatchedIo {
    pub(super) fn new(stream: Transport, ahead: Bytes, activity: Arc<Activity>) -> Self {
        if !ahead.is_empty() {
            activity.note_bytes();
        }
        Self {
            stream,
            ahead,
            activity,
            settled: 0,
            problem: None,
            lingering: None,
        }
    }

    /// Whether hyper writes an answer of its own: one that belongs to no request.
    fn is_of_hyper(&self, buf: &[u8]) -> bool {
        !self.activity.is_http2
            && self.activity.started() == self.settled
            && buf.starts_with(b"HTTP/1.1 4")
    }

    /// Writes a problem in place of hyper's answer without a body.
    fn poll_problem(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Poll<io::Result<usize>> {
        let problem = self.problem.get_or_insert_with(|| with_problem(head));
        while problem.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, problem))?;
            problem.advance(written);
        }
        self.activity.note_last();
        Poll::Ready(Ok(head.len()))
    }

    /// Ready when the client has stopped sending, or has been given enough time or bytes.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = transport::poll_discard(&mut self.stream, cx, &mut buf);
            let bytes = buf.filled().len();
            // A client that was not sending will not be surprised by the end.
            let awaits_more = self.lingering.is_some() || self.activity.is_last();
            if bytes == 0 && (read.is_ready() || !awaits_more) {
                return Poll::Ready(());
            }
            let lingering = self.lingering.get_or_insert_with(|| Lingering {
                until: Box::pin(sleep(LINGER)),
                next: Box::pin(sleep(Duration::ZERO)),
                dropped: 0,
            });
            lingering.dropped += bytes;
            let is_enough = lingering.dropped > LINGER_BYTES;
            if is_enough || lingering.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if read.is_pending() {
                return Poll::Pending;
            }
            let next = self.activity.discards.next_after(bytes);
            lingering.next.as_mut().reset(next);
            ready!(lingering.next.as_mut().poll(cx));
        }
    }
}

/// The head of hyper's answer, with a body that says the same.
fn with_problem(head: &[u8]) -> Bytes {
    let status = head.get(9..12).unwrap_or_default();
    let (code, title) = match status {
        b"414" => ("uri_too_long", "Request target too long"),
        b"431" => ("header_too_large", "Header too large"),
        _ => ("malformed_request", "Malformed request"),
    };
    let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::BAD_REQUEST);
    let problem = Problem::new(status, code, title);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let described = format!(
        "content-type: application/problem+json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let head = String::from_utf8_lossy(head).replacen("content-length: 0\r\n", &described, 1);
    Bytes::from(head + &body)
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..taken]);
            self.ahead.advance(taken);
            return Poll::Ready(Ok(()));
        }
        let filled = buf.filled().len();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            // Many clients end TLS by closing the socket. What they sent says by itself where it
            // ends, so that they have just ended too.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        if buf.filled().len() > filled {
            self.activity.note_bytes();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_of_hyper(buf) {
            return self.poll_problem(cx, buf);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first().filter(|first| self.is_of_hyper(first)) {
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.settled = self.activity.finished();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}
