//! One dead letter as it is read.

use std::fmt;
use std::str::FromStr;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use bytes::Bytes;
use uuid::Uuid;

use crate::frame::{FrameId, RawFrame};
use crate::stream::EntryId;

/// What a dead letter is known by.
///
/// # Shape
/// As text `CANONICAL-ID.FRAME-ID` for an event, `LIFE.PARTITION.ENTRY-ID` for an entry that does
/// not decode.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LetterId {
    /// An event.
    Event {
        /// Its canonical id.
        id: [u8; 16],
        /// The frame it came in.
        frame: FrameId,
    },
    /// An entry that does not decode.
    Entry {
        /// The life its id is of.
        life: i64,
        /// The partition it came on.
        partition: u16,
        /// Its id there.
        entry: EntryId,
    },
}

impl LetterId {
    pub(super) fn to_bson(&self) -> Document {
        match self {
            Self::Event { id, frame } => {
                let id = bson::Uuid::from_bytes(*id);
                doc! { "id": id, "f": ObjectId::from_bytes(frame.bytes()) }
            }
            Self::Entry {
                life,
                partition,
                entry,
            } => doc! { "life": *life, "p": i32::from(*partition), "entry": entry.to_string() },
        }
    }

    fn parse(id: &Document) -> Option<Self> {
        if let Ok(frame) = id.get_object_id("f") {
            let Some(Bson::Binary(id)) = id.get("id") else {
                return None;
            };
            return Some(Self::Event {
                id: id.bytes.as_slice().try_into().ok()?,
                frame: FrameId::from_bytes(frame.bytes()),
            });
        }
        Some(Self::Entry {
            life: id.get_i64("life").ok()?,
            partition: u16::try_from(id.get_i32("p").ok()?).ok()?,
            entry: id.get_str("entry").ok()?.parse().ok()?,
        })
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { id, frame } => write!(f, "{}.{frame}", Uuid::from_bytes(*id)),
            Self::Entry {
                life,
                partition,
                entry,
            } => write!(f, "{life}.{partition}.{entry}"),
        }
    }
}

/// A text that is no id of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write an event's canonical id, alone or as CANONICAL-ID.FRAME-ID, or LIFE.PARTITION.ENTRY-ID, \
     as dlq list prints them"
)]
pub struct LetterIdError;

impl FromStr for LetterId {
    type Err = LetterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [id, frame] => Ok(Self::Event {
                id: *Uuid::parse_str(id).map_err(|_| LetterIdError)?.as_bytes(),
                frame: frame.parse().map_err(|_| LetterIdError)?,
            }),
            [life, partition, entry] => Ok(Self::Entry {
                life: life.parse().map_err(|_| LetterIdError)?,
                partition: partition.parse().map_err(|_| LetterIdError)?,
                entry: entry.parse().map_err(|_| LetterIdError)?,
            }),
            _ => Err(LetterIdError),
        }
    }
}

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The BSON document of an event.
    Event(Vec<u8>),
    /// The fields of an entry.
    Entry(Box<RawFrame>),
}

/// The replay that a letter is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaying {
    /// The frame it goes in.
    pub frame: FrameId,
    /// Unix ms at which it was given that.
    pub at_ms: u64,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is known by.
    pub id: LetterId,
    /// The partition it came on.
    pub partition: u16,
    /// Why it is dead.
    pub reason: String,
    /// In the words of whoever refused it.
    pub detail: String,
    /// Unix ms at which it was kept.
    pub at_ms: u64,
    /// Whose event; `None` for an entry.
    pub tenant: Option<String>,
    /// The event's type; `None` for an entry.
    pub event_type: Option<String>,
    /// How it is being replayed, if it is.
    pub replay: Option<Replaying>,
    /// Bytes it takes in MongoDB.
    pub bytes: u64,
    /// What was kept; `None` where it was not read.
    pub kept: Option<Kept>,
}

/// The field that reading computes.
pub(super) const BYTES: &str = "bytes";

impl Letter {
    /// Parses what was read; `None` when it is no dead letter.
    pub(super) fn parse(document: &Document) -> Option<Self> {
        let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
        let ms = |time: &DateTime| u64::try_from(time.timestamp_millis()).ok();
        let replay = document.get_document("replay").ok().and_then(|replay| {
            let frame = replay.get_object_id("f").ok()?;
            let at = replay.get_datetime("at").ok()?;
            Some(Replaying {
                frame: FrameId::from_bytes(frame.bytes()),
                at_ms: ms(at)?,
            })
        });
        let kept = match document.get("raw") {
            Some(Bson::Binary(raw)) => Some(Kept::Event(raw.bytes.clone())),
            Some(Bson::Document(raw)) => Some(Kept::Entry(Box::new(fields(raw)))),
            _ => None,
        };
        Some(Self {
            id: LetterId::parse(document.get_document("_id").ok()?)?,
            partition: u16::try_from(document.get_i32("p").ok()?).ok()?,
            reason: text("reason")?,
            detail: text("detail").unwrap_or_default(),
            at_ms: ms(document.get_datetime("at").ok()?)?,
            tenant: text("tenant"),
            event_type: text("eventType"),
            replay,
            bytes: u64::try_from(document.get_i32(BYTES).ok()?).ok()?,
            kept,
        })
    }
}

fn fields(raw: &Document) -> RawFrame {
    let field = |name: &str| match raw.get(name) {
        Some(Bson::Binary(value)) => Some(Bytes::from(value.bytes.clone())),
        _ => None,
    };
    RawFrame {
        version: field("v"),
        events: field("n"),
        bytes: field("b"),
        meta: field("m"),
        payload: field("d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_what_they_print() {
        let event = LetterId::Event {
            id: [7; 16],
            frame: FrameId::from_bytes([3; 12]),
        };
        let entry = LetterId::Entry {
            life: 1_700_000_000_000,
            partition: 3,
            entry: EntryId { ms: 5, seq: 1 },
        };
        for id in [event, entry] {
            assert_eq!(id.to_string().parse(), Ok(id.clone()));
            assert_eq!(LetterId::parse(&id.to_bson()), Some(id));
        }
        for wrong in ["", "x", "1.2", "1.2.3", "1.2.3.4"] {
            assert_eq!(wrong.parse::<LetterId>(), Err(LetterIdError), "{wrong:?}");
        }
    }
}
