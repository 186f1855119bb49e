//! Wrong parameters, each named; and what is no resource.

use reqwest::Method;

use crate::service::{TestAggregator, event, id};

#[tokio::test]
async fn every_wrong_parameter_is_named() {
    let aggregator = TestAggregator::start().await;
    let unknown = "unknown_parameter";
    let invalid = "invalid_parameter";
    let table = [
        ("/events?colour=red", unknown, "colour"),
        ("/events?Type=a", unknown, "Type"),
        ("/events?type=a%20b", invalid, "type"),
        ("/events?type=%7B%22%24ne%22%3A1%7D", invalid, "type"),
        ("/events?type=__other__", invalid, "type"),
        ("/events?userId=", invalid, "userId"),
        ("/events?userId=a&userId=b", invalid, "userId"),
        ("/events?userId[$ne]=a", unknown, "userId[$ne]"),
        ("/events?sessionId=%00", invalid, "sessionId"),
        ("/events?from=yesterday", invalid, "from"),
        ("/events?to=-15", invalid, "to"),
        ("/events?from=-1h&to=-2h", invalid, "to"),
        ("/events?limit=0", invalid, "limit"),
        ("/events?limit=1001", invalid, "limit"),
        ("/events?limit=ten", invalid, "limit"),
        ("/events/abc?timestamp=soon", invalid, "timestamp"),
        ("/events/abc?limit=1", unknown, "limit"),
        ("/events/%ff", invalid, "id"),
        ("/metrics?window=1h", invalid, "window"),
        ("/metrics?step=1s", unknown, "step"),
        ("/metrics/series?window=15", invalid, "window"),
        ("/metrics/series?window=0s", invalid, "window"),
        ("/metrics/series?step=day", invalid, "step"),
        ("/metrics/series?window=2h&step=second", invalid, "step"),
        ("/metrics/series?window=400d", invalid, "window"),
        ("/metrics/series?type=", invalid, "type"),
        ("/metrics/series?limit=1", unknown, "limit"),
    ];
    for (path, code, parameter) in table {
        let expected = (400, code.to_owned(), Some(parameter.to_owned()));
        assert_eq!(aggregator.problem(path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_changed_or_is_another_querys_is_refused() {
    let aggregator = TestAggregator::start().await;
    let documents: Vec<_> = (0..3).map(|n| event(id(n, n), 1_000, "click")).collect();
    aggregator.insert(&documents).await;
    let page = aggregator
        .ok("/events?limit=1&type=click&from=-60000d")
        .await;
    let cursor = page["nextCursor"].as_str().unwrap();
    let mut changed = cursor.to_owned();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'B' } else { 'A' });
    let same = "/events?limit=2&type=click&from=-60000d";
    aggregator.ok(&format!("{same}&cursor={cursor}")).await;

    let paths = [
        format!("{same}&cursor={changed}"),
        format!("{same}&cursor={cursor}AAAA"),
        format!("{same}&cursor=nonsense"),
        format!("{same}&cursor=%F0%9F%92%A3"),
        format!("/events?type=view&from=-60000d&cursor={cursor}"),
        format!("/events?type=click&cursor={cursor}"),
        format!("/events?type=click&from=-59999d&cursor={cursor}"),
        format!("{same}&userId=u&cursor={cursor}"),
    ];
    for path in paths {
        let expected = (400, "cursor_invalid".to_owned(), Some("cursor".to_owned()));
        assert_eq!(aggregator.problem(&path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_resource_or_no_method_of_it_is_a_problem() {
    let aggregator = TestAggregator::start().await;
    for path in ["/event", "/events/a/b", "/metrics/", "/readyz"] {
        let (status, code, _) = aggregator.problem(path).await;
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    let refused = aggregator.raw(Method::POST, "/events").await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET,HEAD");
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "method_not_allowed");

    let head = aggregator.raw(Method::HEAD, "/metrics").await;
    assert_eq!(head.status(), 200);
    let livez = aggregator.raw(Method::GET, "/livez").await;
    assert_eq!(livez.text().await.unwrap(), "ok\n");
}
