//! From the bytes of a body to the events of a request: formats, caps, and what is wrong with a
//! body as a whole.

pub mod decompress;
mod json;
mod ndjson;
mod parser;

use std::borrow::Cow;

use evp_shared::event::id::{Identity, MadeId};
use evp_shared::event::reject::Rejection;
use evp_shared::outcome::RejectReason;
use evp_shared::{document::EventBatch, event::EventRules, event::id::CanonicalId};

use self::parser::Parser;
use crate::events::{EventSink, SinkScratch};

/// Bodies up to this size leave their scratch to the next one; above, it is given back: a tape
/// takes up to 24 times the bytes of its body.
const SCRATCH_BYTES_KEPT: usize = 1024 * 1024;

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
}

/// Why nothing of a body is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyProblem {
    /// The stable code; it has a status.
    pub reason: RejectReason,
    /// Where in the decoded body the fault is, in bytes; it may lie one byte further.
    pub offset: Option<usize>,
}

impl From<RejectReason> for BodyProblem {
    fn from(reason: RejectReason) -> Self {
        Self {
            reason,
            offset: None,
        }
    }
}

impl BodyProblem {
    const fn at(reason: RejectReason, offset: usize) -> Self {
        Self {
            reason,
            offset: Some(offset),
        }
    }
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
        size_of::<Self>() + field.as_ref().map_or(0, owned) + owned(message)
    }
}

/// The events of one request.
///
/// # Invariant
/// `batch.events.len() + rejected.len()` is the number of events in the request, and `ids` and
/// `event_ids` have that many elements.
#[derive(Debug)]
pub struct DecodedRequest {
    /// The accepted events.
    pub batch: EventBatch,
    /// Whether one event was sent, or a list.
    pub shape: Shape,
    /// The canonical id of every input event; `None` where it was rejected, the id of the first
    /// one where it is a duplicate inside this request.
    pub ids: Vec<Option<CanonicalId>>,
    /// Where the `eventId` of every input event is found.
    pub event_ids: Vec<EventIdOf>,
    /// The rejected events, in order.
    pub rejected: Vec<RejectedEvent>,
    /// How many of `rejected` are duplicates inside this request.
    pub duplicates: usize,
}

impl DecodedRequest {
    /// Bytes that live until the answer: the documents, and what is noted of each event, accepted
    /// or not. Without what the allocator adds.
    pub fn held_bytes(&self) -> usize {
        let batch = &self.batch;
        let types: usize = batch.types.iter().map(|name| name.len()).sum();
        let rejected: usize = self.rejected.iter().map(RejectedEvent::held_bytes).sum();
        batch.documents.len()
            + size_of_val(batch.events.as_slice())
            + size_of_val(batch.types.as_slice())
            + types
            + size_of_val(self.ids.as_slice())
            + size_of_val(self.event_ids.as_slice())
            + rejected
    }
}

/// Decodes bodies; keeps its buffers for the next one.
///
/// # Cancel safety
/// Decoding does not wait.
#[expect(
    missing_debug_implementations,
    reason = "simd-json's buffers have no Debug"
)]
pub struct Decoder {
    parser: Parser,
    sink: SinkScratch,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            parser: Parser::new(),
            sink: SinkScratch::default(),
        }
    }
}

impl Decoder {
    /// Decodes a whole body, which is plain by now.
    ///
    /// # Errors
    /// What is wrong with the body as a whole: nothing of it is to be stored.
    pub fn decode(
        &mut self,
        body: &[u8],
        format: Format,
        ctx: &DecodeContext<'_>,
    ) -> Result<DecodedRequest, BodyProblem> {
        let result = self.decode_kept(body, format, ctx);
        if body.len() > SCRATCH_BYTES_KEPT {
            *self = Self::default();
        }
        result
    }

    fn decode_kept(
        &mut self,
        body: &[u8],
        format: Format,
        ctx: &DecodeContext<'_>,
    ) -> Result<DecodedRequest, BodyProblem> {
        if body.len() > ctx.limits.decoded_bytes_max {
            return Err(RejectReason::BodyTooLarge.into());
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(RejectReason::EmptyBody.into());
        }
        let mut sink = EventSink::new(&mut self.sink, ctx, body.len());
        let parser = &mut self.parser;
        if format == Format::Ndjson {
            ndjson::decode(parser, body, &mut sink)?;
        } else if let Some(refused) = json::decode(parser, body, &mut sink)? {
            if format == Format::Sniff && ndjson::has_more_lines(body) {
                ndjson::decode(parser, body, &mut sink)?;
            } else {
                json::decode_by_element(parser, body, &refused, &mut sink)?;
            }
        }
        Ok(sink.finish())
    }
}

#[cfg(test)]
mod tests;
