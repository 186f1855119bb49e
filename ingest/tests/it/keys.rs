//! Who may send events: `auth.mode = "keys"`.

use std::cell::Cell;

use evp_shared::access::rate::{Rate, RateLimits};
use evp_shared::access::record::{Scope, TenantState};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::testing::{PATIENCE, TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{TestIngest, answer_of, frames, ids_in, ids_of, list};
use crate::told::Told;

const KEYS: &str = "[auth]\nmode = \"keys\"";
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

fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
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
async fn a_revoked_key_is_refused_and_stays_so_when_redis_forgets() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let keys = [told.key("a", |_| ()), told.key("a", |_| ())];
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    assert_eq!(post(&ingest, &keys[0]).await.0, 202);
    told.records.keys[0].revoked_ms = Some(2);
    told.say(&redis).await;
    let is_refused = || async { code(&post(&ingest, &keys[0]).await.1) == "key_revoked" };
    wait_for("it is refused", is_refused).await;

    // An old version, then none.
    told.records.keys[0].revoked_ms = None;
    told.version = 0;
    told.say(&redis).await;
    let age = || {
        let metrics = ingest.metrics();
        let name = "evp_ingest_access_age_seconds ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |age| age.parse::<f64>().unwrap())
    };
    wait_for("it has been looked at", || async { age() > 1.0 }).await;
    assert!(is_refused().await);
    let _: u64 = redis.client().del(redis.keys().access()).await.unwrap();
    wait_for("it has been looked at", || async { age() > 2.0 }).await;
    assert!(is_refused().await);
    assert_eq!(post(&ingest, &keys[1]).await.0, 202);
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

#[tokio::test]
async fn who_sends_more_than_its_rate_is_told_when_to_come_back() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    // Nothing passes again while the test runs.
    let rate = |burst| {
        let per_second = 1;
        Some(Rate { per_second, burst })
    };
    let limited = told.key("a", |key| key.limits.events = rate(5_000));
    let by_bytes = told.key("a", |key| key.limits.bytes = rate(5_000));
    let free = told.key("a", |_| ());
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let send = async |key: &str, events: usize| {
        let body = list(events);
        let sent = ingest
            .request("?ids=none")
            .bearer_auth(key)
            .body(body)
            .send();
        sent.await.expect("an answer")
    };
    // What passes may overdraw it once.
    assert_eq!(send(&limited, 5_000).await.status(), 202);
    assert_eq!(send(&limited, 4_000).await.status(), 202);
    assert_eq!(send(&by_bytes, 400).await.status(), 202);
    for (key, limit) in [(&limited, "key-events"), (&by_bytes, "key-bytes")] {
        let answer = send(key, 1).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let wait: u64 = header("retry-after").parse().unwrap();
        assert!(wait > 60, "{wait}");
        assert_eq!(header("ratelimit"), format!("\"{limit}\";r=0;t={wait}"));
        assert_eq!(
            header("ratelimit-policy"),
            format!("\"{limit}\";q=5000;w=5000")
        );
        let (status, body) = answer_of(answer).await;
        assert_eq!(
            (status, code(&body), &body["limit"]),
            (429, "rate_limited", &json!(limit))
        );
    }
    // What has passed is remembered when something else changes.
    told.records.keys.pop();
    told.say(&redis).await;
    let is_gone = || async { send(&free, 1).await.status() == 401 };
    wait_for("the change is in force", is_gone).await;
    assert_eq!(send(&limited, 1).await.status(), 429);
    // Those of a tenant hold for all its keys.
    told.records.keys[0].limits = RateLimits::default();
    told.records.tenants[0].limits.events = rate(10);
    told.say(&redis).await;
    let passes = || async { send(&limited, 11).await.status() == 202 };
    wait_for("the change is in force", passes).await;
    let (status, body) = answer_of(send(&limited, 1).await).await;
    assert_eq!(
        (status, &body["limit"]),
        (429, &json!("tenant-events")),
        "{body}"
    );
    ingest.stop().await;
}

