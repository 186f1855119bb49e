//! `GET /events` over spans: hot, sealed and undated ones, many types, and none at all.

use bson::Document;
use evp_aggregator::events::Events;
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::Span;
use evp_shared::store::{Index, Marks, SpanIndex, State, spans};
use evp_shared::testing::TestRedis;
use evp_shared::testing::spans::store_events;
use mongodb::Database;
use serde_json::Value;

use crate::events::{bytes_of, expected, expected_by_id, id_of, ids, is, of_user, walk};
use crate::plans::everything;
use crate::service::{TestAggregator, event, id, prepared, undated};

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The first day of the month in which the database was born.
pub(crate) async fn birth_ms(service: &TestAggregator) -> i64 {
    let database = service.mongo.database();
    let calendar = spans::stored_calendar(&database, std::time::Duration::ZERO).await;
    i64::try_from(calendar.unwrap().unwrap().birth_ms).unwrap()
}

/// `number` events over four days before and after `birth_ms`, a seventh of them undated, an eleventh
/// with a `timestamp` of another day than their id; each second one of user `u`; of `types` types.
pub(crate) fn many_days(number: u64, birth_ms: i64, types: u64) -> Vec<Document> {
    let one = |n: u64| {
        let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let ms = birth_ms - 2 * DAY_MS + i64::try_from(scattered % 400).unwrap() * (DAY_MS / 100);
        let own = id(u64::try_from(ms).unwrap(), scattered);
        let (id, ms) = match n {
            n if n % 7 == 3 => (undated(scattered), ms),
            n if n % 11 == 5 => (own, ms - 40 * DAY_MS + i64::try_from(n).unwrap()),
            _ => (own, ms),
        };
        let mut document = event(id, ms, &format!("type{:04}", n % types));
        if n.is_multiple_of(2) {
            of_user(&mut document, "u");
        }
        document
    };
    (0..number).map(one).collect()
}

/// Seals the span `name`, as a processor does.
pub(crate) async fn seal(database: &Database, name: &str) {
    spans::create_indexes(database, name, &[SpanIndex::User])
        .await
        .unwrap();
    let indexes = SpanIndex::wanted(&[Index::Type, Index::User], State::Sealed);
    let indexes: Vec<_> = indexes.iter().map(|index| index.as_str()).collect();
    let sealed = bson::doc! { "$set": { "state": State::Sealed.as_str(), "indexes": indexes } };
    let meta = spans::meta(database);
    let row = bson::doc! { "_id": name };
    meta.update_one(row, sealed).await.unwrap();
    let events = database.collection::<Document>(name);
    events
        .drop_index(SpanIndex::UserRecent.as_str())
        .await
        .unwrap();
}

/// All pages, from the last to the first, of a list: its events newest first.
pub(crate) async fn walk_back(service: &TestAggregator, query: &str, limit: usize) -> Vec<Value> {
    let path = format!("/events?limit={limit}{query}");
    let mut page = service.ok(&path).await;
    while let Some(next) = page["nextCursor"].as_str() {
        page = service.ok(&format!("{path}&cursor={next}")).await;
    }
    let mut items = page["items"].as_array().unwrap().clone();
    while let Some(previous) = page["prevCursor"].as_str() {
        page = service.ok(&format!("{path}&cursor={previous}")).await;
        items.splice(0..0, page["items"].as_array().unwrap().clone());
    }
    items
}

#[tokio::test]
async fn a_list_is_one_over_hot_sealed_and_undated_spans() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    let documents = many_days(600, birth_ms, 5);
    service.insert(&documents).await;
    let database = service.mongo.database();
    let rows = spans::rows(&database, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert!(rows.len() >= 4, "{rows:?}");
    seal(&database, &rows[1].name()).await;

    let window = format!("&from={}&to={}", birth_ms - DAY_MS, birth_ms + DAY_MS);
    let in_window = |document: &Document| {
        let ms = document
            .get_datetime("timestamp")
            .unwrap()
            .timestamp_millis();
        (birth_ms - DAY_MS..birth_ms + DAY_MS).contains(&ms)
    };
    let lists = [
        ("", expected(&documents, |_| true)),
        ("&userId=u", expected(&documents, |d| is(d, "userId", "u"))),
        (
            "&userId=u&type=type0001",
            expected(&documents, |d| {
                is(d, "userId", "u") && is(d, "eventType", "type0001")
            }),
        ),
        (
            "&type=type0001,type0003",
            expected(&documents, |d| {
                is(d, "eventType", "type0001") || is(d, "eventType", "type0003")
            }),
        ),
        (window.as_str(), expected(&documents, in_window)),
        ("&userId=nobody", Vec::new()),
        ("&userId=nobody&type=type0001", Vec::new()),
    ];
    for (query, expected) in &lists {
        for limit in [7, 1_000] {
            let items = walk(&service, query, limit).await;
            assert_eq!(ids(&items), *expected, "{query}, {limit} a page");
        }
        let items = walk_back(&service, query, 23).await;
        assert_eq!(ids(&items), *expected, "{query}, back");
    }
    let page = service.ok("/events?userId=u&limit=1").await;
    assert_eq!(page["items"][0].get("u"), None, "the bucket is EVP's own");
}

