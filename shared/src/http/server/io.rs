//! The socket as hyper gets it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::deadline::Activity;

/// How long, and for how many bytes, a client may go on sending after its last answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// A socket with what was read ahead of it; it notes when a header begins and when the client takes
/// nothing of an answer, and closes so that the last answer arrives.
///
/// Closing a socket with unread bytes resets the connection, and the reset may overtake the answer:
/// a 413 or 431 would be lost while the client still sends. So such bytes are read and dropped.
#[derive(Debug)]
pub(super) struct WatchedIo {
    stream: TcpStream,
    ahead: Bytes,
    /// `None` for HTTP/2, whose pings are not headers, and find out who is gone.
    watch: Option<Arc<Activity>>,
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    dropped: usize,
}

impl WatchedIo {
    pub(super) fn new(stream: TcpStream, ahead: Bytes, watch: Option<Arc<Activity>>) -> Self {
        if let Some(activity) = watch.as_ref().filter(|_| !ahead.is_empty()) {
            activity.note_bytes();
        }
        Self {
            stream,
            ahead,
            watch,
            lingering: None,
        }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Some(activity) = &self.watch {
            activity.note_write(written.is_ready());
        }
        written
    }

    /// Ready when the client has stopped sending, or has been given enough time or bytes.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    let lingering = self.lingering.get_or_insert_with(|| Lingering {
                        until: Box::pin(sleep(LINGER)),
                        dropped: 0,
                    });
                    lingering.dropped += buf.filled().len();
                    if lingering.dropped > LINGER_BYTES {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                // A client that was not sending will not be surprised by the end.
                Poll::Pending => {
                    return match &mut self.lingering {
                        Some(lingering) => lingering.until.as_mut().poll(cx),
                        None => Poll::Ready(()),
                    };
                }
            }
        }
    }
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
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(activity) = self.watch.as_ref().filter(|_| buf.filled().len() > filled) {
            activity.note_bytes();
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
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        self.poll_linger(cx).map(Ok)
    }
}
