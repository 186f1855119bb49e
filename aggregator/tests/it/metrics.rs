//! `GET /metrics` and `GET /metrics/series`.

use evp_devstack::{RedisOptions, RedisServer};
use evp_shared::testing::TestRedis;
use fred::interfaces::ClientLike;
use fred::types::InfoKind;
use serde_json::{Value, json};

use crate::service::{OPEN, TestAggregator, now_s, prepared};

#[tokio::test]
async fn the_last_minute_is_summed_over_seconds_and_partitions() {
    let aggregator = TestAggregator::start().await;
    let now = now_s();
    aggregator.count(0, now, &[("click", 3), ("view", 1)]).await;
    aggregator.count(1, now - 20, &[("click", 2)]).await;
    aggregator.count(0, now - 61, &[("click", 100)]).await;
    let metrics = aggregator.ok("/metrics").await;
    let expected = json!([{ "_id": "click", "count": 5 }, { "_id": "view", "count": 1 }]);
    assert_eq!(metrics["byType"], expected);
    assert_eq!(metrics["totalEventsLastMinute"], 6);
    assert!(metrics.get("totals").is_none());
    let as_of = evp_shared::event::timestamp::parse_rfc3339(metrics["asOf"].as_str().unwrap());
    assert!(as_of.unwrap() >= i64::try_from(now).unwrap() * 1_000);
}

#[tokio::test]
async fn without_events_there_are_zeros() {
    let aggregator = TestAggregator::start().await;
    let metrics = aggregator.ok("/metrics?window=all").await;
    assert_eq!(metrics["totalEventsLastMinute"], 0);
    assert_eq!(metrics["byType"], json!([]));
    assert_eq!(metrics["windowSeconds"], 60);
    assert_eq!(metrics["totals"]["events"], 0);
    let series = aggregator.ok("/metrics/series").await;
    assert_eq!(series["series"], json!([]));
}

#[tokio::test]
async fn all_time_totals_add_what_became_of_the_rest() {
    let aggregator = TestAggregator::start_as(OPEN).await;
    let long_ago = now_s() - 7_200;
    aggregator.count(0, long_ago, &[("click", 3)]).await;
    aggregator
        .count(1, now_s(), &[("click", 1), ("view", 7)])
        .await;
    let totals = &aggregator.ok("/metrics?window=all").await["totals"];
    let expected = json!({
        "events": 11,
        "byType": [{ "_id": "view", "count": 7 }, { "_id": "click", "count": 4 }],
        "duplicates": 4,
        "deadLettered": 2,
        "appended": 0,
        "backlog": 0,
    });
    assert_eq!(*totals, expected);
}

fn series<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let all = answer["series"].as_array().unwrap();
    all.iter().find(|series| series["type"] == name).unwrap()
}

#[tokio::test]
async fn a_series_has_a_point_per_step_and_sums_partitions() {
    let aggregator = TestAggregator::start().await;
    let now = now_s();
    aggregator
        .count(0, now - 5, &[("click", 3), ("view", 1)])
        .await;
    aggregator.count(1, now - 5, &[("click", 4)]).await;
    aggregator.count(1, now - 400, &[("click", 9)]).await;

    let answer = aggregator
        .ok("/metrics/series?window=10m&step=second")
        .await;
    assert_eq!(answer["stepSeconds"], 1);
    let (from, to) = (
        answer["from"].as_u64().unwrap(),
        answer["to"].as_u64().unwrap(),
    );
    assert_eq!(to - from, 600_000);
    let click = series(&answer, "click");
    let points = click["points"].as_array().unwrap();
    assert_eq!((points.len(), &click["total"]), (600, &json!(16)));
    assert!(points.contains(&json!([(now - 5) * 1_000, 7])));
    assert!(points.contains(&json!([(now - 400) * 1_000, 9])));
    let zeros = points.iter().filter(|point| point[1] == 0).count();
    assert_eq!(zeros, 598);

    let minutes = aggregator
        .ok("/metrics/series?window=15m&step=1m&type=click,none")
        .await;
    assert_eq!(series(&minutes, "click")["total"], 16);
    assert_eq!(series(&minutes, "none")["total"], 0);
    assert_eq!(minutes["series"].as_array().unwrap().len(), 2);
    let hours = aggregator.ok("/metrics/series?window=2d&step=hour").await;
    assert_eq!(series(&hours, "view")["total"], 1);
    assert_eq!(
        series(&hours, "view")["points"].as_array().unwrap().len(),
        48
    );
}

/// Calls of a command since the server started, all clients together.
async fn calls(redis: &TestRedis, command: &str) -> u64 {
    let stats: String = redis
        .client()
        .info(Some(InfoKind::CommandStats))
        .await
        .unwrap();
    let prefix = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
    line.and_then(|rest| rest.split(',').next()?.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
async fn a_crowd_reads_the_counters_once() {
    // A Redis of its own: its command statistics are of this test alone.
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let redis = TestRedis::at(server.url()).await;
    let mongo = prepared().await;
    let config = "[aggregator.query]\ncache_ttl = \"1m\"";
    let aggregator = TestAggregator::start_on(redis, mongo, config, &[]).await;
    let aggregator = aggregator.ready().await;
    aggregator.count(0, now_s(), &[("click", 3)]).await;
    let before = calls(&aggregator.redis, "hlen").await;
    let crowd = (0..100).map(|_| aggregator.ok("/metrics"));
    let answers = futures::future::join_all(crowd).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer["totalEventsLastMinute"] == 3)
    );
    // Sixty buckets of each of two partitions.
    assert_eq!(calls(&aggregator.redis, "hlen").await - before, 120);
    let as_of: std::collections::HashSet<_> =
        answers.iter().map(|a| a["asOf"].to_string()).collect();
    assert_eq!(as_of.len(), 1);
}

#[tokio::test]
async fn random_types_and_windows_read_redis_no_more() {
    // A Redis of its own: its command statistics are of this test alone.
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let redis = TestRedis::at(server.url()).await;
    let mongo = prepared().await;
    let config = "[aggregator.query]\ncache_ttl = \"1m\"";
    let aggregator = TestAggregator::start_on(redis, mongo, config, &[]).await;
    let aggregator = aggregator.ready().await;
    let now = now_s();
    aggregator.count(0, now - 100, &[("click", 3)]).await;
    let before = calls(&aggregator.redis, "hlen").await;
    for n in 0..20 {
        let window = 3_600 - n;
        let path = format!("/metrics/series?window={window}s&step=second&type=click,random{n}");
        let answer = aggregator.ok(&path).await;
        assert_eq!(series(&answer, "click")["total"], 3, "{n}");
        assert_eq!(series(&answer, &format!("random{n}"))["total"], 0);
    }
    let reads = calls(&aggregator.redis, "hlen").await - before;
    // Of both partitions the hour's buckets once, and those of the minutes at its ends.
    assert!(reads <= 2 * 63 * 60, "{reads} reads");
}
