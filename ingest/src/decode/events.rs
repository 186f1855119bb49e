//! Hot path: collects the events of one request, each one accepted or rejected by itself.
//!
//! Forbidden here: allocation per accepted event, logs.

use std::collections::HashMap;

use evp_shared::document::{DocumentWriter, EventBatch, EventMark};
use evp_shared::event::id::{CanonicalId, MadeId};
use evp_shared::event::reject::Rejection;
use evp_shared::event::{Event, kind};
use evp_shared::outcome::RejectReason;
use simd_json::Node;

use super::time;
use crate::decode::decoded::{
    DecodeContext, DecodedRequest, EventIdOf, InputIds, RejectedEvent, Shape,
};

/// What a document has and its JSON does not: a single event shall not grow its buffer.
const FIRST_DOCUMENT_EXTRA: usize = 128;

/// Up to this many distinct types of one request are searched one by one.
const FEW_TYPES: usize = 16;

/// What one request leaves to the next.
#[derive(Default)]
pub(crate) struct SinkScratch {
    writer: DocumentWriter,
    kept: Vec<usize>,
    /// The input index of the first event of each client id in this request.
    first_of: HashMap<CanonicalId, usize>,
    /// Types beyond the few.
    type_indexes: HashMap<Box<str>, u16>,
}

/// Takes the events of one request, in order.
pub(crate) struct EventSink<'a> {
    scratch: &'a mut SinkScratch,
    ctx: &'a DecodeContext<'a>,
    request: DecodedRequest,
}

impl<'a> EventSink<'a> {
    pub(crate) fn new(
        scratch: &'a mut SinkScratch,
        ctx: &'a DecodeContext<'a>,
        body_bytes: usize,
    ) -> Self {
        scratch.first_of.clear();
        scratch.type_indexes.clear();
        let batch = EventBatch {
            documents: Vec::with_capacity(body_bytes + FIRST_DOCUMENT_EXTRA),
            ..Default::default()
        };
        let request = DecodedRequest {
            batch,
            shape: Shape::Many,
            ids: Vec::new(),
            rejected: Vec::new(),
            duplicates: 0,
        };
        Self {
            scratch,
            ctx,
            request,
        }
    }

    pub(crate) fn events_max(&self) -> usize {
        usize::from(self.ctx.limits.events_max)
    }

    /// Announces the shape and the number of events, as far as it is known.
    pub(crate) fn begin(&mut self, shape: Shape, events: usize) -> Result<(), RejectReason> {
        if events == 0 {
            return Err(RejectReason::EmptyBody);
        }
        if events > self.events_max() {
            return Err(RejectReason::TooManyEvents);
        }
        if let Some(key) = self.ctx.idempotency_key
            && (shape == Shape::Many || kind::check_id("eventId", key).is_err())
        {
            return Err(RejectReason::InvalidIdempotencyKey);
        }
        self.request.shape = shape;
        self.request.ids.reserve(events);
        self.request.batch.events.reserve(events);
        Ok(())
    }

