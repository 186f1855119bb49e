//! `GET /events` the other way, and all of it in one answer.

use evp_shared::store::Index;
use evp_shared::testing::wait_for;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::events::{ids, many, walk};
use crate::service::{TestAggregator, event, id};

#[tokio::test]
async fn a_list_is_walked_back_the_way_it_was_walked() {
    for indexes in [&[Index::Type, Index::User][..], &[]] {
        let service = TestAggregator::start_with(indexes).await;
        service.insert(&many()).await;
        for query in ["", "&type=view", "&userId=u", "&sessionId=s&type=click"] {
            let all = walk(&service, query, 1_000).await;
            let mut page = service.ok(&format!("/events?limit=7{query}")).await;
            assert_eq!(page["prevCursor"], Value::Null, "there was nothing newer");
            let mut forth = vec![page.clone()];
            while let Some(next) = page["nextCursor"].as_str() {
                page = service
                    .ok(&format!("/events?limit=7{query}&cursor={next}"))
                    .await;
                forth.push(page.clone());
            }
            let mut back: Vec<Value> = Vec::new();
            while let Some(previous) = page["prevCursor"].as_str() {
                page = service
                    .ok(&format!("/events?limit=7{query}&cursor={previous}"))
                    .await;
                let items = page["items"].as_array().unwrap().clone();
                back.splice(0..0, items);
            }
            let last = forth.last().unwrap()["items"].as_array().unwrap().len();
            let expected = &ids(&all)[..all.len() - last];
            assert_eq!(ids(&back), expected, "{query} {indexes:?}");
        }
    }
}

#[tokio::test]
async fn what_is_newer_by_then_is_found_and_the_way_leads_forth_again() {
    let service = TestAggregator::start().await;
    let click = |n: u64| event(id(n, n), i64::try_from(n).unwrap(), "click");
    service
        .insert(&(10..20).map(click).collect::<Vec<_>>())
        .await;
    let first = service.ok("/events?limit=4").await;
    let second = first["nextCursor"].as_str().unwrap();
    let second = service
        .ok(&format!("/events?limit=4&cursor={second}"))
        .await;
    service
        .insert(&(20..23).map(click).collect::<Vec<_>>())
        .await;

    let previous = second["prevCursor"].as_str().unwrap();
    let back = service
        .ok(&format!("/events?limit=4&cursor={previous}"))
        .await;
    assert_eq!(
        ids(back["items"].as_array().unwrap()),
        ids(first["items"].as_array().unwrap())
    );
    let previous = back["prevCursor"].as_str().unwrap();
    let newest = service
        .ok(&format!("/events?limit=4&cursor={previous}"))
        .await;
    assert_eq!(newest["items"].as_array().unwrap().len(), 3);
    assert_eq!(newest["prevCursor"], Value::Null);
    let next = newest["nextCursor"].as_str().unwrap();
    let forth = service.ok(&format!("/events?limit=4&cursor={next}")).await;
    assert_eq!(forth["items"], back["items"]);
}

async fn begin_export(service: &TestAggregator, query: &str) -> Response {
    let request = service
        .request(Method::GET, &format!("/events{query}"))
        .header("accept", "application/x-ndjson");
    request.send().await.unwrap()
}

async fn export(service: &TestAggregator, query: &str) -> (StatusCode, String) {
    let response = begin_export(service, query).await;
    let status = response.status();
    if status.is_success() {
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    }
    (status, response.text().await.unwrap())
}

fn lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn an_export_is_the_whole_list_an_event_per_line() {
    let service = TestAggregator::start().await;
    let documents: Vec<_> = (0..2_600_u64)
        .map(|n| {
            event(
                id(n, n),
                i64::try_from(n / 9).unwrap(),
                if n % 2 == 0 { "a" } else { "b" },
            )
        })
        .collect();
    service.insert(&documents).await;
    for (query, listed) in [
        ("", ""),
        ("?type=a", "&type=a"),
        ("?from=100&to=200", "&from=100&to=200"),
    ] {
        let (_, text) = export(&service, query).await;
        assert_eq!(lines(&text), walk(&service, listed, 1_000).await, "{query}");
    }
    let (_, some) = export(&service, "?limit=1234").await;
    assert_eq!(lines(&some).len(), 1_234);
    let (_, none) = export(&service, "?type=none").await;
    assert_eq!(none, "");
    let (status, problem) = export(&service, "?limit=0").await;
    assert_eq!(status, 400, "{problem}");
}

#[tokio::test]
async fn clients_that_stop_reading_do_not_hold_exports_for_ever() {
    let config = "[server]\nwrite_idle = \"2s\"\n[aggregator.query]\ntime_limit = \"20s\"";
    let service = TestAggregator::start_as(config).await;
    // More than sockets take.
    let documents: Vec<_> = (0..160_u64)
        .map(|n| {
            let mut document = event(id(n, n), 0, "click");
            document.insert("payload", bson::doc! { "text": "x".repeat(200_000) });
            document
        })
        .collect();
    service.insert(&documents).await;
    let mut stopped = Vec::new();
    while let response = begin_export(&service, "").await
        && response.status() == 200
    {
        stopped.push(response);
        assert!(stopped.len() <= 100, "exports are not bounded");
    }
    wait_for("the export of one who does not read", || async {
        begin_export(&service, "?limit=1").await.status() == 200
    })
    .await;
    let mut broken_off = 0;
    for response in stopped {
        broken_off += usize::from(response.bytes().await.is_err());
    }
    assert!(broken_off > 0, "the place was given up before its time");
}
