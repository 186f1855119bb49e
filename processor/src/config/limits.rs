//! Bounds that several rooms keep.

/// Commands from which on a bulk is made larger, so that each has more documents: one to a span with
/// five documents costs MongoDB nearly what one with fifty does.
const COMMANDS: usize = 8;
/// Times as large at most.
const WIDER_MAX: usize = 4;

/// Bounds of one bulk. A frame larger than them is a bulk of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkLimits {
    /// Documents at most.
    pub events: usize,
    /// Bytes of documents at most.
    pub bytes: usize,
    /// Bulks that are filled only by what is there already; further ones in flight are full ones.
    pub eager: usize,
    /// Events that must be there for another eager bulk beside one in flight: each bulk costs
    /// MongoDB two commands and two journal flushes, whatever its size.
    pub eager_events: usize,
    /// Bulks in flight at most.
    pub in_flight: usize,
}

impl BulkLimits {
    /// Larger, for events of so many spans that the last bulk took `commands`: up to four times the
    /// events; their bytes stay.
    pub fn widened(self, commands: usize) -> Self {
        Self {
            events: self.events * commands.div_ceil(COMMANDS).clamp(1, WIDER_MAX),
            ..self
        }
    }

    /// Half as large, for when the last bulk had no answer; one event at least.
    pub fn halved(self) -> Self {
        Self {
            events: (self.events / 2).max(1),
            bytes: (self.bytes / 2).max(1),
            ..self
        }
    }

    /// Twice as large, but no larger than `whole`.
    pub fn doubled_up_to(self, whole: Self) -> Self {
        Self {
            events: (self.events * 2).min(whole.events),
            bytes: (self.bytes * 2).min(whole.bytes),
            ..self
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: BulkLimits = BulkLimits {
        events: 10,
        bytes: 1_000,
        eager: 2,
        eager_events: 3,
        in_flight: 4,
    };

    #[test]
    fn halving_and_doubling_stay_inside_their_bounds() {
        let half = LIMITS.halved();
        assert_eq!((half.events, half.bytes), (5, 500));
        assert_eq!(half.doubled_up_to(LIMITS), LIMITS);
        assert_eq!(LIMITS.doubled_up_to(LIMITS), LIMITS);
        let least = (0..20).fold(LIMITS, |limits, _| limits.halved());
        assert_eq!((least.events, least.bytes), (1, 1));
    }

    #[test]
    fn a_bulk_of_many_commands_makes_the_next_one_larger() {
        let events = [0, 1, 2, 8, 9, 31, 10_000].map(|commands| LIMITS.widened(commands).events);
        assert_eq!(events, [10, 10, 10, 10, 20, 40, 40]);
        assert_eq!(LIMITS.widened(31).bytes, LIMITS.bytes);
        // One of few makes it as it was.
        let back = LIMITS.widened(31).doubled_up_to(LIMITS.widened(1));
        assert_eq!(back, LIMITS);
    }
}
