//! How much of the load is a tenant's: its events of the last ten seconds, and its bytes in flight. Pure.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Seconds that are looked back.
const WINDOW_S: u64 = 10;
const SLOTS: usize = 10;
/// Bits of a slot that count; those above say of which second it is.
const COUNT_BITS: u32 = 40;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// What of the load is a tenant's.
#[derive(Debug, Default)]
pub struct Share {
    slots: [AtomicU64; SLOTS],
    in_flight_bytes: AtomicUsize,
}

/// What is one tenant's part when all that send have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvenShare {
    /// Tenants that sent something within the window.
    pub tenants: u64,
    /// Events of the window.
    pub events: u64,
}

impl Share {
    /// Notes events that passed in second `now_s`.
    pub fn add(&self, events: u64, now_s: u64) {
        let slot = &self.slots[usize::try_from(now_s % WINDOW_S).unwrap_or(0)];
        let mut before = slot.load(Ordering::Relaxed);
        loop {
            let count = if before >> COUNT_BITS == second(now_s) {
                before & COUNT_MAX
            } else {
                0
            };
            let count = count.saturating_add(events).min(COUNT_MAX);
            let after = second(now_s) << COUNT_BITS | count;
            let swap =
                slot.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed);
            match swap {
                Ok(_) => return,
                Err(other) => before = other,
            }
        }
    }

    /// Events of the ten seconds up to `now_s`.
    pub fn events(&self, now_s: u64) -> u64 {
        let counts = self.slots.iter().map(|slot| {
            let slot = slot.load(Ordering::Relaxed);
            let is_within = (0..WINDOW_S)
                .any(|ago| now_s.checked_sub(ago).map(second) == Some(slot >> COUNT_BITS));
            if is_within { slot & COUNT_MAX } else { 0 }
        });
        counts.sum()
    }

    /// Its bytes in flight.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }

    /// Notes `bytes` that came into flight.
    pub fn hold(&self, bytes: usize) {
        self.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes `bytes` that are in flight no more.
    pub fn let_go(&self, bytes: usize) {
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// As much of a second as a slot holds: 16 million of them.
fn second(now_s: u64) -> u64 {
    now_s & (u64::MAX >> COUNT_BITS)
}

impl EvenShare {
    /// That of tenants with so many events each.
    pub fn of(events: impl Iterator<Item = u64>) -> Self {
        let (mut tenants, mut sum) = (0, 0_u64);
        for events in events.filter(|events| *events > 0) {
            tenants += 1;
            sum = sum.saturating_add(events);
        }
        Self {
            tenants,
            events: sum.checked_div(tenants).unwrap_or(0),
        }
    }

    /// Whether `share` is more than it, of `in_flight_bytes` and of the window's events; never where
    /// only one sends.
    pub fn is_exceeded(&self, share: &Share, in_flight_bytes: usize, now_s: u64) -> bool {
        if self.tenants < 2 {
            return false;
        }
        let even_bytes = in_flight_bytes as u64 / self.tenants;
        share.events(now_s) > self.events || share.in_flight_bytes() as u64 > even_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_ten_seconds_count() {
        let share = Share::default();
        for second in 100..120 {
            share.add(second, second);
            share.add(1, second);
        }
        let expected: u64 = (110..120).map(|second| second + 1).sum();
        assert_eq!(share.events(119), expected);
        assert_eq!(share.events(128), 120);
        assert_eq!(share.events(129), 0);
        assert_eq!(Share::default().events(5), 0);
    }

    #[test]
    fn more_than_an_even_share_is_exceeded_where_others_send() {
        let (large, small) = (Share::default(), Share::default());
        large.add(500_000, 50);
        small.add(100, 50);
        let even = |shares: &[&Share]| EvenShare::of(shares.iter().map(|share| share.events(50)));
        let both = even(&[&large, &small, &Share::default()]);
        assert_eq!((both.tenants, both.events), (2, 250_050));
        assert!(both.is_exceeded(&large, 0, 50));
        assert!(!both.is_exceeded(&small, 0, 50));
        assert!(!even(&[&large]).is_exceeded(&large, 0, 50), "alone");
        // By bytes: one that sends little, and slowly.
        small.hold(600);
        assert!(both.is_exceeded(&small, 1_000, 50));
        small.let_go(100);
        assert!(!both.is_exceeded(&small, 1_000, 50));
    }
}
