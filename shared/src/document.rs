//! Hot path: a valid event as BSON bytes, in one pass; the field names of the stored document.
//!
//! Forbidden here: allocation per event. All documents of a request go one after another into one
//! buffer.
//!
//! # Shape
//! A document begins with 64 bytes that are the same for all events but for three values, so
//! that a frame can patch them when it is sealed:
//! ```text
//!  0  i32 length
//!  4  05 "_id" 00, i32 16, 04, ID_OFFSET (14): 16 bytes, the canonical id
//! 30  07 "f" 00, FRAME_ID_OFFSET (33): 12 bytes, the frame id; zeros until the frame is sealed
//! 45  09 "timestamp" 00, TIMESTAMP_OFFSET (56): i64 little endian, ms; 0 until then when absent
//! 64  tenant, eventType, eventId?, userId?, sessionId?, u? (int32: the user's bucket),
//!     priority? (int32), metadata?, payload? 00
//! ```

mod value;

use self::value::ValueWriter;
use crate::event::id::CanonicalId;
use crate::event::reject::Rejection;
use crate::event::{Event, EventRules, key_at};

/// Where the 16 bytes of `_id` begin.
pub const ID_OFFSET: usize = 14;
/// Bytes of `_id`.
pub const CANONICAL_ID_BYTES: usize = 16;
/// Where the 12 bytes of the frame id `f` begin.
pub const FRAME_ID_OFFSET: usize = 33;
/// Where the 8 bytes of `timestamp` begin.
pub const TIMESTAMP_OFFSET: usize = 56;
/// Where the fields that differ in length begin.
const PREFIX_BYTES: usize = 64;

const PREFIX: &[u8; PREFIX_BYTES] = b"\0\0\0\0\
    \x05_id\0\x10\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \x07f\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \x09timestamp\0\0\0\0\0\0\0\0\0";

const STRING: u8 = 0x02;

/// The accepted events of one request.
#[derive(Debug, Default)]
pub struct EventBatch {
    /// Complete BSON documents, one after another.
    pub documents: Vec<u8>,
    /// One mark per document, in order.
    pub events: Vec<EventMark>,
    /// The distinct event types; [`EventMark::type_index`] points here.
    pub types: Vec<Box<str>>,
}

/// Where one document ends, and what the frame must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    /// The end of the document in [`EventBatch::documents`].
    pub end: u32,
    /// The event's type.
    pub type_index: u16,
    /// The event has no timestamp: received-at is written there when the frame is sealed.
    pub undated: bool,
}

impl EventBatch {
    /// The document at `index`.
    #[must_use]
    pub fn document(&self, index: usize) -> Option<&[u8]> {
        let end = self.events.get(index)?.end as usize;
        let start = match index.checked_sub(1) {
            Some(before) => self.events.get(before)?.end as usize,
            None => 0,
        };
        self.documents.get(start..end)
    }
}

/// Users are indexed by this many buckets while events come in: so many pages become dirty between
/// two checkpoints, however many users there are.
pub const USER_BUCKETS: u32 = 256;

/// The bucket of a user: CRC-32 (zlib's) of the tenant, 0x1F and the user id, modulo
/// [`USER_BUCKETS`]. What people query the events by, so it can be had in every language.
#[must_use]
pub fn user_bucket(tenant: &str, user_id: &str) -> i32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(tenant.as_bytes());
    crc.update(&[0x1F]);
    crc.update(user_id.as_bytes());
    i32::try_from(crc.finalize() % USER_BUCKETS).unwrap_or_default()
}

/// The `timestamp` of a document written here, Unix ms.
#[must_use]
pub fn timestamp_ms(document: &[u8]) -> Option<i64> {
    let bytes = document.get(TIMESTAMP_OFFSET..)?.first_chunk()?;
    Some(i64::from_le_bytes(*bytes))
}

/// Whether `document` begins as documents written here do and belongs to frame `frame_id`.
#[must_use]
pub fn has_prefix(document: &[u8], frame_id: &[u8; 12]) -> bool {
    let same = |from: usize, to: usize| document.get(from..to) == PREFIX.get(from..to);
    document.len() > PREFIX_BYTES
        && same(4, ID_OFFSET)
        && same(ID_OFFSET + CANONICAL_ID_BYTES, FRAME_ID_OFFSET)
        && document.get(FRAME_ID_OFFSET..FRAME_ID_OFFSET + 12) == Some(frame_id)
        && same(FRAME_ID_OFFSET + 12, TIMESTAMP_OFFSET)
}

/// The `_id` of a document written here.
#[must_use]
pub fn canonical_id(document: &[u8]) -> Option<[u8; CANONICAL_ID_BYTES]> {
    document.get(ID_OFFSET..)?.first_chunk().copied()
}

/// What a document written here is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags<'d> {
    /// Whose event it is.
    pub tenant: &'d str,
    /// Its type.
    pub event_type: &'d str,
    /// Its id, where the client sent one.
    pub event_id: Option<&'d str>,
    /// Its user.
    pub user_id: Option<&'d str>,
    /// Its session.
    pub session_id: Option<&'d str>,
}

