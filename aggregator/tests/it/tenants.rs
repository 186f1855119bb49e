//! Tenants beside each other: each sees its own counts, and none takes all there is.

use std::time::Duration;

use bson::{Document, doc};
use evp_aggregator::auth::Tenant;
use evp_aggregator::error::QueryError;
use evp_aggregator::events::Events;
use evp_aggregator::slots::Slots;
use evp_shared::access::record::Scope;
use evp_shared::access::token::Token;
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::testing::wait_for;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::keys::{KEYS, ask, known};
use crate::managing::{Managers, send};
use crate::plans::everything;
use crate::service::{TestAggregator, event, id as id_of, key, now_s, prepared};
use crate::sse::SseClient;

fn asks(service: &TestAggregator, path: &str, key: &Token) -> RequestBuilder {
    let request = service.request(Method::GET, path);
    request.bearer_auth(key.expose())
}

/// A service, and keys of the tenants `a` and `b`.
async fn service_of_two(config: &str) -> (TestAggregator, [Token; 2]) {
    let service = TestAggregator::start_as(config).await;
    let one = key(&service.mongo, Some("a"), Scope::Read).await.1;
    let other = key(&service.mongo, Some("b"), Scope::Read).await.1;
    known(&service, &other).await;
    (service, [one, other])
}

#[tokio::test]
async fn a_tenant_is_shown_its_own_counts() {
    let (service, keys) = service_of_two(KEYS).await;
    let now = now_s();
    let kinds: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    let many: Vec<(&str, u32)> = kinds.iter().map(|kind| (kind.as_str(), 2)).collect();
    for partition in 0..2 {
        service.count_of("a", partition, now, &many).await;
        service.count_of("b", partition, now, &[("k0", 1)]).await;
    }
    for (key, events, types) in [(&keys[0], 120, 30), (&keys[1], 2, 1)] {
        let get = async |path: &str| -> Value {
            let (status, body) = ask(&service, path, key).await;
            assert_eq!(status, 200, "{path}: {body}");
            serde_json::from_str(&body).unwrap()
        };
        let metrics = get("/metrics?window=all").await;
        assert_eq!(metrics["totalEventsLastMinute"], events);
        for shown in [&metrics, &metrics["totals"]] {
            assert_eq!(shown["byType"].as_array().unwrap().len(), types);
        }
        assert_eq!(metrics["totals"]["events"], events);
        let series = get("/metrics/series?type=k0").await;
        assert_eq!(
            series["series"][0]["total"],
            events / i64::try_from(types).unwrap()
        );
        let analytics = get("/analytics").await;
        assert_eq!(analytics["totals"]["events"], events);

        let mut live = SseClient::send(asks(&service, "/stream", key)).await;
        let told = live.metrics().await.data;
        assert_eq!(told["totalEventsLastMinute"], events);
    }
    service.stop().await;
}

#[tokio::test]
async fn unique_users_are_not_known_of_a_tenant_without_them() {
    let world = Managers::new().await;
    let (service, admin) = (&world.service, &world.admin);
    let analytics = async || -> Value {
        let (_, body) = ask(service, "/analytics?range=15m", admin).await;
        serde_json::from_str(&body).unwrap()
    };
    let found = analytics().await;
    assert_eq!(found["missingReason"], "not_enabled");
    for member in ["uniqueUsers", "uniqueSessions", "topUsers"] {
        assert_eq!(found[member], Value::Null, "{member}");
    }
    let change = (Method::PATCH, "/admin/tenants/a");
    let asked = json!({ "analytics": true });
    let (status, body) = send(service, change, &world.operator, &asked).await;
    assert_eq!((status, &body["analytics"]), (200, &json!(true)), "{body}");
    let is_known = async || analytics().await["missingReason"] == Value::Null;
    wait_for("they are known", is_known).await;
    assert_eq!(analytics().await["uniqueUsers"]["estimate"], 0);
    world.service.stop().await;
}

/// Asserts that the holder of `full` is refused, and that of `free` is not.
async fn assert_apart(service: &TestAggregator, path: &str, [full, free]: [&Token; 2]) {
    let ndjson = |request: RequestBuilder| request.header("accept", "application/x-ndjson");
    let refused = ndjson(asks(service, path, full)).send().await.unwrap();
    assert_eq!(refused.status(), 503, "{path}");
    assert!(refused.headers().contains_key("retry-after"), "{path}");
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "busy");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("one tenant"), "{detail}");
    let taken = ndjson(asks(service, path, free)).send().await.unwrap();
    assert_eq!(taken.status(), 200, "{path}");
}

#[tokio::test]
async fn a_tenant_gets_a_quarter_of_live_clients_and_of_exports() {
    let config = format!("{KEYS}\n[aggregator.stream]\nclients = 8");
    let (service, keys) = service_of_two(&config).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(SseClient::send(asks(&service, "/stream", &keys[0])).await);
    }
    assert_apart(&service, "/stream", [&keys[0], &keys[1]]).await;
    drop(clients);
    let is_free = async || {
        let again = asks(&service, "/stream", &keys[0]).send().await.unwrap();
        again.status() == 200
    };
    wait_for("places that are left are free", is_free).await;

    // More than the sockets between here and there hold.
    let (now_ms, text) = (now_s() * 1_000, "x".repeat(20_000));
    let large = |hash: u64| -> Document {
        let mut event = event(id_of(now_ms, hash), i64::try_from(now_ms).unwrap(), "t");
        event.insert("tenant", "a");
        event.insert("payload", doc! { "text": &text });
        event
    };
    let events: Vec<Document> = (0..3_000).map(large).collect();
    service.insert(&events).await;
    let export = asks(&service, "/events", &keys[0]);
    let export = export.header("accept", "application/x-ndjson");
    let mut export = export.send().await.unwrap();
    assert!(export.chunk().await.unwrap().is_some());
    assert_apart(&service, "/events", [&keys[0], &keys[1]]).await;
    drop(export);
    service.stop().await;
}

#[tokio::test]
async fn a_tenant_waits_for_a_connection_of_its_own_part() {
    let (mongo, tenant) = (prepared().await, Tenant::of_everybody());
    let connections = Slots::new(2, 1);
    let limit = Duration::from_millis(100);
    let identity = IdentityConfig::default();
    let events = Events::new(&mongo.database(), identity, Clock::system(), limit);
    let events = events.among(connections.clone());
    let held = connections.try_take(&tenant).unwrap();
    let filter = everything();
    let refused = events.page(&filter, None, 1).await;
    assert!(
        matches!(refused, Err(QueryError::TenantBusy)),
        "{refused:?}"
    );
    drop(held);
    let found = async || events.page(&filter, None, 1).await.is_ok();
    wait_for("it is read once there is one", found).await;
}
