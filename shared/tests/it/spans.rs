//! Spans in a real MongoDB: born once, made once, never made again below the mark.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use evp_shared::event::span::{Calendar, SPANS, Span, SpanUnit};
use evp_shared::store::lease;
use evp_shared::store::{DAYS_MAX, day_of, spans};
use evp_shared::store::{Index, Marks, SpanIndex, State, StoreError};
use evp_shared::testing::TestMongo;

const DAY_MS: u64 = 86_400_000;
const INDEXES: [Index; 2] = [Index::Type, Index::User];

async fn born() -> (TestMongo, Calendar) {
    let mongo = TestMongo::new().await;
    let calendar = spans::claim_calendar(&mongo.database(), SpanUnit::Day).await;
    (mongo, calendar.unwrap())
}

#[tokio::test]
async fn a_database_is_born_once() {
    let (mongo, calendar) = born().await;
    let database = mongo.database();
    assert_eq!(calendar, Calendar::born(calendar.birth_ms, SpanUnit::Day));
    let again = spans::claim_calendar(&database, SpanUnit::Day).await;
    assert_eq!(again.unwrap(), calendar);
    let other = spans::claim_calendar(&database, SpanUnit::Hour).await;
    let refused = other.unwrap_err().to_string();
    assert!(refused.contains("set storage.span to day"), "{refused}");
    let stored = spans::stored_calendar(&database, Duration::ZERO).await;
    assert_eq!(stored.unwrap(), Some(calendar));
}

#[tokio::test]
async fn a_database_of_another_layout_is_left_as_it_is() {
    let mongo = TestMongo::new().await;
    let database = mongo.database();
    database.create_collection("events").await.unwrap();
    let refused = spans::claim_calendar(&database, SpanUnit::Day).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, StoreError::Layout { .. }), "{refused}");
    assert_eq!(database.list_collection_names().await.unwrap(), ["events"]);

    let mongo = TestMongo::new().await;
    let later = doc! { "_id": "layout", "v": 3, "birth": DateTime::now(), "unit": "day" };
    let meta = spans::meta(&mongo.database());
    meta.insert_one(later).await.unwrap();
    let refused = spans::claim_calendar(&mongo.database(), SpanUnit::Day).await;
    assert!(matches!(refused, Err(StoreError::Layout { .. })));
}

#[tokio::test]
async fn a_span_is_made_once_with_its_indexes_and_its_row() {
    let (mongo, calendar) = born().await;
    let database = mongo.database();
    let day = calendar.span_of(Some(calendar.birth_ms));
    let made = spans::make(&database, &day, &INDEXES)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((made.span, made.state), (day, State::Hot));
    assert_eq!(made.indexes, [SpanIndex::Type, SpanIndex::UserRecent]);
    let again = spans::make(&database, &day, &INDEXES).await.unwrap();
    assert_eq!(again, Some(made.clone()));
    let undated = spans::make(&database, &Span::Undated, &INDEXES).await;
    let undated = undated.unwrap().unwrap();
    let exact = [SpanIndex::Type, SpanIndex::User, SpanIndex::Time];
    assert_eq!(
        (undated.state, &undated.indexes[..]),
        (State::Undated, &exact[..])
    );
    let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
    assert_eq!(rows, [made.clone(), undated]);
    assert_eq!(spans::row(&database, &day).await.unwrap(), Some(made));
    let names = database.collection::<Document>(&day.to_string());
    let mut names = names.list_index_names().await.unwrap();
    names.sort_unstable();
    assert_eq!(names, ["_id_", "type", "user_recent"]);
}

#[tokio::test]
async fn the_marks_only_rise_and_nothing_is_made_below_them() {
    let (mongo, calendar) = born().await;
    let database = mongo.database();
    let marks = |floor_ms, gone_ms| Marks { floor_ms, gone_ms };
    let next = calendar.birth_ms + DAY_MS;
    let risen = spans::raise_marks(&database, marks(next, next))
        .await
        .unwrap();
    assert_eq!(risen, marks(next, next));
    let lower = spans::raise_marks(&database, marks(5, 0)).await.unwrap();
    assert_eq!(lower, risen);
    assert_eq!(spans::marks(&database).await.unwrap(), risen);
    let day = calendar.span_of(Some(calendar.birth_ms));
    assert!(risen.is_gone(&day));
    assert_eq!(spans::make(&database, &day, &INDEXES).await.unwrap(), None);
    assert_eq!(spans::row(&database, &day).await.unwrap(), None);
    let names = database.list_collection_names().await.unwrap();
    assert!(
        !names.iter().any(|name| name.starts_with(SPANS.0)),
        "{names:?}"
    );
    let later = calendar.span_of(Some(next));
    assert!(
        spans::make(&database, &later, &INDEXES)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_row_tells_on_which_other_days_its_events_lie() {
    let (mongo, calendar) = born().await;
    let database = mongo.database();
    let day = calendar.span_of(Some(calendar.birth_ms));
    let row = spans::make(&database, &day, &INDEXES)
        .await
        .unwrap()
        .unwrap();
    let from = i64::try_from(calendar.birth_ms).unwrap();
    let day_ms = i64::try_from(DAY_MS).unwrap();
    assert_eq!(row.unnoted_day(from), None);
    assert_eq!(row.unnoted_day(from + day_ms + 599_999), None);
    assert_eq!(row.unnoted_day(from - 1), Some(day_of(from) - 1));
    assert_eq!(
        row.unnoted_day(from + day_ms + 600_000),
        Some(day_of(from) + 1)
    );

    spans::note_day(&database, &day, 3).await.unwrap();
    spans::note_day(&database, &day, 3).await.unwrap();
    let row = spans::row(&database, &day).await.unwrap().unwrap();
    assert_eq!(row.outside.days, [3]);
    assert_eq!(row.unnoted_day(3 * day_ms), None);
    assert_eq!(row.unnoted_day(4 * day_ms), Some(4));
    assert!(row.holds_ms().contains(&(3 * day_ms..4 * day_ms)));

    for other in 0..40 {
        spans::note_day(&database, &day, other * 10).await.unwrap();
    }
    let row = spans::row(&database, &day).await.unwrap().unwrap();
    assert_eq!(row.outside.days.len(), DAYS_MAX);
    assert_eq!(row.outside.edges, Some((0, 390)));
    assert_eq!(row.unnoted_day(77 * day_ms), None);
    assert!(row.holds_ms().contains(&(0..391 * day_ms)));
}

#[tokio::test]
async fn one_holds_the_lease_until_it_ends_or_is_given_back() {
    let mongo = TestMongo::new().await;
    let database = mongo.database();
    let take = async |holder, time| lease::take(&database, holder, time).await.unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(take("one", minute).await, "one");
    assert_eq!(take("two", minute).await, "one");
    assert_eq!(take("one", minute).await, "one");
    lease::release(&database, "two").await.unwrap();
    assert_eq!(take("two", minute).await, "one");
    lease::release(&database, "one").await.unwrap();
    assert_eq!(take("two", Duration::ZERO).await, "two");
    // It has ended.
    assert_eq!(take("three", minute).await, "three");
    assert_eq!(take("two", minute).await, "three");
}
