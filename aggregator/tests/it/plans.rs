//! How mongod carries plans out, and what a page is worth that ran out of time.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use evp_aggregator::auth::Tenant;
use evp_aggregator::error::QueryError;
use evp_aggregator::events::Events;
use evp_aggregator::events::filter::{Filter, Window};
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::store::{Index, spans};
use evp_shared::testing::TestMongo;
use evp_shared::testing::spans::store_events;
use mongodb::Database;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use parking_lot::Mutex;

use crate::events::{expected, id_of, is, of_user};
use crate::list_spans::{many_days, seal};
use crate::service::{event, id, prepared, undated};

/// The name of the span of ids of the first year there is.
const SPAN: &str = "events_1970";

/// A filter that all events pass.
pub(crate) fn everything() -> Filter {
    Filter {
        tenant: Tenant::of_everybody(),
        types: Vec::new(),
        user_id: None,
        session_id: None,
        window: Window::ALL,
        written_window: Default::default(),
    }
}

/// 4,000 events of `types` types, as many of each of ten users, dated or not.
pub(crate) fn some(types: u64, id_of: impl Fn(u64) -> [u8; 16]) -> Vec<Document> {
    (0..4_000_u64)
        .map(|n| {
            let ms = i64::try_from(n).unwrap();
            let mut document = event(id_of(n), ms, &format!("type{:04}", n % types));
            of_user(&mut document, &format!("user{}", n % 10));
            document
        })
        .collect()
}

/// A page of `filter` from the middle of its list on; the reads of spans that it was made of, as
/// mongod carries them out.
async fn explained(mongo: &TestMongo, filter: &Filter) -> Vec<(String, Document)> {
    let seen: Arc<Mutex<Vec<Document>>> = Arc::default();
    let mut options = ClientOptions::parse(mongo.uri()).await.unwrap();
    let log = Arc::clone(&seen);
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            log.lock().push(started.command);
        }
    }));
    let client = mongodb::Client::with_options(options).unwrap();
    let database = client.database(mongo.database_name());
    let limit = Duration::from_secs(20);
    let events = Events::new(&database, IdentityConfig::default(), Clock::system(), limit);
    let first = events.page(filter, None, 20).await.unwrap();
    let page = events.page(filter, first.next, 20).await.unwrap();
    assert_eq!(page.documents.len(), 20);
    let commands = std::mem::take(&mut *seen.lock());
    let mut explained = Vec::new();
    for mut command in commands {
        let name = command.keys().next().cloned().unwrap();
        let is_of_span = command
            .get_str(&name)
            .is_ok_and(|of| of.starts_with("events_"));
        if !is_of_span || name == "getMore" || name == "killCursors" {
            continue;
        }
        for field in ["lsid", "$db", "$clusterTime", "maxTimeMS", "readConcern"] {
            command.remove(field);
        }
        let explain = doc! { "explain": &command, "verbosity": "executionStats" };
        let mut answer = mongo.database().run_command(explain).await.unwrap();
        answer.remove("command");
        explained.push((command.to_string(), answer));
    }
    assert!(!explained.is_empty());
    explained
}

/// All numbers that `answer` has under `field`.
fn numbers(answer: &Document, field: &str) -> Vec<i64> {
    let mut found = Vec::new();
    for (key, value) in answer {
        match value {
            Bson::Int32(number) if key == field => found.push(i64::from(*number)),
            Bson::Int64(number) if key == field => found.push(*number),
            Bson::Document(inner) => found.extend(numbers(inner, field)),
            Bson::Array(inner) => {
                let inner = inner.iter().filter_map(Bson::as_document);
                found.extend(inner.flat_map(|inner| numbers(inner, field)));
            }
            _ => {}
        }
    }
    found
}

/// Asserts that no read sorts, and that none looks at more than so many keys and documents.
async fn assert_bounded(mongo: &TestMongo, filter: &Filter, index: &str, most: [i64; 2]) {
    let mut is_used = false;
    for (command, answer) in explained(mongo, filter).await {
        let text = answer.to_string();
        assert!(!text.contains("\"SORT\""), "sorts: {command}");
        assert!(!text.contains("COLLSCAN"), "walks: {command}");
        is_used |= text.contains(&format!("\"indexName\": \"{index}\""));
        for (field, most) in [
            ("totalKeysExamined", most[0]),
            ("totalDocsExamined", most[1]),
        ] {
            let seen = numbers(&answer, field).into_iter().max().unwrap_or(0);
            assert!(seen <= most, "{field} is {seen}: {command}");
        }
    }
    assert!(is_used, "{index} is not read");
}

#[tokio::test]
async fn lists_read_what_they_answer_and_little_more() {
    let mongo = prepared().await;
    let indexes = [Index::Type, Index::User];
    let dated = some(200, |n| id(n, n));
    store_events(&mongo.database(), &indexes, &dated).await;
    let all = everything();
    let of_user = Filter {
        user_id: Some("user3".into()),
        ..all.clone()
    };
    let of_type = Filter {
        types: vec!["type0007".into()],
        ..all.clone()
    };
    // 200 types are merged: each is looked into.
    assert_bounded(&mongo, &all, "type", [21 + 2 * 200, 21]).await;
    assert_bounded(&mongo, &of_type, "type", [23, 21]).await;
    // A bucket is walked, but only in the index: the user's are 400 of the bucket's.
    assert_bounded(&mongo, &of_user, "user_recent", [402, 21]).await;
    seal(&mongo.database(), SPAN).await;
    assert_bounded(&mongo, &of_user, "user", [23, 21]).await;
}

