//! Events and frames for tests, as ingest would make them.

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, doc, oid::ObjectId};

use crate::document::{EventBatch, EventMark};
use crate::event::id::{Identity, IdentityConfig};
use crate::frame::{Codec, Frame, FrameDraft, FrameId, FrameStamp, ProducerId};

/// The tenant of all test events.
pub const TENANT: &str = "default";

/// A batch of events, each with its `eventId` and type, dated at the epoch.
///
/// # Panics
/// A document does not encode.
#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
pub fn batch(events: &[(&str, &str)]) -> EventBatch {
    let identity = Identity::new(IdentityConfig::default());
    let mut batch = EventBatch::default();
    for (event_id, event_type) in events {
        let known = batch.types.iter().position(|known| &**known == *event_type);
        let type_index = known.unwrap_or_else(|| {
            batch.types.push((*event_type).into());
            batch.types.len() - 1
        });
        let id = identity.of_client_id(TENANT, event_id, Some(0));
        let document = doc! {
            "_id": Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() },
            "f": ObjectId::from_bytes([0; 12]),
            "timestamp": DateTime::from_millis(0),
            "tenant": TENANT,
            "eventType": *event_type,
            "eventId": *event_id,
        };
        batch
            .documents
            .extend(bson::serialize_to_vec(&document).expect("document"));
        batch.events.push(EventMark {
            end: u32::try_from(batch.documents.len()).expect("small batch"),
            type_index: u16::try_from(type_index).expect("few types"),
            undated: false,
        });
    }
    batch
}

/// The `number`-th frame of `producer`, received at `received_at_ms`, of events as in [`batch`].
///
/// # Panics
/// The time does not fit a frame id.
#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
pub fn frame(
    producer: ProducerId,
    number: u32,
    received_at_ms: u64,
    events: &[(&str, &str)],
) -> Frame {
    let second = u32::try_from(received_at_ms / 1_000).expect("time");
    let mut draft = FrameDraft::new();
    draft.push(TENANT, &batch(events), 0..events.len());
    draft.seal(FrameStamp {
        id: FrameId::new(second, producer, number),
        received_at_ms,
        codec: Codec::default(),
        fingerprint: IdentityConfig::default().fingerprint(),
        flags: 0,
    })
}
