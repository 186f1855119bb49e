//! Who may send events: `auth.mode = "keys"`.

use evp_shared::access::record::{Scope, TenantState};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::testing::{PATIENCE, TestRedis};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{KEYS, TestIngest, answer_of, code, frames, ids_in, ids_of};
use crate::told::Told;

const EVENT: &str = r#"{"type":"a","eventId":"one"}"#;

async fn post(ingest: &TestIngest, key: &str) -> (u16, Value) {
    let sent = ingest.request("").bearer_auth(key).body(EVENT).send();
    answer_of(sent.await.expect("an answer")).await
}

/// Asks over an open connection; the first bytes of the answer.
async fn ask(stream: &mut TcpStream, key: &str) -> String {
    let length = EVENT.len();
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\ncontent-length: {length}\r\n\r\n{EVENT}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_connection_that_has_shown_no_key_is_closed_before_one_that_has() {
    let redis = TestRedis::new().await;
    let mut told = Told::default();
    told.tenant("acme", TenantState::Active);
    let key = told.key("acme", |_| ());
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let mut known = TcpStream::connect(&ingest.address).await.unwrap();
    assert!(ask(&mut known, &key).await.contains(" 202 "));
    let mut stranger = TcpStream::connect(&ingest.address).await.unwrap();
    let unknown = Token::generate(KeyKind::Secret);
    assert!(ask(&mut stranger, unknown.expose()).await.contains(" 401 "));
    let ended = timeout(PATIENCE, stranger.read(&mut [0; 1])).await;
    assert_eq!(ended.expect("it is closed").unwrap(), 0);
    assert!(ask(&mut known, &key).await.contains(" 202 "));
    ingest.stop().await;
}

#[tokio::test]
async fn events_are_of_the_tenant_whose_key_sends_them() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    let ids = ["a", "b"];
    let keys = ids.map(|id| {
        told.tenant(id, TenantState::Active);
        told.key(id, |_| ())
    });
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let mut stored = Vec::new();
    for key in &keys {
        let (status, body) = post(&ingest, key).await;
        assert_eq!(status, 202, "{body}");
        stored.extend(ids_of(&body));
    }
    assert_ne!(stored[0], stored[1], "one eventId of two tenants");
    let frames = frames(&redis).await;
    assert_eq!(ids_in(&frames), stored.into_iter().collect());
    ingest.stop().await;
}

#[tokio::test]
async fn who_may_not_send_is_told_why_and_nothing_is_taken() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    told.tenant("off", TenantState::Disabled);
    let good = told.key("a", |_| ());
    let cases = [
        (
            told.key("a", |key| key.scope = Scope::Read),
            403,
            "scope_missing",
        ),
        (
            told.key("a", |key| key.scope = Scope::Admin),
            403,
            "scope_missing",
        ),
        (
            told.key("a", |key| key.expires_ms = Some(5)),
            401,
            "key_expired",
        ),
        (
            told.key("a", |key| key.revoked_ms = Some(5)),
            401,
            "key_revoked",
        ),
        (told.key("off", |_| ()), 403, "tenant_disabled"),
        (told.key("nobody", |_| ()), 403, "tenant_disabled"),
        (
            Token::generate(KeyKind::Secret).expose().to_owned(),
            401,
            "unknown_key",
        ),
        (good.replace("evp_sec", "evp_pub"), 401, "malformed_key"),
        ("x".to_owned(), 401, "malformed_key"),
    ];
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let asks_for_key = |answer: &Response| answer.headers().contains_key("www-authenticate");
    for (key, status, expected) in cases {
        let sent = ingest.request("").bearer_auth(&key).body(EVENT).send();
        let answer = sent.await.expect("an answer");
        assert_eq!(asks_for_key(&answer), status == 401, "{expected}");
        let (got, body) = answer_of(answer).await;
        assert_eq!((got, code(&body)), (status, expected), "{body}");
    }
    assert!(frames(&redis).await.is_empty());
    assert_eq!(post(&ingest, &good).await.0, 202);
    ingest.stop().await;
}