    /// Takes one event: accepts or rejects it.
    pub(crate) fn event(&mut self, nodes: &[Node<'_>]) -> Result<(), RejectReason> {
        self.check_count()?;
        if let Err(rejection) = self.accept(nodes) {
            self.reject(rejection);
        }
        // An array of small numbers grows sixfold as BSON; the cap on the body holds for both.
        if self.request.batch.documents.len() > self.ctx.limits.decoded_bytes_max {
            return Err(RejectReason::BodyTooLarge);
        }
        Ok(())
    }

    /// Counts a line that never became an event.
    pub(crate) fn reject_line(&mut self, rejection: Rejection) -> Result<(), RejectReason> {
        self.check_count()?;
        self.reject(rejection);
        Ok(())
    }

    /// Counts an event as rejected, before it got an identity.
    pub(crate) fn reject(&mut self, rejection: Rejection) {
        self.push_rejected(rejection, None, EventIdOf::Nothing);
    }

    pub(crate) fn finish(mut self) -> DecodedRequest {
        // A body may be blanks, or events that are rejected.
        let documents = &mut self.request.batch.documents;
        if documents.capacity() > 2 * documents.len() + FIRST_DOCUMENT_EXTRA {
            documents.shrink_to_fit();
        }
        self.request
    }

    fn check_count(&self) -> Result<(), RejectReason> {
        if self.request.ids.len() >= self.events_max() {
            return Err(RejectReason::TooManyEvents);
        }
        Ok(())
    }

    fn push_rejected(
        &mut self,
        rejection: Rejection,
        id: Option<CanonicalId>,
        event_id: EventIdOf,
    ) {
        let index = self.request.ids.len();
        self.request
            .rejected
            .push(RejectedEvent { index, rejection });
        self.request.ids.push(InputIds { id, event_id });
    }

    fn accept(&mut self, nodes: &[Node<'_>]) -> Result<(), Rejection> {
        let ctx = self.ctx;
        let now_ms = i64::try_from(ctx.now_ms).unwrap_or(i64::MAX);
        let mut event = Event::parse(nodes, &ctx.rules, now_ms, &mut self.scratch.kept)?;
        if !ctx.types.is_empty() && !ctx.types.iter().any(|one| one == event.event_type) {
            let message = "the key sends only events of some other types";
            return Err(Rejection::field(
                RejectReason::TypeNotAllowed,
                "type",
                message,
            ));
        }
        if let Some(key) = ctx.idempotency_key {
            if event.event_id.is_some_and(|event_id| event_id != key) {
                let message = "send the same id in eventId and Idempotency-Key, or only one";
                let code = RejectReason::ConflictingFields;
                return Err(Rejection::field(code, "eventId", message));
            }
            event.event_id = Some(key);
        }
        let (id, event_id) = match event.event_id {
            Some(event_id) => {
                let sent_ms = event.timestamp_ms;
                let id = ctx.identity.of_client_id(ctx.tenant, event_id, sent_ms);
                if let Some(&first) = self.scratch.first_of.get(&id) {
                    self.reject_duplicate(id, first);
                    return Ok(());
                }
                (
                    id,
                    EventIdOf::Document(index_u16(self.request.batch.events.len())),
                )
            }
            None => {
                let made = MadeId::new(ctx.now_ms, &rand::random());
                (
                    ctx.identity.of_made_id(ctx.tenant, &made),
                    EventIdOf::Made(made),
                )
            }
        };
        time::check(ctx, &id, &event)?;
        self.write(id, &event)?;
        if self.request.shape == Shape::Many && event.event_id.is_some() {
            self.scratch.first_of.insert(id, self.request.ids.len());
        }
        let id = Some(id);
        self.request.ids.push(InputIds { id, event_id });
        Ok(())
    }

    fn write(&mut self, id: CanonicalId, event: &Event<'_>) -> Result<(), Rejection> {
        let documents = &mut self.request.batch.documents;
        let kept = self.scratch.kept.as_slice();
        let head = (id, self.ctx.tenant);
        self.scratch
            .writer
            .write(documents, head, (event, kept), &self.ctx.rules)?;
        let end = u32::try_from(documents.len())
            .map_err(|_| Rejection::from(RejectReason::EventTooLarge))?;
        let type_index = self.type_index(event.event_type);
        let undated = event.timestamp_ms.is_none();
        self.request.batch.events.push(EventMark {
            end,
            type_index,
            undated,
        });
        Ok(())
    }

    fn reject_duplicate(&mut self, id: CanonicalId, first: usize) {
        self.request.duplicates += 1;
        let rejection = Rejection {
            code: RejectReason::DuplicateInRequest,
            field: Some("eventId".into()),
            message: format!("event {first} of this request is the same event and was taken")
                .into(),
        };
        let first = self.request.ids.get(first);
        let event_id = first.map_or(EventIdOf::Nothing, |first| first.event_id);
        self.push_rejected(rejection, Some(id), event_id);
    }

    fn type_index(&mut self, event_type: &str) -> u16 {
        let types = &mut self.request.batch.types;
        let few = types.get(..FEW_TYPES).unwrap_or(types);
        if let Some(at) = few.iter().position(|known| **known == *event_type) {
            return index_u16(at);
        }
        if let Some(&at) = self.scratch.type_indexes.get(event_type) {
            return at;
        }
        let at = index_u16(types.len());
        if types.len() >= FEW_TYPES {
            self.scratch.type_indexes.insert(event_type.into(), at);
        }
        types.push(event_type.into());
        at
    }
}

/// Indexes of one request fit: `BodyLimits::events_max` is a `u16`.
fn index_u16(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
