//! Accepts connections, and survives what accepting may fail with.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Handler;
use super::connection::Connections;
use crate::backoff::Backoff;
use crate::shutdown::Shutdown;

/// Out of file descriptors, accepting fails at once, again and again: waiting spares the CPU for
/// the connections whose end will give one back.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Accepts until the shutdown.
pub(super) async fn run<H: Handler>(
    listener: &TcpListener,
    connections: &Connections<H>,
    shutdown: &Shutdown,
) {
    let mut pause = Backoff::new(PAUSE_FIRST, 2, PAUSE_MAX);
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                pause.reset();
                connections.take(stream);
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
