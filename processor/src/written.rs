//! What is written of an event and found stored: the words of the insert, the look-up and the
//! decision over them.

use evp_shared::document::CANONICAL_ID_BYTES;

/// Bytes of a canonical id.
pub type Id = [u8; CANONICAL_ID_BYTES];

/// What the insert said of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It was inserted.
    Inserted,
    /// Its `_id` is there already (E11000).
    DuplicateKey,
    /// MongoDB will never take it.
    Refused {
        /// MongoDB's code.
        code: i32,
        /// MongoDB's words.
        message: String,
    },
    /// The time of its id is over: it was not inserted.
    Expired,
}

/// What identifies an event, in a frame or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    /// Canonical id.
    pub id: Id,
    /// Whose event.
    pub tenant: String,
    /// As sent by the client.
    pub event_id: Option<String>,
    /// Its type.
    pub event_type: String,
}

/// What is stored under an `_id`, seen with majority read concern on the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFacts {
    /// Frame that stored it.
    pub frame: [u8; 12],
    /// The event.
    pub event: EventFacts,
}
