//! Accepts connections, and survives what accepting may fail with.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Handler;
use super::connection::Connections;
use crate::backoff::Backoff;
use crate::shutdown::Shutdown;

/// Out of file descriptors, accepting fails at once, again and again: waiting spares the CPU for
/// the connections whose end will give one back.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Where connections come from; a test scripts the errors.
pub(super) trait Accepts {
    fn next(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accepts for TcpListener {
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

/// Accepts until the shutdown.
pub(super) async fn run<H: Handler>(
    listener: &(impl Accepts + Sync),
    connections: &Connections<H>,
    shutdown: &Shutdown,
) {
    let mut pause = Backoff::new(PAUSE_FIRST, 2, PAUSE_MAX);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                pause.reset();
                connections.take(stream, peer.ip());
            }
            // The client gave up between its handshake and our call: the next one is waiting.
            Err(error) if is_of_one_connection(&error) => connections.count_accept_error(),
            Err(error) => {
                connections.count_accept_error();
                if !failing {
                    failing = true;
                    tracing::warn!(%error, "accepting connections fails; trying again");
                }
                tokio::select! {
                    () = shutdown.triggered() => return,
                    () = tokio::time::sleep(pause.next_delay()) => {}
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;
    use tokio::io::AsyncReadExt;

    use super::super::ServerLimits;
    use super::super::addresses::Addresses;
    use super::super::open::Opening;
    use super::*;
    use crate::http::client::TrustedProxies;

    /// Fails a few times with each error, then gives one connection, then orders the shutdown.
    struct Failing {
        inner: TcpListener,
        calls: AtomicU32,
        shutdown: Shutdown,
    }

    const EMFILE: i32 = 24;
    const ECONNABORTED: i32 = 103;

    impl Accepts for Failing {
        async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
            match self.calls.fetch_add(1, Ordering::SeqCst) {
                0..20 => Err(io::Error::from_raw_os_error(EMFILE)),
                20..40 => Err(io::Error::from_raw_os_error(ECONNABORTED)),
                40 => self.inner.next().await,
                _ => {
                    self.shutdown.trigger();
                    std::future::pending().await
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_goes_on_after_errors() {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(inner.local_addr().unwrap())
            .await
            .unwrap();
        let shutdown = Shutdown::new();
        let failing = Failing {
            inner,
            calls: AtomicU32::new(0),
            shutdown: shutdown.clone(),
        };
        let handler = |_| std::future::ready(Response::new(Full::new(Bytes::new())));
        let limits = ServerLimits {
            connections: 0,
            ..ServerLimits::named("failing")
        };
        let addresses = Addresses::new(1, TrustedProxies::default());
        let listening = (addresses, Opening::new(None, false));
        let connections = Connections::new(limits, listening, handler, shutdown.clone());
        run(&failing, &connections, &shutdown).await;
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 503");
    }
}
