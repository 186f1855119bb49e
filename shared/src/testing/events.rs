//! Events and frames for tests, as ingest would make them.

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, doc, oid::ObjectId};

use crate::document::{EventBatch, EventMark, user_bucket};
use crate::event::id::{Identity, IdentityConfig};
use crate::frame::{Codec, Frame, FrameDraft, FrameId, FrameStamp, ProducerId};

/// The tenant of all test events.
pub const TENANT: &str = "default";

/// An event to be made.
#[derive(Debug, Clone, Default)]
pub struct TestEvent {
    /// Its `eventId`.
    pub event_id: String,
    /// The server made that id, and the document does not have it.
    pub is_made: bool,
    /// Its type.
    pub event_type: String,
    /// Its user, if any.
    pub user_id: Option<String>,
    /// Its session, if any.
    pub session_id: Option<String>,
    /// Characters of a text in its payload.
    pub payload: usize,
    /// Its `timestamp`, Unix ms, and so the time of an id that has none of its own.
    pub time_ms: i64,
}

impl TestEvent {
    /// An event without a user.
    pub fn new(event_id: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self {
            event_id: event_id.into(),
            event_type: event_type.into(),
            ..Self::default()
        }
    }

    /// With an id of the server's.
    #[must_use]
    pub fn made(self) -> Self {
        Self {
            is_made: true,
            ..self
        }
    }

    /// Of this user.
    #[must_use]
    pub fn of_user(self, user_id: impl Into<String>) -> Self {
        Self {
            user_id: Some(user_id.into()),
            ..self
        }
    }

    /// Dated so, Unix ms.
    #[must_use]
    pub fn at(self, time_ms: u64) -> Self {
        Self {
            time_ms: time_ms.cast_signed(),
            ..self
        }
    }

    fn document(&self, tenant: &str) -> bson::Document {
        let identity = Identity::new(IdentityConfig::default());
        let id = identity.of_client_id(tenant, &self.event_id, Some(self.time_ms));
        let mut document = doc! {
            "_id": Binary { subtype: BinarySubtype::Uuid, bytes: id.as_bytes().to_vec() },
            "f": ObjectId::from_bytes([0; 12]),
            "timestamp": DateTime::from_millis(self.time_ms),
            "tenant": tenant,
            "eventType": &self.event_type,
        };
        if !self.is_made {
            document.insert("eventId", &self.event_id);
        }
        if let Some(user_id) = &self.user_id {
            document.insert("userId", user_id);
        }
        if let Some(session_id) = &self.session_id {
            document.insert("sessionId", session_id);
        }
        if let Some(user_id) = &self.user_id {
            document.insert("u", user_bucket(tenant, user_id));
        }
        if self.payload > 0 {
            document.insert("payload", doc! { "text": "x".repeat(self.payload) });
        }
        document
    }
}

/// A batch of events, each with its `eventId` and type, dated at the epoch.
///
/// # Panics
/// A document does not encode.
pub fn batch(events: &[(&str, &str)]) -> EventBatch {
    batch_of(TENANT, &made_of(events))
}

fn made_of(events: &[(&str, &str)]) -> Vec<TestEvent> {
    let event = |(id, kind): &(&str, &str)| TestEvent::new(*id, *kind);
    events.iter().map(event).collect()
}

#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
fn batch_of(tenant: &str, events: &[TestEvent]) -> EventBatch {
    let mut batch = EventBatch::default();
    for event in events {
        let known = batch
            .types
            .iter()
            .position(|known| **known == *event.event_type);
        let type_index = known.unwrap_or_else(|| {
            batch.types.push(event.event_type.as_str().into());
            batch.types.len() - 1
        });
        let document = bson::serialize_to_vec(&event.document(tenant));
        batch.documents.extend(document.expect("document"));
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
pub fn frame(
    producer: ProducerId,
    number: u32,
    received_at_ms: u64,
    events: &[(&str, &str)],
) -> Frame {
    frame_of(producer, number, received_at_ms, &made_of(events))
}

/// As [`frame`], of any events.
///
/// # Panics
/// The time does not fit a frame id.
pub fn frame_of(
    producer: ProducerId,
    number: u32,
    received_at_ms: u64,
    events: &[TestEvent],
) -> Frame {
    frame_of_tenants(producer, number, received_at_ms, &[(TENANT, events)])
}

/// As [`frame_of`], of several tenants.
///
/// # Panics
/// The time does not fit a frame id.
#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
pub fn frame_of_tenants(
    producer: ProducerId,
    number: u32,
    received_at_ms: u64,
    events: &[(&str, &[TestEvent])],
) -> Frame {
    let second = u32::try_from(received_at_ms / 1_000).expect("time");
    let mut draft = FrameDraft::new();
    for (tenant, events) in events {
        draft.push(tenant, &batch_of(tenant, events), 0..events.len());
    }
    draft.seal(FrameStamp {
        id: FrameId::new(second, producer, number),
        received_at_ms,
        codec: Codec::default(),
        fingerprint: IdentityConfig::default().fingerprint(),
        flags: 0,
    })
}