/// The tags of a document written here, read without walking the rest of it.
#[must_use]
pub fn tags(document: &[u8]) -> Option<Tags<'_>> {
    let rest = document.get(PREFIX_BYTES..)?;
    let (tenant, rest) = string_field(rest, b"tenant\0")?;
    let (event_type, rest) = string_field(rest, b"eventType\0")?;
    let (event_id, rest) = optional_field(rest, b"eventId\0");
    let (user_id, rest) = optional_field(rest, b"userId\0");
    let (session_id, _) = optional_field(rest, b"sessionId\0");
    Some(Tags {
        tenant,
        event_type,
        event_id,
        user_id,
        session_id,
    })
}

/// Whether a document written here has an `eventId`, that is, whether the client sent one. Looks at
/// nothing else.
#[must_use]
pub fn has_event_id(document: &[u8]) -> bool {
    document
        .get(PREFIX_BYTES..)
        .and_then(|rest| bytes_field(rest, b"tenant\0"))
        .and_then(|(_, rest)| bytes_field(rest, b"eventType\0"))
        .is_some_and(|(_, rest)| rest.starts_with(b"\x02eventId\0"))
}

/// The `eventId` of a document written here; `None` when the client sent none.
#[must_use]
pub fn event_id(document: &[u8]) -> Option<&str> {
    tags(document)?.event_id
}

fn optional_field<'d>(bytes: &'d [u8], key: &[u8]) -> (Option<&'d str>, &'d [u8]) {
    match string_field(bytes, key) {
        Some((text, rest)) => (Some(text), rest),
        None => (None, bytes),
    }
}

fn string_field<'d>(bytes: &'d [u8], key: &[u8]) -> Option<(&'d str, &'d [u8])> {
    let (text, rest) = bytes_field(bytes, key)?;
    Some((std::str::from_utf8(text.strip_suffix(&[0])?).ok()?, rest))
}

/// A string and its NUL, not looked at, and what follows.
fn bytes_field<'d>(bytes: &'d [u8], key: &[u8]) -> Option<(&'d [u8], &'d [u8])> {
    let rest = bytes.strip_prefix(&[STRING])?.strip_prefix(key)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(i32::from_le_bytes(*len)).ok()?;
    rest.split_at_checked(len)
}

/// Writes events as documents; its scratch is used again for every event.
#[derive(Debug, Default)]
pub struct DocumentWriter {
    values: ValueWriter,
}

impl DocumentWriter {
    /// Appends the document of `event` to `documents`; `kept` are the positions of its unknown
    /// fields, as [`Event::parse`] gave them.
    ///
    /// # Errors
    /// What is wrong inside `metadata`, `payload` or a kept field, or the document's size; then
    /// `documents` is as before.
    pub fn write(
        &mut self,
        documents: &mut Vec<u8>,
        head: (CanonicalId, &str),
        (event, kept): (&Event<'_>, &[usize]),
        rules: &EventRules,
    ) -> Result<(), Rejection> {
        let start = documents.len();
        let result = self.write_fields(documents, head, (event, kept), rules);
        if result.is_err() {
            documents.truncate(start);
        }
        result
    }

    fn write_fields(
        &mut self,
        out: &mut Vec<u8>,
        (id, tenant): (CanonicalId, &str),
        (event, kept): (&Event<'_>, &[usize]),
        rules: &EventRules,
    ) -> Result<(), Rejection> {
        let start = out.len();
        self.values.begin(rules, start);
        out.extend_from_slice(PREFIX);
        out[start + ID_OFFSET..][..16].copy_from_slice(id.as_bytes());
        let timestamp_ms = event.timestamp_ms.unwrap_or(0);
        out[start + TIMESTAMP_OFFSET..][..8].copy_from_slice(&timestamp_ms.to_le_bytes());

        value::string(out, "tenant", tenant);
        value::string(out, "eventType", event.event_type);
        let optional = [
            ("eventId", event.event_id),
            ("userId", event.user_id),
            ("sessionId", event.session_id),
        ];
        for (key, text) in optional {
            if let Some(text) = text {
                value::string(out, key, text);
            }
        }
        if let Some(user_id) = event.user_id {
            value::integer(out, "u", user_bucket(tenant, user_id).into());
        }
        if let Some(priority) = event.priority {
            value::integer(out, "priority", priority.into());
        }
        if !kept.is_empty() {
            self.metadata_with_kept(out, event, kept)?;
        } else if let Some(metadata) = event.metadata {
            self.values.element(out, "metadata", metadata, 2)?;
        }
        if let Some(payload) = event.payload {
            self.values.element(out, "payload", payload, 2)?;
        }
        value::end(out, start);
        self.values.check_size(out)
    }

    /// Writes the client's metadata and, after it, the unknown fields.
    fn metadata_with_kept(
        &mut self,
        out: &mut Vec<u8>,
        event: &Event<'_>,
        kept: &[usize],
    ) -> Result<(), Rejection> {
        const FIELD: &str = "metadata";
        let nodes = event.nodes;
        let metadata = event.metadata.unwrap_or_default();
        ValueWriter::check_kept_keys(nodes, kept, metadata)?;
        let start = value::begin(out, value::DOCUMENT, FIELD);
        self.values
            .members(out, metadata, 2)
            .map_err(|rejection| rejection.within(FIELD))?;
        for &at in kept {
            let value = nodes.get(at + 1..).unwrap_or_default();
            self.values.element(out, key_at(nodes, at), value, 3)?;
        }
        value::end(out, start);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
