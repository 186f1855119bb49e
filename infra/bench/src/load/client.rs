//! Hot path: one keep-alive connection, one request at a time.
//!
//! By hand, because a general client costs more CPU per request than the server it measures. It
//! understands what ingest answers: HTTP/1.1 with `content-length`.

use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;

use evp_shared::testing::tls;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const INBOX_BYTES: usize = 64 * 1024;
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    inbox: Vec<u8>,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(room).await,
            Self::Tls(stream) => stream.read(room).await,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects to `port` on 127.0.0.1.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(port: u16) -> io::Result<Self> {
        Self::open_over(port, None).await
    }

    /// As [`open`](Self::open), over TLS where there is a client's side of it.
    ///
    /// # Errors
    /// Nobody listens there, or shows a certificate that is not trusted.
    pub async fn open_over(port: u16, tls: Option<&TlsConnector>) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(tls) => Wire::Tls(Box::new(tls.connect(tls::name(), stream).await?)),
        };
        Ok(Self {
            wire,
            inbox: vec![0; INBOX_BYTES],
        })
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// The connection failed, or the answer is not understood; the connection is then of no use.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.wire.write_all(request).await?;
        let mut filled = 0;
        loop {
            let room = self.inbox.get_mut(filled..).unwrap_or_default();
            let read = self.wire.read(room).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let Some(head) = Head::parse(&self.inbox[..filled])? else {
                self.make_room(filled)?;
                continue;
            };
            if filled >= head.body.end {
                return Ok(Answer {
                    status: head.status,
                    body: &self.inbox[head.body],
                });
            }
            self.make_room(head.body.end)?;
        }
    }

    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > ANSWER_BYTES_MAX {
            return Err(invalid("the answer is too large"));
        }
        if bytes >= self.inbox.len() {
            self.inbox.resize(bytes.next_power_of_two() * 2, 0);
        }
        Ok(())
    }
}

/// Asks `port` on 127.0.0.1 for `path` on a connection of its own.
///
/// # Errors
/// The connection failed, or the answer is not understood.
pub async fn get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let mut connection = Connection::open(port).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).await?;
    Ok((
        answer.status,
        String::from_utf8_lossy(answer.body).into_owned(),
    ))
}

struct Head {
    status: u16,
    body: Range<usize>,
}

impl Head {
    /// `None` while its end has not come.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &bytes[..end];
        let status = head.get(9..12).and_then(number);
        // hyper writes header names in lower case.
        let length = match memmem::find(head, b"\r\ncontent-length: ") {
            Some(at) => head.get(at + 18..).and_then(leading_number),
            None => return Err(invalid("the answer has no content-length")),
        };
        let (Some(status), Some(length)) = (status, length) else {
            return Err(invalid("the answer is malformed"));
        };
        let status = u16::try_from(status).map_err(|_| invalid("the status is malformed"))?;
        let begin = end + 4;
        Ok(Some(Self {
            status,
            body: begin..begin + length,
        }))
    }
}

/// What ingest says of a request's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Events accepted.
    pub accepted: u64,
    /// Duplicates inside the request.
    pub duplicates: u64,
}

/// Reads the beginning of a `202`: `{"accepted":N,"duplicates":N,...`.
#[must_use]
pub fn accepted(body: &[u8]) -> Option<Accepted> {
    let rest = body.strip_prefix(b"{\"accepted\":")?;
    let accepted = leading_number(rest)?;
    let at = memchr::memchr(b',', rest)?;
    let rest = rest.get(at..)?.strip_prefix(b",\"duplicates\":")?;
    let duplicates = leading_number(rest)?;
    Some(Accepted {
        accepted: accepted as u64,
        duplicates: duplicates as u64,
    })
}

fn leading_number(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    number(bytes.get(..digits.count())?)
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn invalid(fault: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..60 {
            assert!(Head::parse(&whole[..cut]).unwrap().is_none());
        }
        let head = Head::parse(whole).unwrap().unwrap();
        assert_eq!((head.status, &whole[head.body]), (202, &b"abc"[..]));
        assert!(Head::parse(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }

    #[test]
    fn what_was_accepted_stands_at_the_beginning_of_the_answer() {
        let body = br#"{"accepted":98,"duplicates":2,"rejected":[],"ids":[]}"#;
        let expected = Accepted {
            accepted: 98,
            duplicates: 2,
        };
        assert_eq!(accepted(body), Some(expected));
        assert_eq!(accepted(b"{}"), None);
    }
}
