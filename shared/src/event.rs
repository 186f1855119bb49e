//! Hot path: what an event is, and what makes one invalid.
//!
//! Forbidden here: allocation per valid event. An event is read from simd-json's tape, not
//! through serde: its node counts let a reader skip a bad element and go on with its neighbours,
//! and top-level fields may come in any order.

pub mod id;
pub mod kind;
pub mod reject;
pub mod span;
pub mod timestamp;

use simd_json::{Node, StaticNode};

use self::reject::Rejection;
use crate::choice::Choice as _;
use crate::outcome::RejectReason;

crate::choices! {
    /// What to do with top-level fields EVP does not know.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum UnknownFields {
        /// Reject the event.
        #[default]
        Reject = "reject",
        /// Move them under `metadata`.
        Keep = "keep",
    }
}

/// What one event may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRules {
    /// Largest document, in bytes of BSON.
    pub bytes_max: usize,
    /// Deepest nesting of objects and arrays; the event itself is level 1.
    pub depth_max: usize,
    /// What becomes of unknown top-level fields.
    pub unknown_fields: UnknownFields,
}

impl Default for EventRules {
    fn default() -> Self {
        // mongod takes 179 levels (reliability tests against 6.0.5); 64 leaves room for wrapping.
        Self {
            bytes_max: 256 * 1024,
            depth_max: 64,
            unknown_fields: UnknownFields::Reject,
        }
    }
}

/// One event whose top level is valid, borrowed from the tape. What lies inside `metadata` and
/// `payload` is checked when it is written as a document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'t> {
    /// `eventType`, or its alias `type`.
    pub event_type: &'t str,
    /// The client's idempotency key.
    pub event_id: Option<&'t str>,
    /// Who did it.
    pub user_id: Option<&'t str>,
    /// In which session.
    pub session_id: Option<&'t str>,
    /// When it happened, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// 0 to 9.
    pub priority: Option<i32>,
    /// The object node of `metadata`, and what is in it.
    pub metadata: Option<&'t [Node<'t>]>,
    /// The object node of `payload`, and what is in it.
    pub payload: Option<&'t [Node<'t>]>,
    /// The nodes of the whole event, which `kept` points into.
    pub(crate) nodes: &'t [Node<'t>],
}

crate::choices! {
    /// A top-level field of an event.
    #[derive(Clone, Copy)]
    enum Field {
        EventType = "eventType",
        Type = "type",
        EventId = "eventId",
        UserId = "userId",
        SessionId = "sessionId",
        Timestamp = "timestamp",
        Priority = "priority",
        Metadata = "metadata",
        Payload = "payload",
    }
}

impl Field {
    fn wrong(self, code: RejectReason, message: &'static str) -> Rejection {
        Rejection::field(code, self.as_str(), message)
    }
}

impl<'t> Event<'t> {
    /// Reads the event whose object node is the first of `nodes`. The positions of the keys of
    /// unknown fields go to `kept`, when rules keep them.
    ///
    /// # Errors
    /// The first rule the event breaks.
    pub fn parse(
        nodes: &'t [Node<'t>],
        rules: &EventRules,
        now_ms: i64,
        kept: &mut Vec<usize>,
    ) -> Result<Self, Rejection> {
        kept.clear();
        if !matches!(nodes.first(), Some(Node::Object { .. })) {
            return Err(RejectReason::NotAnObject.into());
        }
        let mut event = Self {
            nodes,
            ..Self::default()
        };
        let mut seen = [false; Field::ALL.len()];
        for (at, key, value) in members(nodes) {
            match Field::named(key) {
                Some(field) => {
                    if std::mem::replace(&mut seen[field as usize], true) {
                        return Err(Rejection::key(RejectReason::DuplicateKey, key));
                    }
                    event.set(field, value, now_ms)?;
                }
                None => match rules.unknown_fields {
                    UnknownFields::Keep => kept.push(at),
                    UnknownFields::Reject => {
                        return Err(Rejection::key(RejectReason::UnknownField, key));
                    }
                },
            }
        }
        if event.event_type.is_empty() {
            let message = "add eventType";
            return Err(Field::EventType.wrong(RejectReason::MissingField, message));
        }
        Ok(event)
    }

    fn set(&mut self, field: Field, value: &'t [Node<'t>], now_ms: i64) -> Result<(), Rejection> {
        if matches!(value, [Node::Static(StaticNode::Null)]) {
            return Ok(());
        }
        match field {
            Field::EventType | Field::Type => {
                let text = string(field, value)?;
                kind::check_event_type(text)?;
                if !self.event_type.is_empty() {
                    let message = "send eventType or its alias type, not both";
                    return Err(field.wrong(RejectReason::ConflictingFields, message));
                }
                self.event_type = text;
            }
            Field::EventId => self.event_id = Some(id(field, value)?),
            Field::UserId => self.user_id = Some(id(field, value)?),
            Field::SessionId => self.session_id = Some(id(field, value)?),
            Field::Timestamp => self.timestamp_ms = Some(time(value, now_ms)?),
            Field::Priority => self.priority = Some(priority(value)?),
            Field::Metadata => self.metadata = Some(object(field, value)?),
            Field::Payload => self.payload = Some(object(field, value)?),
        }
        Ok(())
    }
}

