//! Lists while spans are made, sealed and dropped: each event once, in order.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::Document;
use evp_aggregator::events::Events;
use evp_aggregator::events::filter::Filter;
use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::Span;
use evp_shared::store::{Index, spans};
use evp_shared::testing::TestMongo;
use evp_shared::testing::spans::store_events;
use mongodb::Database;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::ClientOptions;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::events::{bytes_of, expected, id_of, ids, is, walk};
use crate::list_spans::{DAY_MS, birth_ms, many_days, seal, walk_back};
use crate::plans::everything;
use crate::service::{TestAggregator, event, id, prepared};

/// Asserts that `listed` is `all` but for some of those that `may_lack`.
fn assert_listed(listed: &[Value], all: &[String], may_lack: &HashSet<String>, what: &str) {
    let listed = ids(listed);
    let mut left = listed.iter().peekable();
    for id in all {
        if left.peek() == Some(&&id.as_str()) {
            left.next();
        } else {
            assert!(
                may_lack.contains(id),
                "{what}: {id} is missing or out of order"
            );
        }
    }
    assert_eq!(left.next(), None, "{what}");
}

/// The ids of all events of the span `name`.
async fn ids_in(database: &Database, name: &str) -> HashSet<String> {
    let events = database.collection::<Document>(name);
    let found = events.distinct("_id", Document::new()).await.unwrap();
    let text = |id: bson::Bson| id_of(&bson::doc! { "_id": id });
    found.into_iter().map(text).collect()
}

#[tokio::test]
async fn each_event_is_listed_once_while_spans_are_made_sealed_and_dropped() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    let database = service.mongo.database();
    let documents = many_days(900, birth_ms, 5);
    service.insert(&documents).await;
    let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
    let mut dated = rows.iter().filter(|row| row.span != Span::Undated);
    let dropped = dated.next().unwrap();
    let lacking = ids_in(&database, &dropped.name()).await;
    assert!((1..500).contains(&lacking.len()), "{lacking:?}");
    let lists = [
        ("&userId=u", expected(&documents, |d| is(d, "userId", "u"))),
        ("&to=FUTURE", expected(&documents, |_| true)),
        (
            "&type=type0001",
            expected(&documents, |d| is(d, "eventType", "type0001")),
        ),
    ];
    let future = birth_ms + 10 * DAY_MS;
    let is_over = Cell::new(false);
    let change = async {
        for row in dated {
            seal(&database, &row.name()).await;
        }
        for day in 0..4 {
            // Newer than what is listed, but the spans are there.
            let ms = future + day * DAY_MS;
            let made = event(id(u64::try_from(ms).unwrap(), 1), ms, "later");
            service.insert(&[made]).await;
        }
        spans::drop_span(&database, &dropped.span).await.unwrap();
        is_over.set(true);
    };
    let read = async {
        // Once more after all has changed.
        let mut rounds = 0;
        let mut was_over = false;
        while !was_over {
            was_over = is_over.get();
            for (query, all) in &lists {
                let query = query.replace("FUTURE", &future.to_string());
                assert_listed(&walk(&service, &query, 40).await, all, &lacking, &query);
                let back = walk_back(&service, &query, 60).await;
                assert_listed(&back, all, &lacking, &query);
            }
            rounds += 1;
        }
        rounds
    };
    let ((), rounds) = tokio::join!(change, read);
    assert!(rounds > 1);
    let left: Vec<String> = lists[0]
        .1
        .iter()
        .filter(|id| !lacking.contains(*id))
        .cloned()
        .collect();
    assert_eq!(ids(&walk(&service, "&userId=u", 40).await), left);
}

