//! Spans as the model has them: pieces of the events by the time in their ids, of equal length and
//! numbered, and one for ids without a time.

use evp_processor::written::Id;

/// A piece of the events, by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// Ids without a time.
    Undated,
    /// The one that begins so many units after 1970.
    At(u64),
}

impl Span {
    /// The span of an id: a function of the time in it and of nothing else.
    pub fn of(id: &Id, unit_ms: u64) -> Self {
        time_of(id).map_or(Self::Undated, |ms| Self::At(ms / unit_ms))
    }

    /// Where it ends; the undated one never does.
    pub fn end_ms(self, unit_ms: u64) -> u64 {
        match self {
            Self::Undated => u64::MAX,
            Self::At(number) => (number + 1) * unit_ms,
        }
    }
}

/// The time in an id.
pub fn time_of(id: &Id) -> Option<u64> {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])).filter(|ms| *ms > 0)
}
