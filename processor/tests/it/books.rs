//! Events and receipts as processors leave them, put there by hand: over as many spans as a test
//! wants, and wrong where it wants them wrong.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, Timestamp, doc, oid::ObjectId};
use evp_shared::document::user_bucket;
use evp_shared::event::id::{Identity, IdentityConfig};
use evp_shared::frame::FrameId;
use evp_shared::store::{Index, RECEIPTS};
use evp_shared::testing::events::TENANT;
use evp_shared::testing::spans::store_events;

use crate::harness::{World, producer};

/// 2013-06-01T00:00:00Z.
pub(crate) const YEAR_2013_MS: i64 = 1_370_044_800_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// An event and what a test says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'t> {
    pub(crate) id: &'t str,
    pub(crate) kind: &'t str,
    pub(crate) user: &'t str,
    /// Unix ms; `None` is undated.
    pub(crate) at_ms: Option<i64>,
}

impl Event<'_> {
    /// As it is stored by `frame`.
    pub(crate) fn document(&self, frame: FrameId) -> Document {
        let identity = Identity::new(IdentityConfig::default());
        let id = identity.of_client_id(TENANT, self.id, self.at_ms);
        doc! {
            "_id": Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() },
            "f": ObjectId::from_bytes(frame.bytes()),
            "timestamp": DateTime::from_millis(self.at_ms.unwrap_or(0)),
            "tenant": TENANT,
            "eventType": self.kind,
            "eventId": self.id,
            "userId": self.user,
            "u": user_bucket(TENANT, self.user),
        }
    }
}

/// A frame older than a day, so that nothing is delivered of it again.
pub(crate) fn old_frame(world: &World, number: u32) -> FrameId {
    let second = world.now_ms / 1_000 - 26 * 3_600;
    FrameId::new(u32::try_from(second).unwrap(), producer(), number)
}

/// Stores `events` as `frame` would, each in its span, and the receipt that says so.
pub(crate) async fn store(world: &World, frame: FrameId, events: &[Event<'_>]) {
    let documents: Vec<Document> = events.iter().map(|one| one.document(frame)).collect();
    let indexes = [Index::Type, Index::User];
    store_events(&world.mongo.database(), &indexes, &documents).await;
    let mut rows: Vec<(&str, i64)> = Vec::new();
    for event in events {
        match rows.iter_mut().find(|(kind, _)| *kind == event.kind) {
            Some((_, count)) => *count += 1,
            None => rows.push((event.kind, 1)),
        }
    }
    let lowest = events.iter().filter_map(|event| event.at_ms).min();
    let mut receipt = doc! {
        "_id": ObjectId::from_bytes(frame.bytes()),
        "p": i32::from(frame.producer().partition()),
        "at": Timestamp { time: frame.second(), increment: 1 },
        "n": rows_of(&rows), "d": 0_i64, "x": 0_i64, "e": 0_i64,
    };
    if let Some(lowest) = lowest {
        receipt.insert("o", DateTime::from_millis(lowest));
    }
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    receipts.insert_one(receipt).await.unwrap();
}

/// Rows as receipts have them.
pub(crate) fn rows_of(rows: &[(&str, i64)]) -> Vec<Bson> {
    let row = |(kind, count): &(&str, i64)| bson::bson!([TENANT, *kind, *count]);
    rows.iter().map(row).collect()
}

/// The receipt of `frame`.
pub(crate) async fn receipt_of(world: &World, frame: FrameId) -> Option<Document> {
    let receipts = world.mongo.database().collection::<Document>(RECEIPTS);
    let id = ObjectId::from_bytes(frame.bytes());
    receipts.find_one(doc! { "_id": id }).await.unwrap()
}