#[tokio::test]
async fn a_list_goes_on_while_its_spans_are_sealed() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    let database = service.mongo.database();
    let documents = many_days(900, birth_ms, 5);
    service.insert(&documents).await;
    let all = expected(&documents, |d| is(d, "userId", "u"));
    let mut page = service.ok("/events?userId=u&limit=10").await;
    let mut listed = page["items"].as_array().unwrap().clone();
    let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
    let mut rows = rows.iter().filter(|row| row.span != Span::Undated);
    while let Some(next) = page["nextCursor"].as_str() {
        if let Some(row) = rows.next_back() {
            seal(&database, &row.name()).await;
        }
        page = service
            .ok(&format!("/events?userId=u&limit=10&cursor={next}"))
            .await;
        listed.extend(page["items"].as_array().unwrap().clone());
    }
    assert!(rows.next().is_none(), "all were sealed on the way");
    assert_eq!(ids(&listed), all);
}

/// What happens to a span while it is read.
#[derive(Debug, Clone, Copy)]
enum Change {
    Seal,
    Drop,
}

/// Events of which `span` is changed just before the first `command` is sent to it.
async fn disturbed(
    mongo: &TestMongo,
    command: &'static str,
    span: Span,
    change: Change,
) -> (Events, Arc<AtomicBool>) {
    let is_done = Arc::new(AtomicBool::new(false));
    let (database, done) = (mongo.database(), Arc::clone(&is_done));
    let mut options = ClientOptions::parse(mongo.uri()).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        let CommandEvent::Started(started) = event else {
            return;
        };
        let field = if command == "getMore" {
            "collection"
        } else {
            command
        };
        let is_of_span = started.command.get_str(field).ok() == Some(span.to_string().as_str());
        if started.command_name != command || !is_of_span || done.swap(true, Ordering::SeqCst) {
            return;
        }
        let apply = async {
            match change {
                Change::Seal => seal(&database, &span.to_string()).await,
                Change::Drop => spans::drop_span(&database, &span).await.unwrap(),
            }
        };
        block_in_place(|| Handle::current().block_on(apply));
    }));
    let client = mongodb::Client::with_options(options).unwrap();
    let database = client.database(mongo.database_name());
    let limit = Duration::from_secs(20);
    let events = Events::new(&database, IdentityConfig::default(), Clock::system(), limit);
    (events, is_done)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_where_its_index_or_its_span_went_away_under_it() {
    for command in ["find", "getMore"] {
        for change in [Change::Seal, Change::Drop] {
            let mongo = prepared().await;
            let database = mongo.database();
            let calendar = spans::stored_calendar(&database, Duration::ZERO).await;
            let birth_ms = calendar.unwrap().unwrap().birth_ms;
            let documents = many_days(900, i64::try_from(birth_ms).unwrap(), 5);
            store_events(&database, &[Index::Type, Index::User], &documents).await;
            let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
            let span = rows[0].span;
            let is_lost = |document: &Document| {
                let time_ms = IdentityConfig::default().time_ms(&bytes_of(document));
                matches!(change, Change::Drop) && span.contains(time_ms)
            };
            let left = expected(&documents, |d| is(d, "userId", "u") && !is_lost(d));

            let (events, is_done) = disturbed(&mongo, command, span, change).await;
            let filter = Filter {
                user_id: Some("u".into()),
                ..everything()
            };
            let page = events.page(&filter, None, 1_000).await.unwrap();
            let listed: Vec<String> = page
                .documents
                .iter()
                .map(|document| id_of(&Document::try_from(document).unwrap()))
                .collect();
            assert_eq!(listed, left, "{change:?} before {command}");
            assert!(
                is_done.load(Ordering::SeqCst),
                "{change:?} before {command}"
            );
        }
    }
}

#[tokio::test]
async fn an_index_that_is_not_there_is_asked_for_a_bounded_number_of_times() {
    let service = TestAggregator::start().await;
    let birth_ms = birth_ms(&service).await;
    service.insert(&many_days(100, birth_ms, 5)).await;
    let database = service.mongo.database();
    let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
    let events = database.collection::<Document>(&rows[0].name());
    events.drop_index("user_recent").await.unwrap();
    let (status, code, _) = service.problem("/events?userId=u").await;
    assert_eq!((status, code.as_str()), (503, "store_unavailable"));
    service.ok("/events").await;
}