#[tokio::test]
async fn undated_events_stand_where_their_timestamp_puts_them_whatever_the_number_of_types() {
    for (number, types, expected) in [
        (
            1_200,
            300,
            expected as fn(&[Document], fn(&Document) -> bool) -> Vec<String>,
        ),
        (5_000, 2_500, expected_by_id),
    ] {
        let service = TestAggregator::start().await;
        let documents = many_days(number, birth_ms(&service).await, types);
        service.insert(&documents).await;
        let expected = expected(&documents, |_| true);
        for limit in [90, 1_000] {
            let items = walk(&service, "", limit).await;
            assert_eq!(ids(&items), expected, "{types} types, {limit} a page");
        }
        let items = walk_back(&service, "", 400).await;
        assert_eq!(ids(&items), expected, "{types} types, back");
    }
}

#[tokio::test]
async fn without_indexes_events_of_one_ms_are_read_in_bounded_steps() {
    let service = TestAggregator::start_with(&[]).await;
    let birth_ms = u64::try_from(birth_ms(&service).await).unwrap();
    // Three spans; most events at one time, and one of them undated.
    let mut documents: Vec<_> = (0..1_700_u64)
        .map(|n| {
            let ms = match n {
                0..5 => birth_ms + n * 3_600_000,
                5..10 => birth_ms - n,
                _ => birth_ms + 90_000_000,
            };
            event(
                id(ms, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                1_000,
                "click",
            )
        })
        .collect();
    let ms = i64::try_from(birth_ms + 90_000_000).unwrap();
    documents.push(event(undated(7), ms, "click"));
    documents[900].insert("sessionId", "rare");
    service.insert(&documents).await;
    let expected = expected_by_id(&documents, |_| true);
    for limit in [60, 1_000] {
        let items = walk(&service, "", limit).await;
        assert_eq!(ids(&items), expected, "{limit} a page");
        let items = walk_back(&service, "", limit).await;
        assert_eq!(ids(&items), expected, "{limit} a page, back");
    }
    let items = walk(&service, "&sessionId=rare", 1).await;
    assert_eq!(ids(&items), [id_of(&documents[900])]);
}

#[tokio::test]
async fn what_was_dropped_is_gone_and_not_just_missing() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    let of = |ms: i64| event(id(u64::try_from(ms).unwrap(), 5), ms, "click");
    let (old, kept) = (of(birth_ms + 5), of(birth_ms + DAY_MS));
    service.insert(&[old.clone(), kept.clone()]).await;
    let database = service.mongo.database();
    let end_ms = u64::try_from(birth_ms + DAY_MS).unwrap();
    let marks = Marks {
        floor_ms: end_ms,
        gone_ms: end_ms,
    };
    spans::raise_marks(&database, marks).await.unwrap();
    let found = service.ok(&format!("/events/{}", id_of(&old))).await;
    assert_eq!(found["status"], "stored", "it is there until it is dropped");
    let rows = spans::rows(&database, std::time::Duration::ZERO)
        .await
        .unwrap();
    spans::drop_span(&database, &rows[0].span).await.unwrap();

    let answer = service.get(&format!("/events/{}", id_of(&old))).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (410, &"event_expired".into())
    );
    assert_eq!(answer.body["retryable"], false);
    let timed = format!("/events/order-7?timestamp={}", birth_ms + 5);
    assert_eq!(service.get(&timed).await.status, 410);
    service.ok(&format!("/events/{}", id_of(&kept))).await;
    for path in [
        "/events/order-7",
        &format!("/events/order-7?timestamp={end_ms}"),
    ] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
    }
    assert_eq!(ids(&walk(&service, "", 10).await), [id_of(&kept)]);
}

