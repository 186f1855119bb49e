//! The contract of POST /events, as it is seen from outside.

use std::io::Write;
use std::time::Duration;

use evp_shared::testing::TestRedis;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestIngest, answer_of, frames, ids_in, ids_of};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn one_event_is_answered_when_it_is_on_the_stream() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let event = r#"{"eventType":"signup","userId":"u1","eventId":"e1","timestamp":1700000000}"#;
    let answer = ingest.request("").body(event).send().await.unwrap();
    assert_eq!(answer.headers()["evp-durability"], "fsync");
    let (status, body) = answer_of(answer).await;
    assert_eq!(status, 202);
    assert_eq!(
        (&body["accepted"], &body["eventId"]),
        (&json!(1), &json!("e1"))
    );
    assert_eq!(body["ids"], json!([body["id"]]));

    let (again, same) = ingest.post(event).await;
    assert_eq!((again, &same["id"]), (202, &body["id"]));
    let frames = frames(&redis).await;
    assert_eq!(
        ids_in(&frames).into_iter().collect::<Vec<_>>(),
        ids_of(&body)
    );
    assert_eq!(&*frames[0].header.counts[0].event_type, "signup");
    ingest.stop().await;
}

#[tokio::test]
async fn every_format_and_encoding_is_taken() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let event = |id: &str| format!(r#"{{"type":"a","eventId":"{id}"}}"#);
    let lines = format!("{}\r\n\r\n{}\n", event("l1"), event("l2"));
    let list = format!("[{},{}]", event("a1"), event("a2"));
    let envelope = format!(r#"{{"events":[{}]}}"#, event("v1"));
    let packed = zstd::stream::encode_all(event("z1").as_bytes(), 1).unwrap();
    let ct = "content-type";
    let ce = "content-encoding";
    let requests = [
        (
            ingest.request("").header(ct, "application/json").body(list),
            2,
        ),
        (
            ingest
                .request("")
                .header(ct, "application/x-ndjson")
                .body(lines),
            2,
        ),
        (
            ingest.request("").header(ct, "text/plain").body(envelope),
            1,
        ),
        (
            ingest
                .request("")
                .header(ce, "gzip")
                .body(gzip(event("g1").as_bytes())),
            1,
        ),
        (ingest.request("").header(ce, "zstd").body(packed), 1),
        (
            ingest
                .request("?ids=none")
                .header("idempotency-key", "k1")
                .body(r#"{"type":"a"}"#),
            1,
        ),
    ];
    for (request, accepted) in requests {
        let (status, body) = answer_of(request.send().await.unwrap()).await;
        assert_eq!(
            (status, &body["accepted"]),
            (202, &json!(accepted)),
            "{body}"
        );
    }
    assert_eq!(ids_in(&frames(&redis).await).len(), 8);
    ingest.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_one_event_costs_only_that_event() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let lines = [
        r#"{"type":"a"}"#,
        r#"{"type":"a"} {"type":"a"}"#,
        r#"{"type":"a","eventId":"x"}"#,
        r#"{"type":"a","eventId":"x"}"#,
        r#"{"type":"a","payload":{"k":1,"k":2}}"#,
        &format!(
            r#"{{"type":"a","payload":{{"k":{}{}}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        r#"{"type":"a","payload":{"k":1e999}}"#,
        r#"{"type":"a","payload":{"k\u0000":1}}"#,
        r#"{"type":"a","colour":"red"}"#,
        r#"{"type":"a"}"#,
    ];
    let (status, body) = ingest.post(lines.join("\n")).await;
    assert_eq!(status, 202);
    assert_eq!(
        (&body["accepted"], &body["duplicates"]),
        (&json!(3), &json!(1))
    );
    let rejected: Vec<_> = body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["index"].as_u64().unwrap(),
                event["code"].as_str().unwrap(),
                event["field"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        (1, "trailing_tokens", ""),
        (3, "duplicate_in_request", "eventId"),
        (4, "duplicate_key", "payload.k"),
        (5, "too_deep", "payload.k"),
        (6, "number_out_of_range", "payload.k"),
        (7, "nul_in_key", "payload.k\u{fffd}"),
        (8, "unknown_field", "colour"),
    ];
    assert_eq!(rejected, expected);
    assert_eq!(ids_in(&frames(&redis).await).len(), 3);

    let (status, body) = ingest.post(r#"[{"type":"a","x":1},5]"#).await;
    assert_eq!(
        (status, &body["code"]),
        (400, &json!("all_events_rejected"))
    );
    assert_eq!(body["rejected"].as_array().unwrap().len(), 2);
    ingest.stop().await;
}

#[expect(clippy::too_many_lines, reason = "a table: one row per fault")]
#[tokio::test]
async fn what_is_wrong_with_the_body_stores_nothing() {
    let redis = TestRedis::new().await;
    let toml = "[ingest.body]\nevents = 3\nbytes = \"64KiB\"\ndecoded_bytes = \"128KiB\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let plain = |body: &[u8]| ingest.request("").body(body.to_vec());
    let headed = |name: &str, value: &str, body: &[u8]| {
        plain(body).header(name.to_owned(), value.to_owned())
    };
    let good = br#"{"type":"a"}"#;
    let ce = "content-encoding";
    let bomb = gzip(&vec![b' '; 1024 * 1024]);
    let list = br#"[{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"}]"#;
    let cases = [
        (plain(b""), 400, "empty_body"),
        (plain(br#"[{"type":"a"},"#), 400, "malformed_json"),
        (plain(br#"[{"type":"a"} oops]"#), 400, "malformed_json"),
        (plain(b"[{\"type\":\"\xff\"}]"), 400, "invalid_utf8"),
        (plain(list), 413, "too_many_events"),
        (plain(&vec![b' '; 65 * 1024]), 413, "body_too_large"),
        (
            headed("content-type", "application/xml", good),
            415,
            "unsupported_content_type",
        ),
        (headed(ce, "br", good), 415, "unsupported_encoding"),
        (headed(ce, "gzip", good), 400, "malformed_encoding"),
        (
            headed(ce, "gzip", &gzip(good)[..20]),
            400,
            "malformed_encoding",
        ),
        (headed(ce, "gzip", &bomb), 413, "body_too_large"),
        (headed("idempotency-key", "k", list), 413, "too_many_events"),
        (
            headed("idempotency-key", "k", b"[{\"type\":\"a\"}]"),
            400,
            "invalid_idempotency_key",
        ),
        (
            ingest.request("?ack=stored").body(good.to_vec()),
            400,
            "invalid_parameter",
        ),
        (
            ingest.request("?ak=stream").body(good.to_vec()),
            400,
            "unknown_parameter",
        ),
    ];
    for (request, status, code) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{code}"
        );
        let (found, body) = answer_of(answer).await;
        assert_eq!(
            (found, body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(body["retryable"], false, "{body}");
    }
    let (_, body) = ingest.post(r#"[{"type":"a"} oops]"#).await;
    assert_eq!(body["offset"], 14);
    let misnamed = ingest.request("?ak=stream").body(good.to_vec());
    let (_, body) = answer_of(misnamed.send().await.unwrap()).await;
    assert_eq!(body["parameter"], "ak", "{body}");
    assert!(frames(&redis).await.is_empty());
    ingest.stop().await;
}

/// Sends a request written by hand and returns what comes back until the server closes.
async fn raw(ingest: &TestIngest, text: &str) -> String {
    let mut stream = TcpStream::connect(&ingest.address).await.unwrap();
    let text = ingest.keyed(text);
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("closes")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let redis = TestRedis::new().await;
    let ingest =
        TestIngest::ready(&redis, "[ingest.body]\nidle = \"100ms\"\ntotal = \"300ms\"").await;
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"type\"";
    let answer = raw(&ingest, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    let chunked = "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n6\r\n{\"type\r\n6\r\n\":\"a\"}\r\n0\r\n\r\n";
    let answer = raw(&ingest, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(frames(&redis).await.len(), 1);
    ingest.stop().await;
}

#[tokio::test]
async fn other_paths_and_methods_are_told_what_to_do() {
    let redis = TestRedis::new().await;
    let toml = "[ingest.cors]\norigins = [\"http://app.example\"]";
    let ingest = TestIngest::ready(&redis, toml).await;
    let url = |path: &str| format!("http://{}{path}", ingest.address);

    let alive = ingest.http.get(url("/livez")).send().await.unwrap();
    assert_eq!(alive.status(), 200);
    let missing = answer_of(ingest.http.get(url("/nothing")).send().await.unwrap()).await;
    assert_eq!((missing.0, &missing.1["code"]), (404, &json!("not_found")));
    let wrong = ingest.http.get(url("/events")).send().await.unwrap();
    assert_eq!(
        (
            wrong.status().as_u16(),
            wrong.headers()["allow"].to_str().unwrap()
        ),
        (405, "POST, OPTIONS")
    );

    let preflight = |origin: &'static str| {
        let request = ingest
            .http
            .request(reqwest::Method::OPTIONS, url("/events"));
        request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    let allowed = preflight("http://app.example").await.unwrap();
    assert_eq!(allowed.status(), 204);
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "http://app.example"
    );
    assert!(
        allowed.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("idempotency-key")
    );
    let foreign = preflight("http://evil.example").await.unwrap();
    assert_eq!(foreign.headers().get("access-control-allow-origin"), None);
    ingest.stop().await;
}

/// What a browser sends for a page that asks nobody: a form, `fetch` of text, `sendBeacon`.
#[tokio::test]
async fn only_pages_of_allowed_origins_may_send_events() {
    let redis = TestRedis::new().await;
    let toml = "[ingest.cors]\norigins = [\"http://app.example\"]";
    let ingest = TestIngest::ready(&redis, toml).await;
    let own = format!("http://{}", ingest.address);
    for origin in [
        "http://evil.example",
        "null",
        "http://app.example.evil",
        &own,
    ] {
        let post = ingest.request("").header("origin", origin);
        let post = post.header("content-type", "text/plain");
        let (status, body) = answer_of(post.body(r#"{"type":"a"}"#).send().await.unwrap()).await;
        assert_eq!(
            (status, &body["code"]),
            (403, &json!("origin_not_allowed")),
            "{origin}"
        );
    }
    assert_eq!(frames(&redis).await.len(), 0);

    let post = ingest.request("").header("origin", "http://app.example");
    let answer = post.body(r#"{"type":"a"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let url = format!("{own}/events");
    let preflight = ingest.http.request(reqwest::Method::OPTIONS, url);
    let preflight = preflight
        .header("origin", "http://app.example")
        .header("access-control-request-method", "POST");
    for answer in [answer, preflight.send().await.unwrap()] {
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], "http://app.example");
        assert_eq!(headers["access-control-allow-credentials"], "true");
    }
    assert_eq!(frames(&redis).await.len(), 1);
    ingest.stop().await;
}
