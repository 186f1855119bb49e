//! Requests that no client library writes, over raw sockets: smuggling, and floods of HTTP/2.

use std::time::Duration;

use evp_shared::testing::TestRedis;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TestIngest, frames, ids_in, list};

const SOON: Duration = Duration::from_secs(20);
const POST: &str = "POST /events HTTP/1.1";
const BODY: &str = "{\"type\":\"a\"}";
const LENGTH: &str = "content-length: 12";
const CHUNKED: &str = "transfer-encoding: chunked";
const CHUNKS: &str = "c\r\n{\"type\":\"a\"}\r\n0\r\n\r\n";
/// What another reader of the same bytes would take for a part of the body.
const HIDDEN: &str =
    "POST /events HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\n{\"type\":\"s\"}";

/// Headers of a request whose end cannot be told for certain.
const REFUSED_HEADERS: [&str; 27] = [
    "content-length: 12\r\ncontent-length: 13",
    "content-length: 12, 12",
    "content-length: 12, 13",
    "content-length: +12",
    "content-length: -1",
    "content-length: 0xc",
    "content-length: 1 2",
    "content-length:",
    "content-length: 99999999999999999999",
    "content-length: 12.0",
    "content-length : 12",
    "transfer-encoding : chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: identity",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: chunked\r\ntransfer-encoding: x",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding: \u{b}chunked",
    "transfer-encoding:\r\n chunked",
    "x: a\r\n content-length: 12",
    "x: a\rcontent-length: 12",
    "x: a\0b",
    "x\0y: a",
    "x",
    " host: b",
    "x y: a",
    ": a",
];

/// Chunks whose end cannot be told for certain.
const REFUSED_CHUNKS: [&str; 7] = [
    "-1\r\n",
    "0xc\r\n{\"type\":\"a\"}\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\n{\"type\":\"a\"}",
    "c\n{\"type\":\"a\"}\r\n0\r\n\r\n",
    "b\r\n{\"type\":\"a\"}\r\n0\r\n\r\n",
    "\r\n{\"type\":\"a\"}\r\n0\r\n\r\n",
    "g\r\n{\"type\":\"a\"}\r\n0\r\n\r\n",
];

fn request(line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|one| format!("{one}\r\n")).collect();
    format!("{line}\r\nhost: a\r\n{headers}\r\n{body}")
}

/// Requests with the statuses of their answers. All end with a whole second request: it is
/// answered where the first one ends for certain, and not at all where it does not.
fn answered() -> Vec<(String, &'static str)> {
    let post = |headers: &[&str], body: &str| request(POST, headers, &format!("{body}{HIDDEN}"));
    let line = |line: &str, body: &str| request(line, &[LENGTH], &format!("{body}{HIDDEN}"));
    vec![
        (post(&[LENGTH], BODY), "202 202"),
        (post(&[CHUNKED], CHUNKS), "202 202"),
        // RFC 9112, 6.3: the chunks count, and the connection ends.
        (post(&[LENGTH, CHUNKED], CHUNKS), "202"),
        (post(&[CHUNKED, "content-length: 4"], CHUNKS), "202"),
        (post(&[LENGTH, "expect: 100-continue"], BODY), "100 202 202"),
        (post(&[LENGTH, LENGTH], BODY), "202 202"),
        (post(&["Transfer-Encoding: CHUNKED"], CHUNKS), "202 202"),
        (post(&["transfer-encoding:\tchunked"], CHUNKS), "202 202"),
        (
            post(&["transfer-encoding: gzip, chunked"], CHUNKS),
            "202 202",
        ),
        (post(&[CHUNKED, CHUNKED], CHUNKS), "202 202"),
        (
            post(&[CHUNKED], &CHUNKS.replace("c\r", "c;a=b\r")),
            "202 202",
        ),
        (post(&[CHUNKED], &CHUNKS.replace("c\r", "c \r")), "202 202"),
        (
            post(
                &[CHUNKED],
                &CHUNKS.replace("\r\n0\r\n", "\r\n0\r\ncontent-length: 1\r\n"),
            ),
            "202 202",
        ),
        (post(&["host: b", LENGTH], BODY), "400 202"),
        (format!("\r\n\r\n{}", post(&[LENGTH], BODY)), "202 202"),
        (
            format!("{POST}\nhost: a\n{LENGTH}\n\n{BODY}{HIDDEN}"),
            "202 202",
        ),
        (
            format!("{POST}\r\n{LENGTH}\r\n\r\n{BODY}{HIDDEN}"),
            "400 202",
        ),
        (line("POST http://b/events HTTP/1.1", BODY), "202 202"),
    ]
}

