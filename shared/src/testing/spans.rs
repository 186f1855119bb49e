//! Events put into spans without a processor, and read out of all of them.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document};
use futures::TryStreamExt as _;
use mongodb::Database;

use crate::event::id::IdentityConfig;
use crate::event::span::{SPANS, SpanUnit};
use crate::store::{Index, spans};

/// Documents of one insert.
const BULK: usize = 10_000;

/// Stores `documents`, which have a canonical id and a `timestamp`, where a processor would; spans
/// are made with `indexes`.
///
/// # Panics
/// MongoDB does not take them.
#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
pub async fn store_events(database: &Database, indexes: &[Index], documents: &[Document]) {
    let identity = IdentityConfig::default();
    let calendar = spans::claim_calendar(database, SpanUnit::Day).await;
    let calendar = calendar.expect("a calendar");
    let mut by_span: BTreeMap<_, Vec<&Document>> = BTreeMap::new();
    for document in documents {
        let id = match document.get("_id") {
            Some(Bson::Binary(id)) => id.bytes.as_slice().try_into().ok(),
            _ => None,
        };
        let id = id.expect("a canonical id");
        let span = calendar.span_of(identity.time_ms(&id));
        by_span.entry(span).or_default().push(document);
    }
    for (span, documents) in by_span {
        let row = match spans::row(database, &span).await.expect("a row") {
            Some(row) => row,
            None => {
                let made = spans::make(database, &span, indexes).await;
                made.expect("a span").expect("a span that is not gone")
            }
        };
        let days = documents.iter().filter_map(|document| {
            let timestamp = document.get_datetime("timestamp").expect("a timestamp");
            row.unnoted_day(timestamp.timestamp_millis())
        });
        for day in days.collect::<BTreeSet<_>>() {
            let noted = spans::note_day(database, &span, day).await;
            noted.expect("a note");
        }
        let collection = database.collection::<Document>(&row.name());
        for bulk in documents.chunks(BULK) {
            collection
                .insert_many(bulk.iter().copied())
                .await
                .expect("an insert");
        }
    }
}

/// All events of all spans, in no order.
///
/// # Panics
/// MongoDB does not answer.
#[expect(clippy::expect_used, reason = "a failed look is a failed test")]
pub async fn stored_events(database: &Database) -> Vec<Document> {
    let names = database.list_collection_names().await;
    let mut events = Vec::new();
    for name in names.expect("collections") {
        if name.starts_with(SPANS.0) {
            let collection = database.collection::<Document>(&name);
            let cursor = collection.find(Document::new()).await;
            let found = cursor.expect("a cursor").try_collect::<Vec<_>>();
            events.extend(found.await.expect("events"));
        }
    }
    events
}