/// The number of nodes of the value at `at`, itself included.
#[must_use]
pub fn value_len(nodes: &[Node<'_>], at: usize) -> usize {
    match nodes.get(at) {
        Some(Node::Object { count, .. } | Node::Array { count, .. }) => count + 1,
        _ => 1,
    }
}

/// The members of the object whose node is the first of `nodes`, none if that is no object: where
/// its key stands, its key, and the nodes of its value.
pub(crate) fn members<'n, 't>(
    nodes: &'n [Node<'t>],
) -> impl ExactSizeIterator<Item = (usize, &'t str, &'n [Node<'t>])> {
    let len = match nodes.first() {
        Some(Node::Object { len, .. }) => *len,
        _ => 0,
    };
    let mut next = 1;
    (0..len).map(move |_| {
        let at = next;
        next += 1 + value_len(nodes, at + 1);
        let value = nodes.get(at + 1..next).unwrap_or_default();
        (at, key_at(nodes, at), value)
    })
}

/// The key at `at`, which the tape promises to be a string.
pub(crate) fn key_at<'t>(nodes: &[Node<'t>], at: usize) -> &'t str {
    match nodes.get(at) {
        Some(Node::String(key)) => key,
        _ => "",
    }
}

fn string<'t>(field: Field, value: &[Node<'t>]) -> Result<&'t str, Rejection> {
    match value {
        [Node::String(text)] => Ok(text),
        _ => Err(field.wrong(RejectReason::WrongType, "send a string")),
    }
}

fn id<'t>(field: Field, value: &[Node<'t>]) -> Result<&'t str, Rejection> {
    let text = string(field, value)?;
    kind::check_id(field.as_str(), text)?;
    Ok(text)
}

fn object<'t>(field: Field, value: &'t [Node<'t>]) -> Result<&'t [Node<'t>], Rejection> {
    match value {
        [Node::Object { .. }, ..] => Ok(value),
        _ => Err(field.wrong(RejectReason::WrongType, "send an object")),
    }
}

fn time(value: &[Node<'_>], now_ms: i64) -> Result<i64, Rejection> {
    let invalid = RejectReason::InvalidTimestamp;
    let timestamp_ms = match value {
        [Node::Static(StaticNode::I64(number))] => timestamp::from_integer(*number),
        [Node::Static(StaticNode::U64(number))] => {
            timestamp::from_integer(i64::try_from(*number).unwrap_or(i64::MAX))
        }
        [Node::Static(StaticNode::F64(number))] => timestamp::from_float(*number),
        [Node::String(text)] => timestamp::parse_rfc3339(text)
            .ok_or_else(|| Field::Timestamp.wrong(invalid, invalid.message()))?,
        _ => return Err(Field::Timestamp.wrong(invalid, invalid.message())),
    };
    timestamp::check_range(timestamp_ms, now_ms)
}

fn priority(value: &[Node<'_>]) -> Result<i32, Rejection> {
    const MESSAGE: &str = "send an integer from 0 to 9";
    let number = match value {
        [Node::Static(StaticNode::I64(number))] => *number,
        [Node::Static(StaticNode::U64(number))] => i64::try_from(*number).unwrap_or(i64::MAX),
        _ => return Err(Field::Priority.wrong(RejectReason::WrongType, MESSAGE)),
    };
    match i32::try_from(number) {
        Ok(number @ 0..=9) => Ok(number),
        _ => Err(Field::Priority.wrong(RejectReason::NumberOutOfRange, MESSAGE)),
    }
}
