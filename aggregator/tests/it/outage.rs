//! What still answers when Redis or MongoDB does not.

use bson::{Document, doc};
use evp_shared::store::AUDIT;
use evp_shared::testing::{TestRedis, wait_for};

use crate::service::{OPEN, TestAggregator, now_s, prepared};

/// Nothing listens there: the port is reserved for what multiplexes others, and is never free.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
async fn without_redis_events_are_listed_and_counters_are_refused() {
    let redis = TestRedis::new().await;
    let mongo = prepared().await;
    let url = format!("redis://{NOWHERE}");
    let aggregator = TestAggregator::start_on(redis, mongo, OPEN, &[("REDIS_URL", &url)]).await;
    aggregator.ok("/events").await;
    for path in [
        "/metrics",
        "/metrics?window=all",
        "/metrics/series",
        "/events/order-7",
    ] {
        let (status, code, _) = aggregator.problem(path).await;
        assert_eq!(
            (status, code.as_str()),
            (503, "counters_unavailable"),
            "{path}"
        );
    }
    let answer = aggregator.get("/metrics").await;
    assert_eq!(answer.body["retryable"], true);
    assert!(answer.body["retryAfterSeconds"].as_u64().unwrap() >= 1);
    assert!(
        !answer.body.to_string().contains(NOWHERE),
        "no address reaches the client"
    );
    wait_for("only redis speaks against readiness", || async {
        let reasons = aggregator.health.readiness().reasons;
        matches!(&reasons[..], [reason] if reason.name == "redis")
    })
    .await;
}

#[tokio::test]
async fn without_mongodb_counters_are_answered_and_events_are_refused() {
    let redis = TestRedis::new().await;
    let mongo = prepared().await;
    let uri = format!("mongodb://{NOWHERE}");
    let config = "[aggregator.query]\ntime_limit = \"100ms\"";
    let aggregator = TestAggregator::start_on(redis, mongo, config, &[("MONGO_URI", &uri)]).await;
    wait_for("only mongo speaks against readiness", || async {
        let reasons = aggregator.health.readiness().reasons;
        matches!(&reasons[..], [reason] if reason.name == "mongo")
    })
    .await;
    aggregator.count(0, now_s(), &[("click", 3)]).await;
    assert_eq!(aggregator.ok("/metrics").await["totalEventsLastMinute"], 3);
    for path in ["/events", "/events?type=click", "/events/order-7"] {
        let (status, code, _) = aggregator.problem(path).await;
        assert_eq!(
            (status, code.as_str()),
            (503, "store_unavailable"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn refused_indexes_keep_no_others_from_being_made() {
    let mongo = prepared().await;
    let access = mongo.access();
    // As the aggregator names one, but for something else.
    let other = doc! { "name": "ends", "key": { "other": 1 } };
    let create = doc! { "createIndexes": "sessions", "indexes": [other] };
    access.run_command(create).await.unwrap();
    let aggregator = TestAggregator::start_on(TestRedis::new().await, mongo, OPEN, &[]).await;
    let audit = access.collection::<Document>(AUDIT);
    let is_made = || async {
        let names = audit.list_index_names().await.unwrap_or_default();
        names.iter().any(|name| name == "kept")
    };
    wait_for("audit's index", is_made).await;
    aggregator.stop().await;
}

#[tokio::test]
async fn a_drained_aggregator_has_left_nothing() {
    let aggregator = TestAggregator::start().await;
    aggregator.ok("/events").await;
    assert_eq!(aggregator.stop().await, evp_shared::service::Left::NOTHING);
}