#[tokio::test]
async fn a_request_shows_one_key_in_its_head() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let (good, other) = (told.key("a", |_| ()), told.key("a", |_| ()));
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let (in_url, bearer) = (format!("?key={good}"), format!("Bearer {other}"));
    let two = [("x-api-key", good.as_str()), ("authorization", &bearer)];
    let cases: [(&str, &[(&str, &str)], _, _); 4] = [
        ("", &[], 401, "missing_key"),
        ("", &[("cookie", &good)], 401, "missing_key"),
        (&in_url, &[], 401, "key_in_url"),
        ("", &two, 400, "conflicting_keys"),
    ];
    for (query, headers, status, expected) in cases {
        let mut request = ingest.request(query).body(EVENT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (got, body) = answer_of(request.send().await.expect("an answer")).await;
        assert_eq!((got, code(&body)), (status, expected), "{body}");
    }
    assert!(frames(&redis).await.is_empty());
    ingest.stop().await;
}

#[tokio::test]
async fn a_public_key_may_stand_in_the_url() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let key = told.key("a", |key| key.kind = KeyKind::Public);
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    for query in [
        format!("?key={key}"),
        format!("?ids=none&key={key}&ack=stream"),
    ] {
        let sent = ingest.request(&query).body(EVENT).send().await;
        let (status, body) = answer_of(sent.expect("an answer")).await;
        assert_eq!(status, 202, "{body}");
    }
    // Clients of Segment send it as the user of Basic.
    let sent = ingest.request("").basic_auth(&key, Some("")).body(EVENT);
    let (status, body) = answer_of(sent.send().await.expect("an answer")).await;
    assert_eq!(status, 202, "{body}");
    ingest.stop().await;
}

#[tokio::test]
async fn until_it_is_known_who_may_come_in_nobody_is_told_that_their_key_is_bad() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let key = told.key("a", |_| ());
    let ingest = TestIngest::start(&redis, KEYS).await;
    let sent = ingest.request("").bearer_auth(&key).body(EVENT).send();
    let answer = sent.await.expect("an answer");
    assert_eq!(answer.headers()["retry-after"], "1");
    let (status, body) = answer_of(answer).await;
    assert_eq!((status, code(&body)), (503, "access_unknown"));
    assert!(!ingest.is_ready());
    told.say(&redis).await;
    ingest.wait_until_ready().await;
    assert_eq!(post(&ingest, &key).await.0, 202);
    ingest.stop().await;
}

#[tokio::test]
async fn a_key_sends_events_of_its_types_from_pages_of_its_origins() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let held = told.key("a", |key| {
        key.types = vec!["a".to_owned(), "b".to_owned()];
        key.origins = vec!["https://app.example".to_owned()];
    });
    let free = told.key("a", |_| ());
    told.say(&redis).await;
    let toml = format!("{KEYS}\n[ingest.cors]\norigins = [\"https://all.example\"]");
    let ingest = TestIngest::ready(&redis, &toml).await;

    let body = r#"[{"type":"a"},{"type":"c"},{"type":"b"}]"#;
    let sent = ingest.request("").bearer_auth(&held).body(body).send();
    let (status, body) = answer_of(sent.await.expect("an answer")).await;
    assert_eq!((status, &body["accepted"]), (202, &json!(2)), "{body}");
    let rejected = &body["rejected"][0];
    assert_eq!(
        (&rejected["index"], code(rejected)),
        (&json!(1), "type_not_allowed")
    );

    let (app, all) = ("https://app.example", "https://all.example");
    for (key, origin, expected) in [
        (&held, app, 202),
        (&held, all, 403),
        (&free, all, 202),
        (&free, app, 403),
        (&free, "https://evil.example", 403),
    ] {
        let request = ingest.request("").bearer_auth(key).header("origin", origin);
        let answer = request.body(EVENT).send().await.expect("an answer");
        assert_eq!(answer.status(), expected, "{origin}");
    }
    // A preflight carries no key: it is answered for the origins of all.
    for (origin, is_allowed) in [(app, true), (all, true), ("https://evil.example", false)] {
        let url = format!("http://{}/events", ingest.address);
        let preflight = ingest
            .http
            .request(Method::OPTIONS, url)
            .header("origin", origin);
        let answer = preflight.send().await.expect("an answer");
        let allowed = answer.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some(), is_allowed, "{origin}");
    }
    ingest.stop().await;
}
