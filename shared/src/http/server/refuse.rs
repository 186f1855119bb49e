//! The answer to a connection too many.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;

use super::addresses::Peer;
use super::deadline::{Activity, Spoken};
use super::io::WatchedIo;
use super::transport::Socket;
use super::unread::Discards;
use crate::request::RequestId;

/// Written as it is: no parser is spent on a client we cannot serve. What follows is its name.
const HEAD: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    content-length: 136\r\n\
    connection: close\r\n\
    x-request-id: ";
const BODY: &str = "\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Too many connections\",\"status\":503,\
    \"code\":\"too_many_connections\",\"retryable\":true,\"retryAfterSeconds\":1}\n";

/// Whatever the client still sends: there are few places for refusals.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Answers 503 and closes.
pub(super) fn run(stream: TcpStream, discards: &Arc<Discards>) -> impl Future<Output = ()> + use<> {
    let activity = Activity::new(discards, Spoken::default(), Peer::default());
    activity.note_last();
    let transport = Either::Left(Socket::from(stream));
    let mut io = WatchedIo::new(transport, Bytes::new(), activity);
    async move {
        let answer = async {
            io.write_all(answer().as_bytes()).await?;
            io.shutdown().await
        };
        // A client that is gone before its refusal has lost nothing.
        drop(timeout(TIME_MAX, answer).await);
    }
}

/// The answer, under a name of our own: what the client called its request is not read.
fn answer() -> String {
    let made = RequestId::of(&HeaderMap::new());
    [HEAD, &made.id(), BODY].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_it_announces_and_is_json() {
        let text = answer();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "too_many_connections");
        let (_, name) = head.rsplit_once("\r\nx-request-id: ").unwrap();
        assert!(!name.is_empty() && !answer().contains(name), "{name}");
    }
}
