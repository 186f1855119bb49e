//! What comes before the first request: the handshake of TLS, and which HTTP is spoken.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::either::Either;

use super::addresses::Place;
use super::deadline::Spoken;
use super::metrics::Closed;
use super::transport::{Socket, Transport};
use crate::tls::{ALPN_HTTP2, Tls};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Handshakes under way at once: each costs up to a millisecond of a core and some tens of KiB. More
/// wait, no longer than the first request may take.
const HANDSHAKES: usize = 128;

/// A connection that is about to make requests.
pub(super) struct Opened {
    pub(super) transport: Transport,
    /// What was read to learn which HTTP is spoken.
    pub(super) ahead: Bytes,
    pub(super) spoken: Spoken,
}

/// How the connections of a listener begin.
#[derive(Debug)]
pub(super) struct Opening {
    tls: Option<Tls>,
    handshakes: Semaphore,
    /// Whether the first bytes may be those of HTTP/2; TLS says so by itself.
    detects_http2: bool,
}

impl Opening {
    pub(super) fn new(tls: Option<Tls>, detects_http2: bool) -> Self {
        Self {
            tls,
            handshakes: Semaphore::new(HANDSHAKES),
            detects_http2,
        }
    }

    /// Whether connections may turn out to be HTTP/2.
    pub(super) fn may_be_http2(&self) -> bool {
        self.detects_http2 || self.tls.is_some()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What to call a connection that did not get this far: in time, or at all.
    pub(super) fn failure(&self, otherwise: Closed) -> Closed {
        if self.is_tls() {
            Closed::Handshake
        } else {
            otherwise
        }
    }

    /// Opens a connection. Its client may take any time: there is a deadline around it.
    pub(super) async fn open(&self, mut stream: TcpStream, from: &Place) -> io::Result<Opened> {
        if let Some(tls) = &self.tls {
            return self.shake_hands(tls, stream, from).await;
        }
        let ahead = if self.detects_http2 {
            read_ahead(&mut stream).await?
        } else {
            Bytes::new()
        };
        Ok(Opened {
            transport: Either::Left(Socket::from(stream)),
            spoken: Spoken {
                is_http2: ahead.starts_with(HTTP2_PREFACE),
                is_tls: false,
            },
            ahead,
        })
    }

    async fn shake_hands(&self, tls: &Tls, stream: TcpStream, from: &Place) -> io::Result<Opened> {
        // Who says nothing takes no turn.
        let _bytes = stream.peek(&mut [0]).await?;
        // First the turn of its address, or one that stalls would queue in front of all others.
        let _own = match &from.handshakes {
            Some(own) => Some(own.acquire().await.map_err(io::Error::other)?),
            None => None,
        };
        let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
        let stream = tls.acceptor().accept(Socket::from(stream)).await?;
        Ok(Opened {
            spoken: Spoken {
                is_http2: stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2),
                is_tls: true,
            },
            transport: Either::Right(Box::new(stream)),
            ahead: Bytes::new(),
        })
    }
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

#[cfg(test)]
mod tests {
    use futures::{join, poll};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::super::addresses::Addresses;
    use super::*;
    use crate::http::client::TrustedProxies;
    use crate::testing::tls::Authority;

    /// The first byte of a record of a handshake.
    const TLS_HANDSHAKE: u8 = 22;

    #[tokio::test]
    async fn a_handshake_too_many_waits_for_its_turn() {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let files = authority.issue(1).write(folder.path()).unwrap();
        let opening = Opening::new(Some(Tls::new(&files.load().unwrap())), false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = async || {
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (client, server) = join!(client, listener.accept());
            (client.unwrap(), server.unwrap().0)
        };
        // A trusted proxy, which has no bound of its own.
        let trusted = TrustedProxies::from(vec!["127.0.0.0/8".parse().unwrap()]);
        let place = Addresses::new(0, trusted).enter("127.0.0.1".parse().unwrap());
        let place = place.unwrap();
        let (mut clients, mut stalled) = (Vec::new(), Vec::new());
        for _ in 0..HANDSHAKES {
            let (mut client, server) = connect().await;
            client.write_all(&[TLS_HANDSHAKE]).await.unwrap();
            let mut opened = Box::pin(opening.open(server, &place));
            while opening.handshakes.available_permits() == HANDSHAKES - stalled.len() {
                assert!(poll!(opened.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
            clients.push(client);
            stalled.push(opened);
        }
        let (_silent, server) = connect().await;
        let mut silent = Box::pin(opening.open(server, &place));
        assert!(poll!(silent.as_mut()).is_pending());
        let (client, server) = connect().await;
        let mut late = Box::pin(opening.open(server, &place));
        assert!(poll!(late.as_mut()).is_pending());
        drop(stalled.pop());
        let (opened, shaken) = join!(late, authority.connect(client, &["h2"]));
        assert!(opened.unwrap().spoken.is_http2);
        shaken.unwrap();
    }
}
