//! What the processors say of storage: from where on events are kept, and that the disk is full.

use evp_shared::event::id::MadeId;
use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::{KeysInterface as _, LuaInterface as _};
use fred::prelude::{Expiration, Value as RedisValue};
use serde_json::{Value, json};

use crate::support::{TestIngest, answer_of, frames, ids_in, list, own_redis};

const FLOOR_MS: u64 = 1_700_000_000_000;

async fn set_floor(redis: &TestRedis, floor_ms: u64) {
    let key = redis.keys().floor();
    let set = redis
        .client()
        .set(key, floor_ms.to_string(), None, None, false);
    let () = set.await.expect("set");
}

async fn set_full(redis: &TestRedis, expiration: Option<Expiration>) {
    let key = redis.keys().full();
    let set = redis.client().set(key, "951", expiration, None, false);
    let () = set.await.expect("set");
}

async fn delete(redis: &TestRedis, key: String) {
    let _: u64 = redis.client().del(key).await.expect("deleted");
}

fn at(id: &str, ms: u64) -> String {
    format!(r#"{{"type":"a","eventId":"{id}","timestamp":{ms}}}"#)
}

fn dated(ms: u64) -> String {
    let made = MadeId::new(ms, &[1; 10]);
    let id = made.encode(&mut [0; 36]).to_owned();
    format!(r#"{{"type":"a","eventId":"{id}"}}"#)
}

/// The rejected events of an answer: index, code and field.
fn rejected(body: &Value) -> Vec<(u64, &str, Option<&str>)> {
    let rejected = body["rejected"].as_array().expect("a list");
    let one = |event: &'_ Value| event["index"].as_u64().expect("an index");
    let text = |event, name| Value::get(event, name).and_then(Value::as_str);
    rejected
        .iter()
        .map(|event| {
            (
                one(event),
                text(event, "code").unwrap(),
                text(event, "field"),
            )
        })
        .collect()
}

#[tokio::test]
async fn what_is_below_the_floor_is_rejected_from_the_first_request_on() {
    let redis = TestRedis::new().await;
    set_floor(&redis, FLOOR_MS).await;
    let ingest = TestIngest::ready(&redis, "").await;
    let events = [
        at("x", FLOOR_MS - 1),
        at("x", FLOOR_MS),
        r#"{"type":"a","eventId":"y"}"#.to_owned(),
        dated(FLOOR_MS - 1),
        dated(FLOOR_MS),
        r#"{"type":"a"}"#.to_owned(),
    ];
    let (status, body) = ingest.post(format!("[{}]", events.join(","))).await;
    assert_eq!((status, &body["accepted"]), (202, &json!(3)), "{body}");
    let expected = [
        (0, "too_old", Some("timestamp")),
        (2, "undated", Some("timestamp")),
        (3, "too_old", Some("eventId")),
    ];
    assert_eq!(rejected(&body), expected);
    let (status, body) = ingest.post(at("x", 0)).await;
    assert_eq!(
        (status, &body["code"]),
        (400, &json!("all_events_rejected"))
    );
    assert_eq!(rejected(&body), [(0, "too_old", Some("timestamp"))]);
    assert_eq!(ids_in(&frames(&redis).await).len(), 3);
    let metrics = ingest.metrics();
    for reason in ["too_old", "undated"] {
        let counted = format!(r#"evp_ingest_rejected_events_total{{reason="{reason}"}} "#);
        let line = metrics.lines().find_map(|line| line.strip_prefix(&counted));
        assert!(line.is_some_and(|count| count != "0"), "{reason}");
    }
    ingest.stop().await;
}

/// Waits until what stands in Redis was read since it says that the disk is full or not: that is
/// read together with the floor. Without requests, which would make it be read less often.
async fn read_since(redis: &TestRedis, ingest: &TestIngest, is_full: bool) {
    if is_full {
        set_full(redis, None).await;
    } else {
        delete(redis, redis.keys().full()).await;
    }
    let is_read = || async { ingest.is_ready() != is_full };
    wait_for("what is there is read", is_read).await;
}

#[tokio::test]
async fn a_floor_rises_while_requests_come_and_never_falls() {
    let (_server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "").await;
    let old = at("x", FLOOR_MS - 1);
    let is_refused = async || {
        let (status, body) = ingest.post(old.clone()).await;
        assert!(status == 202 || status == 400, "{body}");
        status == 400 && body["rejected"][0]["code"] == "too_old"
    };
    assert!(!is_refused().await, "without a floor all is kept");
    set_floor(&redis, FLOOR_MS).await;
    wait_for("it has risen", &is_refused).await;

    set_floor(&redis, FLOOR_MS - 1_000).await;
    read_since(&redis, &ingest, true).await;
    delete(&redis, redis.keys().floor()).await;
    read_since(&redis, &ingest, false).await;
    assert!(is_refused().await, "a lower one, then none");

    let none = Vec::<String>::new();
    let flush = "return redis.call('FLUSHALL')";
    let flush = redis.client().eval(flush, none.clone(), none);
    let _: RedisValue = flush.await.expect("flushed");
    read_since(&redis, &ingest, true).await;
    read_since(&redis, &ingest, false).await;
    assert!(is_refused().await, "a Redis that forgot");
    ingest.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_requests_until_nobody_says_so() {
    let redis = TestRedis::new().await;
    set_full(&redis, None).await;
    let ingest = TestIngest::start(&redis, "").await;
    wait_for("it is greeted, and refuses", || async {
        ingest.post(list(1)).await.1["code"] == "storage_full"
    })
    .await;
    let answer = ingest.request("").body(list(1)).send().await.unwrap();
    let wait = answer.headers()["retry-after"].to_str().unwrap().to_owned();
    assert!(wait.parse::<u64>().unwrap() >= 60, "{wait}");
    let (status, body) = answer_of(answer).await;
    assert_eq!((status, &body["retryable"]), (503, &json!(true)), "{body}");
    let title = body["title"].as_str().unwrap();
    assert!(title.contains("storage.keep"), "{title}");
    wait_for("readiness says so", || async {
        let readiness = serde_json::to_string(&ingest.health.readiness()).unwrap();
        readiness.contains("at its limit: storage_full")
    })
    .await;
    let shed = r#"evp_ingest_shed_requests_total{reason="storage_full"}"#;
    assert!(ingest.metrics().contains(shed));

    set_full(&redis, Some(Expiration::PX(100))).await;
    ingest.wait_until_ready().await;
    let (status, body) = ingest.post(list(1)).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(ids_in(&frames(&redis).await).len(), 1);
    ingest.stop().await;
}

#[tokio::test]
async fn undated_ids_are_taken_as_long_as_nothing_ends() {
    let redis = TestRedis::new().await;
    let toml = "[dedupe]\nidentity = \"id\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let body = format!("[{},{}]", at("x", FLOOR_MS), dated(FLOOR_MS));
    let (status, answer) = ingest.post(body.clone()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(2)), "{answer}");
    ingest.stop().await;

    // No processor of this identity writes a floor; somebody may.
    set_floor(&redis, FLOOR_MS).await;
    let ingest = TestIngest::ready(&redis, toml).await;
    let (status, answer) = ingest.post(body).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    assert_eq!(rejected(&answer), [(0, "undated", Some("eventId"))]);
    ingest.stop().await;
}
