//! What becomes of requests when Redis goes away, is full, or forgets.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::event::id::CanonicalId;
use evp_shared::testing::{TestRedis, unique, wait_for};
use fred::interfaces::{ConfigInterface, KeysInterface, LuaInterface, StreamsInterface};
use fred::prelude::Value as RedisValue;
use reqwest::Client;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{OPEN, TestIngest, answer_of, frames, ids_in, ids_of, list, own_redis};

/// What several clients have come to.
#[derive(Default)]
struct Progress {
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Progress {
    /// Waits until `requests` more are acknowledged.
    async fn goes_on(&self, requests: usize) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        wait_for("more is acknowledged", || async {
            self.acknowledged.load(Ordering::SeqCst) >= before + requests
        })
        .await;
    }
}

/// Sends requests of five events until all is over; returns what was acknowledged.
async fn send_many(http: Client, address: String, progress: Arc<Progress>) -> Vec<CanonicalId> {
    let mut acknowledged = Vec::new();
    while !progress.is_over.load(Ordering::SeqCst) {
        let request = http.post(format!("http://{address}/events")).body(list(5));
        let (status, body) = answer_of(request.send().await.expect("an answer")).await;
        if status == 202 {
            acknowledged.extend(ids_of(&body));
            progress.acknowledged.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        assert_eq!(status, 503, "{body}");
        assert!(body["retryAfterSeconds"].as_u64() >= Some(1), "{body}");
        let is_unconfirmed = body["code"] == "not_confirmed";
        assert_eq!(body["eventIds"].is_array(), is_unconfirmed, "{body}");
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_survives_killed_redis() {
    let (mut server, redis) = own_redis("256mb").await;
    let ingest = TestIngest::ready(&redis, "").await;
    let progress = Arc::new(Progress::default());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (http, address) = (ingest.http.clone(), ingest.address.clone());
        clients.spawn(send_many(http, address, Arc::clone(&progress)));
    }
    for _ in 0..3 {
        progress.goes_on(100).await;
        server.kill().await;
        server.restart().await.expect("restarts");
    }
    progress.goes_on(100).await;
    progress.is_over.store(true, Ordering::SeqCst);
    let mut acknowledged = HashSet::new();
    while let Some(client) = clients.join_next().await {
        acknowledged.extend(client.expect("no panic"));
    }
    let stored = ids_in(&frames(&redis).await);
    assert!(
        acknowledged.is_subset(&stored),
        "an acknowledged event is missing"
    );
    wait_for("ready again", || async { ingest.is_ready() }).await;
    let (status, _) = ingest.post(list(1)).await;
    assert_eq!(status, 202);
    ingest.stop().await;
}

#[tokio::test]
async fn a_silent_redis_leaves_requests_unconfirmed() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "[ingest.append]\ndeadline = \"300ms\"").await;
    server.pause();
    let (status, body) = ingest
        .post(r#"[{"type":"a","eventId":"mine"},{"type":"a"},7]"#)
        .await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("not_confirmed")),
        "{body}"
    );
    assert_eq!(body["retryable"], true);
    let ids = body["eventIds"].as_array().unwrap().clone();
    assert_eq!((&ids[0], &ids[2]), (&json!("mine"), &json!(null)));
    // Known to be away by now: refused at once, and for certain.
    let (status, body) = ingest.post(list(1)).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("not_accepted")),
        "{body}"
    );

    server.resume();
    ingest.wait_until_ready().await;
    wait_for("admitted again", || async {
        ingest.post(list(1)).await.0 == 202
    })
    .await;
    // Sent again with the ids it was given, the request is the same events.
    let again = format!(
        r#"[{{"type":"a","eventId":"mine"}},{{"type":"a","eventId":{}}}]"#,
        ids[1]
    );
    let (status, body) = ingest.post(again).await;
    assert_eq!(status, 202);
    let stored = ids_in(&frames(&redis).await);
    assert!(ids_of(&body).iter().all(|id| stored.contains(id)));
    assert_eq!(
        stored.len() - ids_of(&body).len(),
        1,
        "nothing beside the one admitted again"
    );
    ingest.stop().await;
}