#[tokio::test]
async fn before_anything_is_stored_lists_are_empty() {
    let mongo = evp_shared::testing::TestMongo::new().await;
    let service = TestAggregator::start_on(TestRedis::new().await, mongo, "", &[]).await;
    let service = service.ready().await;
    for query in ["", "&userId=u", "&type=a"] {
        assert_eq!(walk(&service, query, 10).await, Vec::<Value>::new());
    }
    assert_eq!(service.get("/events/order-7").await.status, 404);
    service.insert(&[event(undated(1), 5, "click")]).await;
    assert_eq!(walk(&service, "", 10).await.len(), 1);
}

#[tokio::test]
async fn events_of_another_layout_are_not_listed() {
    let mongo = evp_shared::testing::TestMongo::new().await;
    let layout = bson::doc! { "_id": "layout", "v": 99 };
    spans::meta(&mongo.database())
        .insert_one(layout)
        .await
        .unwrap();
    let service = TestAggregator::start_on(TestRedis::new().await, mongo, "", &[]).await;
    let (status, code, _) = service.ready().await.problem("/events").await;
    assert_eq!((status, code.as_str()), (503, "store_unavailable"));
}

#[tokio::test]
async fn a_row_without_its_collection_is_an_empty_span() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    service.insert(&many_days(100, birth_ms, 3)).await;
    let database = service.mongo.database();
    let undated = database.collection::<Document>(&Span::Undated.to_string());
    undated.drop().await.unwrap();
    let documents = many_days(100, birth_ms, 3);
    let dated = expected(&documents, |document| {
        let time_ms = IdentityConfig::default().time_ms(&bytes_of(document));
        time_ms.is_some()
    });
    assert_eq!(ids(&walk(&service, "", 30).await), dated);
}

#[tokio::test]
async fn a_list_that_has_begun_goes_on_over_any_number_of_types() {
    const DAY: u64 = 86_400_000;
    let mongo = prepared().await;
    let of = |n: u64, ms: u64| {
        let kind = format!("type{:05}", n.wrapping_mul(7_919) % 20_001);
        event(id(ms, n), i64::try_from(ms).unwrap(), &kind)
    };
    let older = (0..20_001).map(|n| of(n, n));
    // Of ten years, so that the first page comes nowhere near.
    let newer = (0..10).map(|n| of(n, (400 + 366 * n) * DAY));
    let documents: Vec<_> = older.chain(newer).collect();
    let database = mongo.database();
    store_events(&database, &[Index::Type], &documents).await;
    let limit = std::time::Duration::from_secs(60);
    let events = Events::new(&database, IdentityConfig::default(), Clock::system(), limit);
    let filter = everything();
    let first = events.page(&filter, None, 5).await.unwrap();
    let second = events.page(&filter, first.next, 1_000).await.unwrap();
    let third = events.page(&filter, second.next, 1_000).await.unwrap();
    let pages = [first, second, third];
    let found = pages.iter().flat_map(|page| &page.documents);
    let found: Vec<_> = found
        .map(|found| id_of(&Document::try_from(found).unwrap()))
        .collect();
    assert_eq!(found, expected(&documents, |_| true)[..2_005]);
}

#[tokio::test]
async fn what_was_read_before_a_span_that_cannot_be_is_handed_out() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    let of = |n: u64, day: i64| {
        let ms = birth_ms + day * DAY_MS + DAY_MS / 2 + i64::try_from(n).unwrap();
        event(id(u64::try_from(ms).unwrap(), n), ms, "click")
    };
    let documents: Vec<_> = (0..20).map(|n| of(n, i64::from(n >= 10))).collect();
    service.insert(&documents).await;
    let expected = expected(&documents, |_| true);
    let first = service.ok("/events?limit=5").await;
    let database = service.mongo.database();
    let rows = spans::rows(&database, std::time::Duration::ZERO).await;
    let oldest = bson::doc! { "_id": rows.unwrap()[0].name() };
    let none = bson::doc! { "$set": { "indexes": [] } };
    let meta = spans::meta(&database);
    meta.update_one(oldest, none).await.unwrap();

    let go_on = |page: &Value| {
        let next = page["nextCursor"].as_str().unwrap();
        format!("/events?limit=100&cursor={next}")
    };
    let second = service.ok(&go_on(&first)).await;
    assert_eq!(
        ids(second["items"].as_array().unwrap()),
        expected[5..10],
        "of the newer span"
    );
    let refused = service.get(&go_on(&second)).await.body;
    assert_eq!(refused["code"], "cursor_invalid");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("goes by timestamp"), "{detail}");
}
