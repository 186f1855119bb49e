//! `GET /events`: pages without gap or repeat, whatever they are read by.

use bson::Document;
use evp_shared::document::user_bucket;
use evp_shared::event::id::{CanonicalId, IdentityConfig};
use evp_shared::store::Index;
use serde_json::Value;

use crate::service::{TestAggregator, event, id};

const START_MS: i64 = 1_700_000_000_000;

/// 300 events of three types at five times, so that every page ends within equal times; every
/// third one of user `u`, every fourth of session `s`; ids not in the order of the times.
pub(crate) fn many() -> Vec<Document> {
    (0..300_u64)
        .map(|n| {
            let ms = START_MS + i64::try_from(n % 5).unwrap();
            let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let kind = ["click", "view", "buy"][usize::try_from(n % 3).unwrap()];
            let mut document = event(id(n * 7_919 % 300, scattered), ms, kind);
            if n % 3 == 1 {
                of_user(&mut document, "u");
            }
            if n % 4 == 0 {
                document.insert("sessionId", "s");
            }
            document
        })
        .collect()
}

/// Makes it an event of `user`, with the bucket as it is stored.
pub(crate) fn of_user(document: &mut Document, user: &str) {
    let bucket = user_bucket(document.get_str("tenant").unwrap(), user);
    document.insert("userId", user);
    document.insert("u", bucket);
}

/// What a list of the documents that fulfil `keeps` must be, newest first.
pub(crate) fn expected(documents: &[Document], keeps: impl Fn(&Document) -> bool) -> Vec<String> {
    newest_first(documents.iter().filter(|document| keeps(document)), time_of)
}

/// The same where the time in the id is what puts an event in its place, if it has one.
pub(crate) fn expected_by_id(
    documents: &[Document],
    keeps: impl Fn(&Document) -> bool,
) -> Vec<String> {
    let time = |document: &Document| {
        let time = IdentityConfig::default().time_ms(&bytes_of(document));
        time.map_or_else(|| time_of(document), |ms| i64::try_from(ms).unwrap())
    };
    newest_first(documents.iter().filter(|document| keeps(document)), time)
}

fn newest_first<'d>(
    documents: impl Iterator<Item = &'d Document>,
    time: impl Fn(&Document) -> i64,
) -> Vec<String> {
    let mut kept: Vec<_> = documents
        .map(|document| (time(document), id_of(document)))
        .collect();
    kept.sort_unstable_by(|one, other| other.cmp(one));
    kept.into_iter().map(|(_, id)| id).collect()
}

fn time_of(document: &Document) -> i64 {
    let time = document.get_datetime("timestamp").unwrap();
    time.timestamp_millis()
}

pub(crate) fn bytes_of(document: &Document) -> [u8; 16] {
    match document.get("_id") {
        Some(bson::Bson::Binary(binary)) => binary.bytes.as_slice().try_into().unwrap(),
        other => panic!("_id is {other:?}"),
    }
}

pub(crate) fn id_of(document: &Document) -> String {
    CanonicalId::from_bytes(bytes_of(document)).to_string()
}

/// All pages of a list.
pub(crate) async fn walk(aggregator: &TestAggregator, query: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = aggregator
            .ok(&format!("/events?limit={limit}{query}{cursor}"))
            .await;
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit, "only the last page is short");
                cursor = format!("&cursor={next}");
            }
            None => return items,
        }
    }
}

pub(crate) fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

pub(crate) fn is(document: &Document, field: &str, value: &str) -> bool {
    document.get_str(field).is_ok_and(|found| found == value)
}

#[tokio::test]
async fn pages_of_equal_times_neither_skip_nor_repeat() {
    let aggregator = TestAggregator::start().await;
    let documents = many();
    aggregator.insert(&documents).await;
    let mid = START_MS + 2;
    let window = format!("&from={mid}&to={}", mid + 2);
    let in_window = |document: &Document| (mid..mid + 2).contains(&time_of(document));
    let lists = [
        ("", expected(&documents, |_| true)),
        (
            "&type=view",
            expected(&documents, |d| is(d, "eventType", "view")),
        ),
        (
            "&type=view,buy",
            expected(&documents, |d| !is(d, "eventType", "click")),
        ),
        ("&userId=u", expected(&documents, |d| is(d, "userId", "u"))),
        (
            "&sessionId=s&type=click",
            expected(&documents, |d| {
                is(d, "sessionId", "s") && is(d, "eventType", "click")
            }),
        ),
        (
            "&sessionId=s",
            expected(&documents, |d| is(d, "sessionId", "s")),
        ),
        (window.as_str(), expected(&documents, in_window)),
        ("&userId=nobody", Vec::new()),
        ("&type=none", Vec::new()),
    ];
    for (query, expected) in &lists {
        for limit in [7, 60, 1_000] {
            let items = walk(&aggregator, query, limit).await;
            assert_eq!(ids(&items), *expected, "{query}, {limit} a page");
        }
    }
}

