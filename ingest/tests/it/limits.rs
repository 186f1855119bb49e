//! What may be sent: rates, quotas, shares of the load.

use std::cell::Cell;

use evp_shared::access::rate::{Rate, RateLimits};
use evp_shared::access::record::TenantState;
use evp_shared::clock::Clock;
use evp_shared::testing::{TestRedis, wait_for};
use serde_json::json;

use crate::support::{KEYS, TestIngest, answer_of, code, list};
use crate::told::Told;

fn hour() -> u64 {
    Clock::system().now_ms() / 3_600_000
}

fn today() -> u64 {
    hour() / 24
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
    let passes = || async { send(&limited, 5_000).await.status() == 202 };
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
    const EVENTS: usize = 1_000;
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
    let since = today();
    for ingest in &ingests {
        // A slice that is on its way is there within a second; what is spent, on the next day.
        wait_for("it is spent", async || {
            let (status, code, wait) = send(ingest, &key, EVENTS).await;
            accepted.set(accepted.get() + u64::from(status == 202) * EVENTS as u64);
            // Redis may be slow itself.
            assert!(
                matches!(status, 202 | 503) || code == "quota_exceeded",
                "{status} {code}"
            );
            code == "quota_exceeded" && wait > 1 || today() > since
        })
        .await;
    }
    let accepted = accepted.get();
    // At midnight it begins anew.
    let is_held = (QUOTA - 2 * EVENTS as u64..=QUOTA).contains(&accepted);
    assert!(is_held || today() > since, "{accepted}");
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
    // A share is of the last ten seconds: the large one goes on asking for more.
    let is_refused = async || {
        let mut is_refused = true;
        for _ in 0..5 {
            is_refused &= send(large, 1).await.1 == "overloaded";
        }
        is_refused
    };
    wait_for("it is refused, and the other is not", async || {
        is_refused().await && send(small, 1).await.0 == 202
    })
    .await;
    // Up to the bound, which holds for all.
    wait_for("the last quarter is for the others", async || {
        is_refused().await && send(small, 2_500).await.0 == 202
    })
    .await;
    wait_for("it is refused", async || {
        send(small, 1).await.1 == "overloaded"
    })
    .await;
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
    let since = hour();
    let body = r#"[{"type":"a"},{"type":"b"},{"type":1}]"#;
    let sent = ingest.request("").bearer_auth(&good).body(body).send();
    assert_eq!(sent.await.expect("an answer").status(), 202);
    let sent = ingest.request("").bearer_auth(&good).body("[").send();
    assert_eq!(sent.await.expect("an answer").status(), 400);
    let sent = ingest.request("").bearer_auth(&revoked).body("[]").send();
    assert_eq!(sent.await.expect("an answer").status(), 401);
    // Told at the end too.
    ingest.stop().await;
    let stream = redis.stream(1);
    // All told at the end, or some before a full hour.
    let mut usage = stream.usage("a", hour()).await.unwrap();
    if hour() > since {
        for (name, count) in stream.usage("a", since).await.unwrap() {
            *usage.entry(name).or_default() += count;
        }
    }
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
