//! The bytes of a connection: those of a socket, or what TLS makes of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::deadline::Activity;

/// A connection, plain or over TLS.
pub(super) type Transport = Either<Socket, Box<TlsStream<Socket>>>;

/// A TCP socket that notes whether its client takes what is sent. TLS takes more than the socket
/// does, so only below it is seen when a client takes nothing.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// None during a handshake, which has a deadline of its own.
    activity: Option<Arc<Activity>>,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        let activity = None;
        Self { stream, activity }
    }
}

impl Socket {
    fn note_write(&self, is_taken: bool) {
        if let Some(activity) = &self.activity {
            activity.note_write(is_taken);
        }
    }
}

fn socket(transport: &mut Transport) -> &mut Socket {
    match transport {
        Either::Left(socket) => socket,
        Either::Right(tls) => tls.get_mut().0,
    }
}

/// Has `activity` note from now on whether the client takes what is sent.
pub(super) fn watch(transport: &mut Transport, activity: &Arc<Activity>) {
    socket(transport).activity = Some(Arc::clone(activity));
}

/// Reads what is only thrown away, and so need not be decrypted.
pub(super) fn poll_discard(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    Pin::new(socket(transport)).poll_read(cx, buf)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
