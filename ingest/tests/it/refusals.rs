//! Refusals that are decided before the body was read, to clients that write their whole body
//! before they read: by raw sockets, which do as Python's `http.client` and Node's agent do.

use std::time::Duration;

use evp_devstack::free_port;
use evp_shared::testing::TestRedis;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::support::{OPEN, TestIngest, frames, ids_in};

const SOON: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;
const SIZES: [usize; 4] = [0, 64 * 1024, 8 * MIB, 20 * MIB];
/// Bodies up to this size are sent in pieces, with a pause after each.
const SLOW: usize = 64 * 1024;

/// Request lines with a header, and the answer to them whatever their body is.
const REFUSED: [(&str, &str, &str); 6] = [
    ("POST /events", "content-type: application/xml", "415"),
    ("POST /events", "content-encoding: br", "415"),
    ("POST /events?x=1", "accept: */*", "400"),
    ("POST /other", "accept: */*", "404"),
    ("PUT /events", "accept: */*", "405"),
    ("POST /livez", "accept: */*", "405"),
];

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
}

/// Sends a whole request, then reads; returns the answer's head, and the body with which it ends.
/// Nothing of it may fail, and what is asked next on the connection is answered too, unless the
/// answer says that the connection ends.
async fn ask(
    ingest: &TestIngest,
    (line, header, size): (&str, &str, usize),
    framing: Framing,
) -> String {
    let stream = TcpStream::connect(&ingest.address)
        .await
        .expect("connected");
    let (mut reading, mut writing) = stream.into_split();
    let (length, end) = match framing {
        Framing::Length => (format!("content-length: {size}"), ""),
        Framing::Chunked => ("transfer-encoding: chunked".to_owned(), "0\r\n\r\n"),
    };
    let head = format!("{line} HTTP/1.1\r\nhost: a\r\n{header}\r\n{length}\r\n\r\n");
    let head = ingest.keyed(&head);
    writing.write_all(head.as_bytes()).await.expect("a head");
    let piece = vec![b'x'; if size > SLOW { 64 * 1024 } else { 1024 }];
    let mut pause = interval(Duration::from_millis(5));
    for _ in 0..size / piece.len() {
        let sent = match framing {
            Framing::Length => writing.write_all(&piece).await,
            Framing::Chunked => {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
                writing.write_all(&chunk).await
            }
        };
        sent.unwrap_or_else(|error| panic!("{line} {header} {size} {framing:?}: {error}"));
        if size <= SLOW {
            pause.tick().await;
        }
    }
    writing.write_all(end.as_bytes()).await.expect("an end");
    let mut answer = read_answer(&mut reading).await;
    if answer.contains("connection: close") {
        let rest = timeout(SOON, reading.read(&mut [0])).await.expect("an end");
        assert_eq!(rest.expect("not broken"), 0, "{answer}");
    } else {
        let next = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
        writing.write_all(next).await.expect("another request");
        let next = read_answer(&mut reading).await;
        assert!(next.starts_with("HTTP/1.1 200 "), "{answer}{next}");
        answer.push_str("goes on");
    }
    answer
}

/// Reads one answer, with the body it announces.
async fn read_answer(reading: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        let read = timeout(SOON, reading.read(&mut buffer)).await;
        let read = read.expect("an answer in time").expect("an answer");
        assert!(read > 0, "the connection ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
    }
    answer
}

fn is_whole(answer: &str) -> bool {
    answer.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let (_, rest) = head.split_once("content-length: ").expect("a length");
        let length: usize = rest
            .lines()
            .next()
            .expect("a line")
            .parse()
            .expect("a number");
        body.len() == length
    })
}

#[tokio::test]
async fn each_refusal_reaches_a_client_that_writes_its_whole_body_first() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    for size in SIZES {
        let too_large = ("POST /events", "accept: */*", "413");
        let too_large = (size > 4 * MIB).then_some(too_large);
        let cases: Vec<_> = REFUSED.into_iter().chain(too_large).collect();
        for framing in [Framing::Length, Framing::Chunked] {
            let asked = cases
                .iter()
                .map(|(line, header, _)| ask(&ingest, (line, header, size), framing));
            for (answer, case) in join_all(asked).await.iter().zip(&cases) {
                let status = format!("HTTP/1.1 {} ", case.2);
                assert!(
                    answer.starts_with(&status),
                    "{case:?} {size} {framing:?}: {answer}"
                );
                // What is read quickly costs less than another connection.
                let goes_on = answer.ends_with("goes on");
                assert!(goes_on || size > SLOW, "{size}: {answer}");
                assert!(!goes_on || size < 20 * MIB, "{size}: {answer}");
            }
        }
    }
    assert!(ids_in(&frames(&redis).await).is_empty());
    ingest.stop().await;
}

#[tokio::test]
async fn a_refusal_for_load_brings_its_retry_after_whatever_the_body() {
    let port = free_port().expect("a free port");
    let ingest = TestIngest::start_at(&format!("redis://127.0.0.1:{port}"), "x", OPEN).await;
    for size in SIZES {
        for framing in [Framing::Length, Framing::Chunked] {
            let asked = (0..8).map(|_| ask(&ingest, ("POST /events", "a: b", size), framing));
            for answer in join_all(asked).await {
                assert!(answer.starts_with("HTTP/1.1 503 "), "{size}: {answer}");
                assert!(answer.contains("retry-after: "), "{size}: {answer}");
            }
        }
    }
    ingest.stop().await;
}

#[tokio::test]
async fn who_asks_before_sending_is_refused_without_a_go_ahead() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    for (line, header, status) in REFUSED {
        let mut stream = TcpStream::connect(&ingest.address)
            .await
            .expect("connected");
        let head = format!(
            "{line} HTTP/1.1\r\nhost: a\r\n{header}\r\nexpect: 100-continue\r\n\
             content-length: 100000\r\n\r\n"
        );
        let head = ingest.keyed(&head);
        stream.write_all(head.as_bytes()).await.expect("a head");
        let answer = read_answer(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
        // It may send its body all the same.
        let sent = stream.write_all(&vec![b'x'; 100_000]).await;
        sent.expect("the body is taken");
        assert_eq!(stream.read(&mut [0]).await.expect("a clean end"), 0);
    }
    ingest.stop().await;
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_learns_that_its_event_is_stored() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let mut stream = TcpStream::connect(&ingest.address)
        .await
        .expect("connected");
    let request = "POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n{\"type\":\"a\"}";
    let request = ingest.keyed(request);
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    stream.shutdown().await.expect("half closed");
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(ids_in(&frames(&redis).await).len(), 1);
    ingest.stop().await;
}
