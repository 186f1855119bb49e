//! What is no request, over raw sockets: each is answered with a problem.

use tokio::io::AsyncWriteExt;

use crate::http_server::{GET, GRACE, limits, read_to_end, read_until, start};

/// What is no request, or one that another server may read otherwise.
const NO_REQUESTS: [(&str, u16, &str); 8] = [
    (
        "GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n",
        400,
        "malformed_request",
    ),
    (
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        400,
        "malformed_request",
    ),
    (
        "G\0T / HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
        "malformed_request",
    ),
    ("GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"),
    (
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        400,
        "malformed_request",
    ),
    (
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        400,
        "malformed_request",
    ),
    (
        "GET / HTTP/1.0\r\nhost: a/b\r\n\r\n",
        400,
        "malformed_request",
    ),
    ("GET / HTTP/1.1\r\nx: ", 431, "header_too_large"),
];

/// Reads the first answer of `text` as a problem; returns its code, and what follows.
fn problem_of(text: &str, status: u16) -> String {
    let starts = ["HTTP/1.1", "HTTP/1.0"].map(|version| format!("{version} {status} "));
    assert!(starts.iter().any(|start| text.starts_with(start)), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: application/problem+json"),
        "{text}"
    );
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let body = body.get(..length).unwrap();
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    problem["code"].as_str().unwrap().to_owned()
}

/// Also those that hyper answers by itself, and to a client that sends more before it reads.
#[tokio::test]
async fn each_request_that_is_none_gets_a_problem() {
    let server = start(limits(), GRACE).await;
    for (request, status, code) in NO_REQUESTS {
        // After a good request too, whose answer is not to be touched.
        for before in ["", GET] {
            let mut stream = server.connect().await;
            let sent = [before, request].concat();
            stream.write_all(sent.as_bytes()).await.unwrap();
            stream.write_all(&[b'x'; 100_000]).await.unwrap();
            stream.shutdown().await.unwrap();
            let all = read_to_end(&mut stream).await;
            let last = match before {
                "" => all.as_str(),
                _ => all.split_once("/ 0").expect("the good answer").1,
            };
            assert_eq!(problem_of(last, status), code, "{request:?}: {all}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn hosts_are_taken_as_they_may_be() {
    let server = start(limits(), GRACE).await;
    for host in [
        "a",
        "",
        "a.b-c:80",
        "[::1]:80",
        "127.0.0.1",
        "a_b",
        "%c3%a9",
    ] {
        let mut stream = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "/ 0").await;
    }
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    read_until(&mut stream, "/ 0").await;
    server.stop().await;
}
