//! What happened lately, as it is answered.

use evp_shared::counters::{Step, TYPES_MAX};
use evp_shared::sketch::TopItems;
use evp_shared::stream::{SketchBucket, SketchUpdate};
use fred::interfaces::LuaInterface as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{TestAggregator, now_s};

async fn sketch(service: &TestAggregator, second: u64, users: &[&str]) {
    for step in [Step::Minute, Step::Hour] {
        let mut top = TopItems::default();
        users.iter().for_each(|user| top.note(user));
        let bucket = SketchBucket {
            tenant: "default".into(),
            step,
            number: step.bucket(second),
        };
        let update = SketchUpdate {
            users: users.iter().map(|user| (*user).into()).collect(),
            sessions: vec!["s".into()],
            top: Some((format!("p:{second}"), top.encode())),
        };
        let stream = service.redis.stream(2);
        stream.add_to_sketches(&bucket, update).await.unwrap();
    }
}

#[tokio::test]
async fn counts_users_and_sessions_of_each_range_are_answered() {
    let service = TestAggregator::start().await;
    let now = now_s();
    let (recent, older, old) = (now, now - 40 * 60, now - 5 * 3_600);
    service.count(0, recent, &[("click", 3), ("view", 1)]).await;
    service.count(1, older, &[("click", 4)]).await;
    service.count(1, old, &[("view", 12)]).await;
    sketch(&service, recent, &["a", "b", "a"]).await;
    sketch(&service, older, &["b", "c", "b"]).await;

    let table = [
        ("15m", 4, 60, 15),
        ("1h", 8, 60, 60),
        ("24h", 20, 3_600, 24),
        ("7d", 20, 3_600, 168),
    ];
    for (range, events, step, points) in table {
        let answer = service.ok(&format!("/analytics?range={range}")).await;
        assert_eq!(answer["range"], range);
        assert_eq!(answer["totals"]["events"], events, "{range}");
        assert_eq!(answer["overTime"]["stepSeconds"], step);
        let series = answer["overTime"]["points"].as_array().unwrap();
        assert_eq!(series.len(), points);
        let sum: i64 = series.iter().map(|point| point[1].as_i64().unwrap()).sum();
        assert_eq!(sum, events);
        assert_eq!(answer["from"], series[0][0]);
    }
    let hour = service.ok("/analytics").await;
    assert_eq!(
        hour["byType"],
        json!([
            { "type": "click", "count": 7, "share": 0.875 },
            { "type": "view", "count": 1, "share": 0.125 },
        ])
    );
    assert_eq!(
        hour["topUsers"],
        json!([
            { "userId": "b", "count": 3, "error": 0 },
            { "userId": "a", "count": 2, "error": 0 },
            { "userId": "c", "count": 1, "error": 0 },
        ])
    );
    assert_eq!(
        hour["uniqueUsers"],
        json!({ "estimate": 3, "standardError": 0.0081 })
    );
    assert_eq!(hour["uniqueSessions"]["estimate"], 1);
    let quarter = service.ok("/analytics?range=15m").await;
    assert_eq!(quarter["uniqueUsers"]["estimate"], 2);
    // Five hours ago events were counted and not sketched.
    let day = service.ok("/analytics?range=24h").await;
    for member in ["uniqueUsers", "uniqueSessions", "topUsers"] {
        assert_eq!(day[member], Value::Null, "{member}");
    }
    assert_eq!(
        service.problem("/analytics?range=2h").await.1,
        "invalid_parameter"
    );
}

#[tokio::test]
async fn an_answer_is_kept_until_the_next_one_is_due() {
    let service = TestAggregator::start().await;
    let first = service.raw(Method::GET, "/analytics?range=15m").await;
    let control = first.headers()["cache-control"].clone();
    assert_eq!(control, "private, max-age=10, stale-while-revalidate=50");
    let first: Value = first.json().await.unwrap();
    assert_eq!(first["totals"]["events"], 0);
    service.count(0, now_s(), &[("click", 3)]).await;
    let again = service.ok("/analytics?range=15m").await;
    assert_eq!(again["asOf"], first["asOf"]);
}

/// Types that one frame brings.
const TYPES_PER_FRAME: usize = 1_000;

/// Counts an event of each of `types` types with the longest of names, other ones in each partition,
/// in the seconds before `now`.
async fn count_types(service: &TestAggregator, now: u64, types: std::ops::Range<usize>) {
    let of_partition = |partition: u16| {
        let types = types.clone();
        async move {
            for first in types.step_by(TYPES_PER_FRAME) {
                let kinds: Vec<String> = (first..first + TYPES_PER_FRAME)
                    .map(|n| format!("p{partition}-{n:0>97}"))
                    .collect();
                let rows: Vec<(&str, u32)> = kinds.iter().map(|kind| (kind.as_str(), 1)).collect();
                let second = now - (first / TYPES_PER_FRAME) as u64 % 50;
                service.count(partition, second, &rows).await;
            }
        }
    };
    tokio::join!(of_partition(0), of_partition(1));
}

/// Bytes that all keys of the test take in Redis.
async fn redis_bytes(service: &TestAggregator) -> u64 {
    let script = "local sum = 0 \
                  for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do \
                  sum = sum + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) end return sum";
    let prefix = service.redis.keys().prefix();
    let client = service.redis.client();
    client
        .eval(script, Vec::<String>::new(), prefix)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_million_types_in_a_minute_make_neither_counters_nor_answers_grow() {
    let service = TestAggregator::start().await;
    let now = now_s();
    count_types(&service, now, 0..50_000).await;
    let before = redis_bytes(&service).await;
    count_types(&service, now, 50_000..500_000).await;
    // One bit for each frame.
    let grown = redis_bytes(&service).await - before;
    assert!(grown < 16 * 1_024, "{grown} after {before}");

    let stream = service.redis.stream(2);
    for partition in 0..2 {
        let counts = stream.count_total(partition).await.unwrap();
        assert_eq!(counts.len(), TYPES_MAX as usize + 1);
    }
    let paths = [
        "/metrics",
        "/metrics?window=all",
        "/analytics?range=15m",
        "/analytics?range=24h",
    ];
    for path in paths {
        let response = service.raw(Method::GET, path).await;
        let body = response.bytes().await.unwrap();
        assert!(body.len() < 256 * 1_024, "{path}: {}", body.len());
    }
    let metrics = service.ok("/metrics?window=all").await;
    assert_eq!(metrics["totals"]["events"], 1_000_000);
    let answer = service.ok("/analytics?range=24h").await;
    assert_eq!(answer["totals"]["events"], 1_000_000);
    let types = answer["byType"].as_array().unwrap();
    assert_eq!(types.len(), 201);
    assert_eq!(types[200]["type"], "__other__");
    let named: u64 = types[..200]
        .iter()
        .map(|row| row["count"].as_u64().unwrap())
        .sum();
    assert_eq!(types[200]["count"], 1_000_000 - named);
}
