//! Why something is a dead letter.

use std::fmt;

/// Why an entry or an event cannot be stored and is kept among the dead letters instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The stream entry does not decode: another version, a bad checksum, a bad length.
    Undecodable,
    /// MongoDB will never take the document (a validator, its size, its nesting).
    RefusedByStore,
    /// Another event, with another tenant or `eventId`, has the same canonical id.
    IdCollision,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Undecodable, Self::RefusedByStore, Self::IdCollision];

    /// The reason as stored, logged and counted; it never changes for a variant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::RefusedByStore => "refused_by_store",
            Self::IdCollision => "id_collision",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