/// As [`answered`], for what is no POST of events over HTTP/1.1, or hardly.
fn answered_too() -> Vec<(String, &'static str)> {
    let line = |line: &str, body: &str| request(line, &[LENGTH], &format!("{body}{HIDDEN}"));
    vec![
        (line("GET /livez HTTP/1.1", BODY), "200 202"),
        (line("CONNECT a:1 HTTP/1.1", BODY), "404 202"),
        (line("POST /events HTTP/9.9", BODY), "400"),
        (line(" POST /events HTTP/1.1", BODY), "400"),
        (format!("POST /events\r\n\r\n{HIDDEN}"), "400"),
        (
            request(
                "POST /events HTTP/1.0",
                &[CHUNKED],
                &format!("{CHUNKS}{HIDDEN}"),
            ),
            "400",
        ),
        (
            request(
                "GET /livez HTTP/1.1",
                &["connection: upgrade", "upgrade: h2c"],
                HIDDEN,
            ),
            "200 202",
        ),
    ]
}

/// Statuses of the answers until the connection ends.
async fn statuses(ingest: &TestIngest, request: &str) -> String {
    let request = ingest.keyed(request);
    let mut stream = TcpStream::connect(&ingest.address)
        .await
        .expect("connected");
    // A server that has seen enough may close before it has read everything.
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = timeout(SOON, stream.read(&mut buffer))
        .await
        .expect("the server ends it")
    {
        answer.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&answer);
    let heads = text.match_indices("HTTP/1.1 ");
    let found: Vec<&str> = heads
        .filter_map(|(at, _)| text.get(at + 9..at + 12))
        .collect();
    found.join(" ")
}

#[tokio::test]
async fn a_request_ends_where_it_says_or_is_refused() {
    let redis = TestRedis::new().await;
    let toml = "[server]\nheader_timeout = \"1s\"\nkeep_alive_idle = \"1s\"\n\
                [ingest.body]\nidle = \"1s\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let mut cases = answered();
    cases.extend(answered_too());
    for header in REFUSED_HEADERS {
        let body = if header.contains("transfer") {
            CHUNKS
        } else {
            BODY
        };
        let body = format!("{body}{HIDDEN}");
        cases.push((request(POST, &[header], &body), "400"));
    }
    for chunks in REFUSED_CHUNKS {
        let body = format!("{chunks}{HIDDEN}");
        cases.push((request(POST, &[CHUNKED], &body), "400"));
    }
    let found = join_all(cases.iter().map(|(bytes, _)| statuses(&ingest, bytes))).await;
    let mut accepted = 0;
    for ((bytes, expected), found) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{bytes:?}");
        accepted += expected.matches("202").count();
    }
    assert_eq!(ids_in(&frames(&redis).await).len(), accepted);
    ingest.stop().await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Opens streams and resets each at once (CVE-2023-44487); returns the kinds of the frames that
/// came until the server ended the connection.
async fn rapid_reset(address: &str, streams: u32) -> Vec<u8> {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    // POST, http and the path /events, out of the static table and as a literal.
    let head = b"\x83\x86\x04\x07/events\x01\x01a";
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut reading, mut writing) = stream.into_split();
    let flood = async {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        for number in 0..streams {
            let id = number * 2 + 1;
            bytes.extend(frame(HEADERS, 4, id, head));
            bytes.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
            if bytes.len() > 1 << 14 {
                if writing.write_all(&bytes).await.is_err() {
                    return;
                }
                bytes.clear();
            }
        }
        drop(writing.write_all(&bytes).await);
        drop(writing.shutdown().await);
    };
    let read = async {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = reading.read(&mut buffer).await {
            all.extend_from_slice(&buffer[..read]);
        }
        all
    };
    let ((), all) = timeout(SOON, async { tokio::join!(flood, read) })
        .await
        .expect("the server ends it");
    let mut kinds = Vec::new();
    let mut rest = &all[..];
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    const GOAWAY: u8 = 7;
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "[ingest]\nhttp2 = true").await;
    let floods = join_all((0..4).map(|_| rapid_reset(&ingest.address, 50_000)));
    let beside = async {
        for _ in 0..20 {
            assert_eq!(ingest.post(list(1)).await.0, 202);
        }
    };
    let (kinds, ()) = tokio::join!(floods, beside);
    for kinds in kinds {
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
        let answers = kinds.len();
        assert!(answers < 1_000, "{answers} frames: it went on for long");
    }
    // Nothing of them was an event.
    assert_eq!(ids_in(&frames(&redis).await).len(), 20);
    ingest.stop().await;
}