#[tokio::test]
async fn a_quota_of_a_day_is_held_over_all_instances() {
    const QUOTA: u64 = 10_000;
    const EVENTS: usize = 200;
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    told.tenant("b", TenantState::Active);
    told.records.tenants[0].events_per_day = Some(QUOTA);
    let (key, other) = (told.key("a", |_| ()), told.key("b", |_| ()));
    told.say(&redis).await;
    let ingests = [
        TestIngest::ready(&redis, KEYS).await,
        TestIngest::ready(&redis, KEYS).await,
    ];
    let send = async |ingest: &TestIngest, key: &str, events: usize| {
        let sent = ingest.request("?ids=none").bearer_auth(key);
        let answer = sent.body(list(events)).send().await.expect("an answer");
        let wait = answer.headers().get("retry-after").cloned();
        let wait = wait.map_or(0, |wait| wait.to_str().unwrap().parse::<u64>().unwrap());
        let (status, body) = answer_of(answer).await;
        (status, code(&body).to_owned(), wait)
    };
    let accepted = Cell::new(0);
    for ingest in &ingests {
        // A slice that is on its way is there within a second; what is spent, on the next day.
        wait_for("it is spent", async || {
            let (status, code, wait) = send(ingest, &key, EVENTS).await;
            accepted.set(accepted.get() + u64::from(status == 202) * EVENTS as u64);
            assert!(status == 202 || code == "quota_exceeded", "{status} {code}");
            wait > 1
        })
        .await;
    }
    let accepted = accepted.get();
    assert!(
        (QUOTA - 2 * EVENTS as u64..=QUOTA).contains(&accepted),
        "{accepted}"
    );
    assert_eq!(send(&ingests[0], &other, 1).await.0, 202);
    for ingest in ingests {
        ingest.stop().await;
    }
}

#[tokio::test]
async fn who_has_more_than_its_share_is_refused_before_the_others() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    let keys = ["large", "small"].map(|id| {
        told.tenant(id, TenantState::Active);
        told.key(id, |_| ())
    });
    told.say(&redis).await;
    let toml = format!("{KEYS}\n[ingest.admission]\nbacklog_events = 10_000");
    let ingest = TestIngest::ready(&redis, &toml).await;
    let send = async |key: &str, events: usize| {
        let sent = ingest.request("?ids=none").bearer_auth(key);
        let answer = sent.body(list(events)).send().await.expect("an answer");
        let (status, body) = answer_of(answer).await;
        (status, code(&body).to_owned())
    };
    let [large, small] = &keys;
    // Nobody stores them: the backlog stays.
    assert_eq!(send(small, 10).await.0, 202);
    assert_eq!(send(large, 8_000).await.0, 202);
    wait_for("it is refused", || async { send(large, 1).await.0 == 503 }).await;
    assert_eq!(send(large, 1).await.1, "overloaded");
    assert_eq!(
        send(small, 10).await.0,
        202,
        "the last quarter is for the others"
    );
    // Up to the bound, which holds for all.
    assert_eq!(send(small, 2_500).await.0, 202);
    wait_for("it is refused", || async { send(small, 1).await.0 == 503 }).await;
    ingest.stop().await;
}

#[tokio::test]
async fn what_became_of_a_tenants_events_is_told() {
    let (redis, mut told) = (TestRedis::new().await, Told::default());
    told.tenant("a", TenantState::Active);
    let good = told.key("a", |_| ());
    let revoked = told.key("a", |key| key.revoked_ms = Some(5));
    told.say(&redis).await;
    let ingest = TestIngest::ready(&redis, KEYS).await;
    let body = r#"[{"type":"a"},{"type":"b"},{"type":1}]"#;
    let sent = ingest.request("").bearer_auth(&good).body(body).send();
    assert_eq!(sent.await.expect("an answer").status(), 202);
    let sent = ingest.request("").bearer_auth(&good).body("[").send();
    assert_eq!(sent.await.expect("an answer").status(), 400);
    assert_eq!(post(&ingest, &revoked).await.0, 401);
    // Told at the end too.
    ingest.stop().await;
    let stream = redis.stream(1);
    let hour = evp_shared::clock::Clock::system().now_ms() / 3_600_000;
    let usage = stream.usage("a", hour).await.unwrap();
    let expected = [
        ("accepted", 2),
        ("key_revoked", 1),
        ("malformed_json", 1),
        ("wrong_type", 1),
    ];
    assert_eq!(
        usage,
        expected
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    );
    let used = stream.used().await.unwrap();
    assert_eq!(used.keys().collect::<Vec<_>>(), ["key_0"]);
}
