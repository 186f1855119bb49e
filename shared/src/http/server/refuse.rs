//! The answer to a connection too many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Written as it is: no parser and no buffer is spent on a client we cannot serve.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    content-length: 136\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Too many connections\",\"status\":503,\
    \"code\":\"too_many_connections\",\"retryable\":true,\"retryAfterSeconds\":1}\n";

/// Closing with unread bytes resets the connection, and the reset overtakes the answer: so what
/// the client sends meanwhile is read and dropped, within these bounds.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;

/// Answers 503 and closes.
pub(super) async fn run(mut stream: TcpStream) {
    // A client that is gone before its refusal has lost nothing.
    drop(timeout(LINGER, answer(&mut stream)).await);
}

async fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    let mut dropped = 0;
    while dropped < LINGER_BYTES {
        match stream.read(&mut scratch).await? {
            0 => break,
            read => dropped += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_it_announces_and_is_json() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "too_many_connections");
    }
}