#[tokio::test]
async fn a_full_redis_refuses_and_keeps_what_it_took() {
    let (_server, redis) = own_redis("8mb").await;
    let toml = "[ingest.frame]\ncodec = \"none\"\n[ingest.append]\ndeadline = \"300ms\"\n\
                [ingest.admission]\nmemory_share = 1";
    let ingest = TestIngest::ready(&redis, toml).await;
    let payload = "x".repeat(100_000);
    let body = format!(r#"{{"type":"a","payload":{{"p":"{payload}"}}}}"#);
    let mut acknowledged = HashSet::new();
    let refusal = loop {
        let (status, answer) = ingest.post(body.clone()).await;
        if status != 202 {
            break (status, answer);
        }
        acknowledged.extend(ids_of(&answer));
        assert!(
            acknowledged.len() < 200,
            "8 MiB hold no 200 events of 100 kB"
        );
    };
    assert_eq!(
        (refusal.0, &refusal.1["code"]),
        (503, &json!("not_accepted")),
        "{}",
        refusal.1
    );
    assert_eq!(ids_in(&frames(&redis).await), acknowledged);

    // Room is made: it takes events again.
    let stream = redis.keys().partition(0).events;
    let _: u64 = redis
        .client()
        .xtrim(stream, ("MAXLEN", "=", 1_i64))
        .await
        .unwrap();
    wait_for("admitted again", || async {
        ingest.post(list(1)).await.0 == 202
    })
    .await;
    ingest.stop().await;
}

async fn flush_all(redis: &TestRedis) {
    let flush = "return redis.call('FLUSHALL')";
    let keys = Vec::<String>::new();
    let _: RedisValue = redis
        .client()
        .eval(flush, keys.clone(), keys)
        .await
        .expect("flushed");
}

#[tokio::test]
async fn a_redis_that_forgot_everything_is_greeted_anew() {
    let (_server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "").await;
    assert_eq!(ingest.post(list(3)).await.0, 202);
    flush_all(&redis).await;
    let (status, body) = ingest.post(list(2)).await;
    assert_eq!(status, 202);
    assert_eq!(
        ids_in(&frames(&redis).await),
        ids_of(&body).into_iter().collect()
    );
    ingest.stop().await;
}

#[tokio::test]
async fn frames_are_replayed_to_a_redis_that_promised_less_and_forgot() {
    let (_server, redis) = own_redis("64mb").await;
    let toml = "[redis]\ndurability = \"everysec\"\n[ingest.append]\nreplay_window = \"5m\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let (_, first) = ingest.post(list(3)).await;
    flush_all(&redis).await;
    let (status, second) = ingest.post(list(2)).await;
    assert_eq!(status, 202);
    let expected: HashSet<_> = ids_of(&first).into_iter().chain(ids_of(&second)).collect();
    assert_eq!(ids_in(&frames(&redis).await), expected);
    ingest.stop().await;
}

#[tokio::test]
async fn a_replay_that_is_cut_goes_on_where_it_was() {
    let (_server, redis) = own_redis("64mb").await;
    let toml = "[redis]\ndurability = \"everysec\"\n[ingest.frame]\ncodec = \"none\"\n\
                [ingest.append]\nreplay_window = \"5m\"\ndeadline = \"300ms\"\n\
                [ingest.admission]\nmemory_share = 1";
    let ingest = TestIngest::ready(&redis, toml).await;
    let payload = "x".repeat(100_000);
    let body = format!(r#"{{"type":"a","payload":{{"p":"{payload}"}}}}"#);
    let mut expected = HashSet::new();
    for _ in 0..60 {
        let (status, answer) = ingest.post(body.clone()).await;
        assert_eq!(status, 202, "{answer}");
        expected.extend(ids_of(&answer));
    }
    // It forgets, and a part of what comes again fills it.
    flush_all(&redis).await;
    let client = redis.client();
    client.config_set("maxmemory", "6mb").await.unwrap();
    wait_for("full", || async { !ingest.is_ready() }).await;
    let events = redis.keys().partition(0).events;
    let replayed: u64 = client.xlen(&events).await.unwrap();
    assert!((1..60).contains(&replayed), "{replayed} of 60");

    client.config_set("maxmemory", "64mb").await.unwrap();
    ingest.wait_until_ready().await;
    let frames = frames(&redis).await;
    assert_eq!(frames.len(), 60, "each frame once");
    assert_eq!(ids_in(&frames), expected);
    ingest.stop().await;
}

#[tokio::test]
async fn frames_are_held_while_redis_is_away_and_nobody_sends() {
    let options = RedisOptions {
        appendonly: false,
        ..RedisOptions::default()
    };
    let mut server = RedisServer::start(options).await.expect("a redis-server");
    let redis = TestRedis::at(server.url()).await;
    let toml = "[redis]\ndurability = \"memory\"\n[ingest.append]\nreplay_window = \"500ms\"";
    let ingest = TestIngest::ready(&redis, toml).await;
    let (status, body) = ingest.post(list(3)).await;
    assert_eq!(status, 202);
    // It is noticed at the next question, which comes after the end of the window.
    server.kill().await;
    wait_for("noticed", || async { !ingest.is_ready() }).await;
    server.restart().await.expect("restarts");
    ingest.wait_until_ready().await;
    assert_eq!(
        ids_in(&frames(&redis).await),
        ids_of(&body).into_iter().collect()
    );
    ingest.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_made_again() {
    let (_server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "").await;
    assert_eq!(ingest.post(list(3)).await.0, 202);
    let _: u64 = redis
        .client()
        .del(redis.keys().partition(0).events)
        .await
        .unwrap();
    let (status, body) = ingest.post(list(2)).await;
    assert_eq!(status, 202);
    assert_eq!(
        ids_in(&frames(&redis).await),
        ids_of(&body).into_iter().collect()
    );
    ingest.stop().await;
}

#[tokio::test]
async fn a_backlog_beyond_its_bound_is_refused_until_it_drains() {
    let (_server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "[ingest.admission]\nbacklog_events = 10").await;
    assert_eq!(ingest.post(list(20)).await.0, 202);
    wait_for("refused", || async {
        let (status, body) = ingest.post(list(1)).await;
        status == 503 && body["code"] == "overloaded"
    })
    .await;
    wait_for("readiness says so", || async { !ingest.is_ready() }).await;
    let drain = "return redis.call('HSET', KEYS[1], 'acknowledged_events', \
                 redis.call('HGET', KEYS[1], 'appended_events'))";
    let totals = redis.keys().partition(0).totals;
    let _: RedisValue = redis
        .client()
        .eval(drain, totals, Vec::<String>::new())
        .await
        .unwrap();
    wait_for("admitted again", || async {
        ingest.post(list(1)).await.0 == 202
    })
    .await;
    ingest.wait_until_ready().await;
    ingest.stop().await;
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_waited_for() {
    let (mut server, redis) = own_redis("64mb").await;
    server.stop().await;
    let ingest = TestIngest::start_at(&server.url(), &unique("t"), OPEN).await;
    let (status, body) = ingest.post(list(1)).await;
    assert_eq!((status, &body["code"]), (503, &json!("not_accepted")));
    assert!(!ingest.is_ready());
    server.restart().await.unwrap();
    ingest.wait_until_ready().await;
    assert_eq!(ingest.post(list(1)).await.0, 202);
    ingest.stop().await;
    drop(redis);
}