#[tokio::test]
async fn without_indexes_a_list_goes_by_id() {
    let aggregator = TestAggregator::start_with(&[]).await;
    let documents = many();
    aggregator.insert(&documents).await;
    let items = walk(&aggregator, "", 70).await;
    assert_eq!(ids(&items), expected_by_id(&documents, |_| true));
    let items = walk(&aggregator, "&userId=u&sessionId=s", 7).await;
    let both = |document: &Document| is(document, "userId", "u") && is(document, "sessionId", "s");
    assert_eq!(ids(&items), expected_by_id(&documents, both));
}

#[tokio::test]
async fn a_session_index_is_used_where_there_is_one() {
    let aggregator = TestAggregator::start_with(&Index::ALL).await;
    let documents = many();
    aggregator.insert(&documents).await;
    let items = walk(&aggregator, "&sessionId=s", 9).await;
    assert_eq!(
        ids(&items),
        expected(&documents, |d| is(d, "sessionId", "s"))
    );
}

#[tokio::test]
async fn rare_matches_are_found_beyond_the_first_step() {
    let aggregator = TestAggregator::start().await;
    let mut documents: Vec<_> = (0..12_000_u64)
        .map(|n| {
            event(
                id(n, n),
                START_MS + i64::try_from(n / 1_000).unwrap(),
                "click",
            )
        })
        .collect();
    for at in [3, 5_500, 11_000] {
        documents[at].insert("sessionId", "rare");
    }
    aggregator.insert(&documents).await;
    let rare = expected(&documents, |d| is(d, "sessionId", "rare"));
    let items = walk(&aggregator, "&sessionId=rare", 2).await;
    assert_eq!(ids(&items), rare);
}

#[tokio::test]
async fn events_of_other_tenants_are_not_seen() {
    let aggregator = TestAggregator::start().await;
    let mut foreign = event(id(1, 1), START_MS, "click");
    foreign.insert("tenant", "other");
    of_user(&mut foreign, "u");
    let foreign_id = id_of(&foreign);
    aggregator
        .insert(&[foreign, event(id(2, 2), START_MS, "view")])
        .await;
    for query in ["", "&type=click", "&userId=u", "&type=click,view"] {
        let items = walk(&aggregator, query, 10).await;
        assert!(!ids(&items).contains(&foreign_id.as_str()), "{query}");
    }
    let answer = aggregator.get(&format!("/events/{foreign_id}")).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn an_event_is_answered_as_it_was_sent() {
    let aggregator = TestAggregator::start().await;
    let mut document = event(id(5, 5), START_MS, "click");
    document.insert("priority", 3);
    document.insert(
        "metadata",
        bson::doc! { "$browser": "x", "big": 9_007_199_254_740_993_i64, "list": [1, 2.5] },
    );
    let id = id_of(&document);
    aggregator.insert(&[document]).await;
    let expected = serde_json::json!({
        "id": id,
        "eventType": "click",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "receivedAt": "2023-11-14T22:13:20.000Z",
        "priority": 3,
        "metadata": { "$browser": "x", "big": 9_007_199_254_740_993_i64, "list": [1, 2.5] },
    });
    let page = aggregator.ok("/events").await;
    assert_eq!(page["items"], serde_json::json!([expected]));
    assert_eq!(page["nextCursor"], Value::Null);
}

#[tokio::test]
async fn a_page_ends_before_its_bytes_become_too_many() {
    let aggregator = TestAggregator::start().await;
    let documents: Vec<_> = (0..50_u64)
        .map(|n| {
            let mut document = event(id(n, n), START_MS + i64::try_from(n).unwrap(), "click");
            document.insert("payload", bson::doc! { "text": "x".repeat(250_000) });
            document
        })
        .collect();
    aggregator.insert(&documents).await;
    let first = aggregator.ok("/events?limit=50").await;
    let found = first["items"].as_array().unwrap();
    assert!((30..45).contains(&found.len()), "{}", found.len());
    let next = first["nextCursor"].as_str().unwrap();
    let second = aggregator
        .ok(&format!("/events?limit=50&cursor={next}"))
        .await;
    let mut all = ids(found);
    all.extend(ids(second["items"].as_array().unwrap()));
    assert_eq!(all, expected(&documents, |_| true));
    assert_eq!(second["nextCursor"], Value::Null);
}