#[tokio::test]
async fn undated_events_are_listed_by_their_time() {
    let mongo = prepared().await;
    let indexes = [Index::Type, Index::User];
    store_events(&mongo.database(), &indexes, &some(500, undated)).await;
    assert_bounded(&mongo, &everything(), "time", [23, 21]).await;
}

#[tokio::test]
async fn a_list_by_id_looks_at_no_more_than_a_window() {
    let mongo = prepared().await;
    store_events(&mongo.database(), &[], &some(3, |n| id(n, n))).await;
    // 500 ids and one, and a seek for each salt.
    assert_bounded(&mongo, &everything(), "_id_", [501 + 2 * 16, 501]).await;
}

/// A database each of whose commands takes `takes` by `clock`.
async fn slow(uri: &str, name: &str, clock: Clock, takes: Duration) -> Database {
    let mut options = ClientOptions::parse(uri).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if matches!(event, CommandEvent::Started(_)) {
            clock.advance(takes);
        }
    }));
    mongodb::Client::with_options(options)
        .unwrap()
        .database(name)
}

/// All pages of `filter`, of `limit` events at most, and how many they were.
pub(crate) async fn walked(
    events: &Events,
    filter: &Filter,
    limit: usize,
) -> (Vec<RawDocumentBuf>, usize) {
    let (mut cursor, mut pages, mut found) = (None, 0, Vec::new());
    loop {
        let page = events.page(filter, cursor, limit).await.unwrap();
        pages += 1;
        found.extend(page.documents);
        if page.next.is_none() {
            return (found, pages);
        }
        assert_ne!(page.next, cursor, "every page goes on");
        cursor = page.next;
    }
}

#[tokio::test]
async fn pages_that_run_out_of_time_among_spans_lose_nothing() {
    let mongo = prepared().await;
    let database = mongo.database();
    let calendar = spans::stored_calendar(&database, Duration::ZERO).await;
    let birth_ms = calendar.unwrap().unwrap().birth_ms;
    let documents = many_days(400, i64::try_from(birth_ms).unwrap(), 250);
    store_events(&database, &[Index::Type, Index::User], &documents).await;
    let clock = Clock::manual(0);
    let takes = Duration::from_secs(10);
    let database = slow(mongo.uri(), mongo.database_name(), clock.clone(), takes).await;
    let all = everything();
    let of_user = Filter {
        user_id: Some("u".into()),
        ..all.clone()
    };
    let mut short = 0;
    for filter in [all, of_user] {
        let keeps = |document: &Document| filter.user_id.is_none() || is(document, "userId", "u");
        let expected = expected(&documents, keeps);
        for commands in [25, 32] {
            let identity = IdentityConfig::default();
            let events = Events::new(&database, identity, clock.clone(), commands * takes);
            let (found, pages) = walked(&events, &filter, 10).await;
            let found = found
                .iter()
                .map(|found| id_of(&Document::try_from(found).unwrap()));
            assert_eq!(found.collect::<Vec<_>>(), expected);
            short += pages - expected.len().div_ceil(100);
        }
    }
    assert!(short > 1, "{short}");
}

#[tokio::test]
async fn a_page_that_runs_out_of_time_says_how_far_it_got() {
    let mongo = prepared().await;
    let mut documents: Vec<_> = (0..30_000_u64)
        .map(|n| event(id(n, n), i64::try_from(n / 7).unwrap(), "click"))
        .collect();
    for at in [10, 15_000, 29_990] {
        documents[at].insert("sessionId", "rare");
    }
    store_events(&mongo.database(), &[Index::Type], &documents).await;

    let clock = Clock::manual(0);
    let takes = Duration::from_secs(10);
    let database = slow(mongo.uri(), mongo.database_name(), clock.clone(), takes).await;
    let limit = Duration::from_secs(100);
    let events = Events::new(&database, IdentityConfig::default(), clock, limit);
    let filter = Filter {
        session_id: Some("rare".into()),
        ..everything()
    };
    let (found, pages) = walked(&events, &filter, 10).await;
    let times: Vec<i64> = found
        .iter()
        .map(|document| {
            document
                .get_datetime("timestamp")
                .unwrap()
                .timestamp_millis()
        })
        .collect();
    assert_eq!(times, [29_990 / 7, 15_000 / 7, 10 / 7]);
    assert!(pages > 1, "{pages}");
}

#[tokio::test]
async fn a_page_without_time_for_a_single_step_is_refused() {
    let mongo = prepared().await;
    let clock = Clock::manual(0);
    let takes = Duration::from_secs(1);
    let database = slow(mongo.uri(), mongo.database_name(), clock.clone(), takes).await;
    let events = Events::new(
        &database,
        IdentityConfig::default(),
        clock,
        Duration::from_millis(500),
    );
    let filter = everything();
    let refused = events.page(&filter, None, 10).await;
    assert!(matches!(refused, Err(QueryError::Timeout)), "{refused:?}");
}
