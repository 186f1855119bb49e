//! How many events of a tenant pass in a day, over all instances: each takes slices of what is left in
//! Redis and lets pass what it took. Never more passes than the quota; what an instance had taken when
//! it crashed is not passed by anybody. Pure.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const DAY_MS: u64 = 86_400_000;
/// A slice is this part of the quota, unless one request alone is larger.
const SLICES: u64 = 100;
/// When a slice that is on its way is there.
const SLICE_WITHIN: Duration = Duration::from_secs(1);

/// What an instance has of a tenant's day.
#[derive(Debug)]
pub struct DayQuota {
    per_day: u64,
    /// The UTC day that all below is of, counted from 1970.
    day: AtomicU64,
    left: AtomicI64,
    /// Events of the largest request that did not pass since the last slice.
    wanted: AtomicU64,
    /// Whether Redis had less left than was asked for.
    is_spent: AtomicBool,
}

impl DayQuota {
    /// Nothing is taken yet.
    pub fn new(per_day: u64) -> Self {
        Self {
            per_day,
            day: AtomicU64::new(0),
            left: AtomicI64::new(0),
            wanted: AtomicU64::new(0),
            is_spent: AtomicBool::new(false),
        }
    }

    /// Events of a day.
    pub fn per_day(&self) -> u64 {
        self.per_day
    }

    /// Judges whether anything passes: not once Redis has nothing left.
    ///
    /// # Errors
    /// When to come back.
    pub fn passes(&self, now_ms: u64) -> Result<(), Duration> {
        let is_today = self.day.load(Ordering::Acquire) == now_ms / DAY_MS;
        let is_spent = self.is_spent.load(Ordering::Relaxed);
        if is_today && is_spent && self.left.load(Ordering::Relaxed) <= 0 {
            return Err(to_midnight(now_ms));
        }
        Ok(())
    }

    /// Has `events` pass.
    ///
    /// # Errors
    /// Not so many are left here: when to come back. Nothing was taken.
    pub fn take(&self, events: u64, now_ms: u64) -> Result<(), Duration> {
        if events == 0 {
            return Ok(());
        }
        if events > self.per_day {
            // No slice is ever as large, and none is to lie here for it.
            return Err(to_midnight(now_ms));
        }
        let asked = i64::try_from(events).unwrap_or(i64::MAX);
        let is_today = self.day.load(Ordering::Acquire) == now_ms / DAY_MS;
        let enough = |left: i64| (left >= asked).then(|| left - asked);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if is_today && self.left.fetch_update(set, get, enough).is_ok() {
            return Ok(());
        }
        self.wanted.fetch_max(events, Ordering::Relaxed);
        if is_today && self.is_spent.load(Ordering::Relaxed) {
            Err(to_midnight(now_ms))
        } else {
            Err(SLICE_WITHIN)
        }
    }

    /// Gives back what was taken at `taken_ms` for events that were not stored; a day that has ended
    /// since has no use for it.
    pub fn give_back(&self, events: u64, taken_ms: u64) {
        if self.day.load(Ordering::Acquire) == taken_ms / DAY_MS {
            let events = i64::try_from(events).unwrap_or(i64::MAX);
            self.left.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// How many events are to be asked for on `day`; zero while there are enough.
    pub fn wants(&self, day: u64) -> u64 {
        let is_today = self.day.load(Ordering::Acquire) == day;
        let left = match is_today {
            true => u64::try_from(self.left.load(Ordering::Relaxed)).unwrap_or(0),
            false => 0,
        };
        let slice = (self.per_day / SLICES).max(1);
        let wanted = self.wanted.load(Ordering::Relaxed);
        slice.max(wanted).min(self.per_day).saturating_sub(left)
    }

    /// Takes up what Redis gave of what was `asked` for on `day`. One task does it.
    pub fn given(&self, day: u64, asked: u64, given: u64) {
        let given_events = i64::try_from(given).unwrap_or(i64::MAX);
        if self.day.load(Ordering::Relaxed) == day {
            self.left.fetch_add(given_events, Ordering::Relaxed);
        } else {
            // What was left of the day before is void.
            self.left.store(given_events, Ordering::Relaxed);
        }
        self.wanted.store(0, Ordering::Relaxed);
        self.is_spent.store(given < asked, Ordering::Relaxed);
        self.day.store(day, Ordering::Release);
    }
}

fn to_midnight(now_ms: u64) -> Duration {
    Duration::from_millis(DAY_MS - now_ms % DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: u64 = 20_000 * DAY_MS + DAY_MS / 2;
    const DAY: u64 = 20_000;

    /// Asks `redis`, which has so many left.
    fn lease(quota: &DayQuota, day: u64, redis: &mut u64) {
        let asked = quota.wants(day);
        let given = asked.min(*redis);
        *redis -= given;
        quota.given(day, asked, given);
    }

    #[test]
    fn what_was_taken_passes_and_no_more() {
        let (quota, mut redis) = (DayQuota::new(1_000), 1_000);
        assert_eq!(quota.take(1, NOON_MS), Err(SLICE_WITHIN));
        lease(&quota, DAY, &mut redis);
        assert_eq!((redis, quota.wants(DAY)), (990, 0));
        assert_eq!(quota.take(10, NOON_MS), Ok(()));
        assert_eq!(quota.take(1, NOON_MS), Err(SLICE_WITHIN));
        // A request that is larger than a slice passes after the next one.
        assert_eq!(quota.take(500, NOON_MS), Err(SLICE_WITHIN));
        lease(&quota, DAY, &mut redis);
        assert_eq!(quota.take(500, NOON_MS), Ok(()));
        quota.give_back(500, NOON_MS);
        assert_eq!(quota.take(500, NOON_MS), Ok(()));
        let mut passed = 510;
        while redis > 0 {
            lease(&quota, DAY, &mut redis);
            while quota.take(1, NOON_MS).is_ok() {
                passed += 1;
            }
        }
        assert_eq!(passed, 1_000);
        lease(&quota, DAY, &mut redis);
        let to_midnight = Duration::from_millis(DAY_MS / 2);
        assert_eq!(quota.take(1, NOON_MS), Err(to_midnight));
        assert_eq!(quota.passes(NOON_MS), Err(to_midnight));
        assert_eq!(quota.passes(NOON_MS + DAY_MS), Ok(()));
        assert_eq!(quota.take(0, NOON_MS), Ok(()), "all were rejected");
    }

    #[test]
    fn a_request_beyond_the_quota_takes_no_slice_for_itself() {
        let (quota, mut redis) = (DayQuota::new(1_000), 1_000);
        let to_midnight = Duration::from_millis(DAY_MS / 2);
        assert_eq!(quota.take(2_000, NOON_MS), Err(to_midnight));
        lease(&quota, DAY, &mut redis);
        assert_eq!(redis, 990);
        assert_eq!(quota.passes(NOON_MS), Ok(()));
    }

    #[test]
    fn what_is_left_of_a_day_is_void_on_the_next() {
        let (quota, mut redis) = (DayQuota::new(1_000), 1_000);
        lease(&quota, DAY, &mut redis);
        assert_eq!(quota.take(1, NOON_MS + DAY_MS), Err(SLICE_WITHIN));
        quota.give_back(7, NOON_MS + DAY_MS);
        let mut redis = 1_000;
        lease(&quota, DAY + 1, &mut redis);
        assert_eq!(redis, 990);
        assert_eq!(quota.take(11, NOON_MS + DAY_MS), Err(SLICE_WITHIN));
        assert_eq!(quota.take(10, NOON_MS + DAY_MS), Ok(()));
    }
}
