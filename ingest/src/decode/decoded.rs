//! What a body is decoded to, and what decides how.

use std::borrow::Cow;

use evp_shared::document::EventBatch;
use evp_shared::event::EventRules;
use evp_shared::event::id::{CanonicalId, Identity, MadeId};
use evp_shared::event::reject::Rejection;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;

/// What a frame notes of an event: where it begins, and perhaps that it has no time.
const FRAMED_EVENT_BYTES: usize = 2 * size_of::<u32>();

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON value: an object, an array, or `{"events":[...]}`.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// JSON, or NDJSON when more values follow on new lines.
    Sniff,
}

/// Whether the caller sent one event or a list; a list of one is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object.
    Single,
    /// An array, `{"events":[...]}` or NDJSON.
    Many,
}

/// What one request may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes after decompression; also the most bytes of BSON they may become.
    pub decoded_bytes_max: usize,
    /// Most events in one request; at most 65,535, the number of types a batch can tell apart.
    pub events_max: u16,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 16 * 1024 * 1024,
            events_max: 10_000,
        }
    }
}

/// What is known of a request besides its body.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext<'a> {
    /// Whose events these are.
    pub tenant: &'a str,
    /// The time of the request, in milliseconds since 1970.
    pub now_ms: u64,
    /// Computes canonical ids.
    pub identity: &'a Identity,
    /// What one request may be.
    pub limits: BodyLimits,
    /// What one event may be.
    pub rules: EventRules,
    /// The header `Idempotency-Key`: the `eventId` of a single event.
    pub idempotency_key: Option<&'a str>,
    /// Ids below it are taken no more, nor those without a time; none where all are kept.
    pub floor_ms: Option<u64>,
    /// Types of events that may be sent; all where there are none.
    pub types: &'a [String],
}

/// Says why nothing of a body is taken, and where in it the fault is, decoded and in bytes; it may
/// lie one byte further.
pub(super) fn problem_at(reason: RejectReason, offset: usize) -> Problem {
    Problem::from(reason)
        .detail(format!("the fault is at byte {offset}"))
        .with("offset", offset)
}

/// Where the `eventId` of one input event is found, for answers that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventIdOf {
    /// Rejected before it had an identity.
    Nothing,
    /// Sent by the client: in the document of this index.
    Document(u16),
    /// Made by the server.
    Made(MadeId),
}

/// One rejected event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEvent {
    /// The position of the event in the request, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub rejection: Rejection,
}

impl RejectedEvent {
    fn held_bytes(&self) -> usize {
        let owned = |text: &Cow<'_, str>| match text {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.len(),
        };
        let Rejection { field, message, .. } = &self.rejection;
        field.as_ref().map_or(0, owned) + owned(message)
    }
}

/// What an answer says of one input event, accepted or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputIds {
    /// Its canonical id; `None` where it was rejected, the id of the first one where it is a duplicate
    /// inside its request.
    pub id: Option<CanonicalId>,
    /// Where its `eventId` is found.
    pub event_id: EventIdOf,
}

/// The events of one request.
#[derive(Debug)]
pub struct DecodedRequest {
    /// The accepted events.
    pub batch: EventBatch,
    /// Whether one event was sent, or a list.
    pub shape: Shape,
    /// The ids of every input event: those of `batch`, and the rejected ones.
    pub ids: Vec<InputIds>,
    /// The rejected events, in order; see [`keep_rejected`](Self::keep_rejected).
    pub rejected: Vec<RejectedEvent>,
    /// How many of `rejected` are duplicates inside this request.
    pub duplicates: usize,
}

impl DecodedRequest {
    /// Bytes that live until the append is answered: the documents, here and in their frame, and
    /// what is noted of each event, accepted or not. Without what the allocator adds.
    pub fn held_bytes(&self) -> usize {
        fn room<T>(of: &Vec<T>) -> usize {
            of.capacity() * size_of::<T>()
        }
        let batch = &self.batch;
        let types: usize = batch.types.iter().map(|name| name.len()).sum();
        let rejected: usize = self.rejected.iter().map(RejectedEvent::held_bytes).sum();
        let framed = batch.documents.len() + batch.events.len() * FRAMED_EVENT_BYTES;
        size_of::<Self>()
            + framed
            + room(&batch.documents)
            + room(&batch.events)
            + room(&batch.types)
            + types
            + room(&self.ids)
            + room(&self.rejected)
            + rejected
    }

    /// How many events were rejected.
    pub fn rejected_count(&self) -> usize {
        self.ids.len() - self.batch.events.len()
    }

    /// Lets go of all rejected events but the first `most`.
    pub fn keep_rejected(&mut self, most: usize) {
        if self.rejected.len() > most {
            self.rejected.truncate(most);
            self.rejected.shrink_to_fit();
        }
    }
}
