//! What the processors say of storage: that the disk is full.

use evp_shared::testing::{TestRedis, wait_for};
use fred::interfaces::KeysInterface as _;
use fred::prelude::Expiration;
use serde_json::json;

use crate::support::{TestIngest, answer_of, frames, ids_in, list};

async fn set_full(redis: &TestRedis, expiration: Option<Expiration>) {
    let key = redis.keys().full();
    let set = redis.client().set(key, "951", expiration, None, false);
    let () = set.await.expect("set");
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
