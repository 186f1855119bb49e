//! The dead letters: list, show, replay, purge. What they are asked to do is audited, and bounded
//! as `evp-processor dlq` bounds it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocument;
use evp_shared::audit::Actor;
use evp_shared::dead_letters::{
    Filter, Kept, Letter, LetterId, Operation, Replay, Request, fields_json,
};
use evp_shared::outcome::RejectReason;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Admin;
use crate::changes::finish;
use crate::error::QueryError;
use crate::event_json::EventJson;
use crate::schema::Event;

/// Letters one request handles at most; a client repeats it until none is left.
const LIMIT: u64 = 10_000;

/// Letters replayed per second.
const RATE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// How long a replay waits for the processor.
const RECEIPT_WAIT: Duration = Duration::from_secs(30);

/// What a list says of a dead letter.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterHead {
    /// What it is known by.
    id: String,
    /// Why it is dead, from a closed list.
    reason: String,
    /// In the words of whoever refused it.
    message: String,
    /// The event's type; `None` for an entry that does not decode.
    event_type: Option<String>,
    /// Unix ms at which it was kept.
    at: u64,
    /// Bytes it takes.
    bytes: u64,
    /// The partition it came on.
    partition: u16,
    /// The stream entry, for one that does not decode.
    entry: Option<String>,
    /// The frame the event came in.
    frame: Option<String>,
    /// Unix ms at which it was last given a frame to be replayed in.
    replayed_at: Option<u64>,
}

/// A dead letter with what was kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LetterWhole {
    #[serde(flatten)]
    head: LetterHead,
    /// The event; `None` for an entry that does not decode.
    #[schema(value_type = Option<Event>)]
    event: Option<Value>,
    /// The fields of an entry that does not decode, as text where they are text.
    #[schema(value_type = Option<Object>)]
    fields: Option<Value>,
}

/// What a replay or a purge did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Unix ms from which on those that match a filter with a `from` were kept. As `filter.from` of
    /// a later request it means the same ones, where a relative time would have moved.
    pub from: Option<u64>,
    /// Unix ms before which those that match a filter were kept; `None` for ids. As `filter.to` of a
    /// later request it leaves out what is kept since.
    pub to: Option<u64>,
    /// Letters that were meant.
    pub matched: u64,
    /// Of these, replayed: stored and gone from the dead letters.
    pub replayed: u64,
    /// Of these, deleted.
    pub purged: u64,
    /// Of these, still there.
    pub remaining: u64,
}

impl Admin {
    /// A page of those that match `filter`, newest first, after `after`; and where the next one
    /// begins.
    ///
    /// # Errors
    /// [`QueryError::Store`], [`QueryError::Timeout`].
    pub async fn letters(
        &self,
        filter: &Filter,
        after: Option<&(u64, LetterId)>,
        limit: u64,
    ) -> Result<(Vec<LetterHead>, Option<(u64, LetterId)>), QueryError> {
        let mut found = self.letters.list(filter, after, limit + 1).await?;
        let is_more = found.len() as u64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let last = found.last().filter(|_| is_more);
        let next = last.map(|last| (last.at_ms, last.id.clone()));
        Ok((found.into_iter().map(LetterHead::of).collect(), next))
    }

    /// The dead letter `id`, if it is `tenant`'s; `None` is everybody's.
    ///
    /// # Errors
    /// As [`Self::letters`], and [`RejectReason::DeadLetterNotFound`].
    pub async fn letter(
        &self,
        id: LetterId,
        tenant: Option<String>,
    ) -> Result<LetterWhole, QueryError> {
        let filter = Filter {
            ids: vec![id],
            tenant,
            ..Filter::default()
        };
        let found = self.letters.show(&filter, 1).await?;
        let letter = found.into_iter().next();
        let letter = letter.ok_or(RejectReason::DeadLetterNotFound)?;
        Ok(LetterWhole::of(letter))
    }

    /// A replay, as fast and as long as one request may ask for.
    pub fn replay(&self) -> Operation {
        Operation::Replay(Replay {
            stream: self.stream.clone(),
            connect_timeout: self.time_limit,
            fingerprint: self.fingerprint,
            clock: self.clock.clone(),
            per_second: RATE,
            receipt_wait: RECEIPT_WAIT,
        })
    }

    /// Does `operation` with those that match `filter`, for `actor`, or only counts them.
    ///
    /// # Cancel safety
    /// What was begun goes on without the caller, and is written down.
    ///
    /// # Errors
    /// [`QueryError::Busy`], [`QueryError::Store`], [`QueryError::Counters`]; repeating is harmless.
    pub async fn operate(
        self: &Arc<Self>,
        operation: Operation,
        filter: Filter,
        actor: Actor,
        dry_run: bool,
    ) -> Result<Done, QueryError> {
        let filter = filter.as_of(self.clock.now_ms());
        let matched = self.letters.count(&filter).await?;
        let untouched = Done {
            dry_run,
            from: filter.from_ms,
            to: filter.to_ms,
            matched,
            remaining: matched,
            ..Done::default()
        };
        if dry_run || matched == 0 {
            return Ok(untouched);
        }
        let request = Request {
            actor,
            operation,
            filter,
            limit: LIMIT,
            matched,
        };
        let this = Arc::clone(self);
        let audited = async move {
            let done = this.letters.operate(&request).await?.done;
            let (replayed, purged) = match request.operation {
                Operation::Replay(_) => (done, 0),
                Operation::Purge | Operation::Expire => (0, done),
            };
            let remaining = this.letters.count(&request.filter).await?;
            Ok(Done {
                replayed,
                purged,
                remaining,
                ..untouched
            })
        };
        finish(self.operations.try_slot(), audited).await
    }
}

impl LetterHead {
    fn of(letter: Letter) -> Self {
        let (entry, frame) = match &letter.id {
            LetterId::Event { frame, .. } => (None, Some(frame.to_string())),
            LetterId::Entry { entry, .. } => (Some(entry.to_string()), None),
        };
        Self {
            id: letter.id.to_string(),
            reason: letter.reason,
            message: letter.detail,
            event_type: letter.event_type,
            at: letter.at_ms,
            bytes: letter.bytes,
            partition: letter.partition,
            entry,
            frame,
            replayed_at: letter.replay.map(|replay| replay.at_ms),
        }
    }
}

impl LetterWhole {
    fn of(mut letter: Letter) -> Self {
        let (event, fields) = match letter.kept.take() {
            Some(Kept::Event(bytes)) => (event(&bytes), None),
            Some(Kept::Entry(raw)) => (None, Some(fields_json(&raw))),
            None => (None, None),
        };
        Self {
            head: LetterHead::of(letter),
            event,
            fields,
        }
    }
}

fn event(bytes: &[u8]) -> Option<Value> {
    let document = RawDocument::from_bytes(bytes).ok()?;
    serde_json::to_value(EventJson::new(document)).ok()
}
