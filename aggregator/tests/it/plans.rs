//! How mongod carries plans out, and what a page is worth that ran out of time.

use std::time::Duration;

use axum::extract::FromRequestParts;
use bson::{Document, doc};
use evp_aggregator::auth::Tenant;
use evp_aggregator::error::QueryError;
use evp_aggregator::events::Events;
use evp_aggregator::events::filter::{Filter, Window};
use evp_aggregator::events::plan::{Catalogue, Plan};
use evp_shared::clock::Clock;
use evp_shared::store::{EVENTS, Index};
use mongodb::Database;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::{ClientOptions, Hint};

use crate::service::{event, id, prepared};

async fn tenant() -> Tenant {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let Ok(tenant) = Tenant::from_request_parts(&mut parts, &()).await;
    tenant
}

async fn everything() -> Filter {
    Filter {
        tenant: tenant().await,
        types: Vec::new(),
        user_id: None,
        session_id: None,
        window: Window::ALL,
        written_window: Default::default(),
    }
}

async fn insert(database: &Database, documents: &[Document]) {
    let events = database.collection::<Document>(EVENTS);
    for bulk in documents.chunks(10_000) {
        events.insert_many(bulk).await.unwrap();
    }
}

#[tokio::test]
async fn two_hundred_types_are_merged_without_sorting() {
    let mongo = prepared(&[Index::Type]).await;
    let database = mongo.database();
    let kind = |n: u64| format!("type{:03}", n % 200);
    let documents: Vec<_> = (0..4_000_u64)
        .map(|n| event(id(n, n), i64::try_from(n).unwrap(), &kind(n)))
        .collect();
    insert(&database, &documents).await;

    let distinct =
        doc! { "distinct": EVENTS, "key": "eventType", "query": { "tenant": "default" } };
    let explained = explain(&database, distinct).await;
    assert!(explained.contains("DISTINCT_SCAN"), "{explained}");

    let catalogue = Catalogue {
        indexes: vec![Index::Type],
        types: Some((0..200).map(kind).collect()),
    };
    let plan = Plan::decide(&everything().await, &catalogue);
    let Hint::Name(hint) = plan.hint else {
        panic!("{plan:?}");
    };
    let find = doc! {
        "find": EVENTS,
        "filter": plan.bounds,
        "sort": plan.order.sort(evp_aggregator::events::position::Direction::Older),
        "hint": hint,
        "limit": 50,
    };
    let explained = explain(&database, find).await;
    assert!(explained.contains("SORT_MERGE"), "{explained}");
    assert!(!explained.contains("\"SORT\""), "{explained}");
}

async fn explain(database: &Database, command: Document) -> String {
    let explain = doc! { "explain": command, "verbosity": "queryPlanner" };
    let mut answer = database.run_command(explain).await.unwrap();
    answer.remove("command");
    answer.to_string()
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

#[tokio::test]
async fn a_page_that_runs_out_of_time_says_how_far_it_got() {
    let mongo = prepared(&[Index::Type]).await;
    let mut documents: Vec<_> = (0..30_000_u64)
        .map(|n| event(id(n, n), i64::try_from(n / 7).unwrap(), "click"))
        .collect();
    for at in [10, 15_000, 29_990] {
        documents[at].insert("sessionId", "rare");
    }
    insert(&mongo.database(), &documents).await;

    let clock = Clock::manual(0);
    let takes = Duration::from_millis(100);
    let database = slow(mongo.uri(), mongo.database_name(), clock.clone(), takes).await;
    let limit = Duration::from_millis(1_000);
    let events = Events::new(&database, clock, limit);
    let filter = Filter {
        session_id: Some("rare".into()),
        ..everything().await
    };
    let (mut cursor, mut pages, mut found) = (None, 0, Vec::new());
    loop {
        let page = events.page(&filter, cursor, 10).await.unwrap();
        pages += 1;
        found.extend(page.documents);
        if page.next.is_none() {
            break;
        }
        assert_ne!(page.next, cursor, "every page goes on");
        cursor = page.next;
    }
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
    let mongo = prepared(&[Index::Type]).await;
    let clock = Clock::manual(0);
    let takes = Duration::from_secs(1);
    let database = slow(mongo.uri(), mongo.database_name(), clock.clone(), takes).await;
    let events = Events::new(&database, clock, Duration::from_millis(500));
    let filter = everything().await;
    let refused = events.page(&filter, None, 10).await;
    assert!(matches!(refused, Err(QueryError::Timeout)), "{refused:?}");
}
