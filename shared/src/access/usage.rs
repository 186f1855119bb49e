//! What became of a tenant's events, and when a key was used last: counted where it happens, and told
//! to Redis every few seconds. Best effort: what an instance had not told when it crashed is missing.
//! Pure.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::RejectReason;

/// What happened since it was told last.
#[derive(Debug)]
pub struct Usage {
    accepted: AtomicU64,
    refused: [AtomicU64; RejectReason::ALL.len()],
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// What is told of a tenant: counts by name, `accepted` events and what was refused by reason.
pub type Tally = Vec<(&'static str, u64)>;

/// The name under which accepted events are told.
pub const ACCEPTED: &str = "accepted";

impl Usage {
    /// Notes events that were appended.
    pub fn accept(&self, events: u64) {
        self.accepted.fetch_add(events, Ordering::Relaxed);
    }

    /// Notes a request, or an event, that was refused.
    pub fn refuse(&self, reason: RejectReason) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what happened since it was taken last.
    pub fn take(&self) -> Tally {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let refused = RejectReason::ALL.iter().zip(&self.refused);
        let refused = refused.map(|(reason, count)| (reason.as_str(), taken(count)));
        let all = refused.chain([(ACCEPTED, taken(&self.accepted))]);
        all.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_taken_once() {
        let usage = Usage::default();
        assert!(usage.take().is_empty());
        usage.accept(5);
        usage.accept(2);
        usage.refuse(RejectReason::TooOld);
        usage.refuse(RejectReason::RateLimited);
        usage.refuse(RejectReason::RateLimited);
        let mut taken = usage.take();
        taken.sort_unstable();
        assert_eq!(
            taken,
            [("accepted", 7), ("rate_limited", 2), ("too_old", 1)]
        );
        assert!(usage.take().is_empty());
    }
}
