//! Hot path: which times the events of a load carry. Pure.

use serde::{Deserialize, Serialize};

use super::ids::Random;

/// A day.
pub const DAY_MS: u64 = 86_400_000;
/// Share of the events that are late.
const LATE_SHARE: f64 = 0.1;
/// How late they are at most.
const LATE_DAYS: u64 = 30;

/// Which times events carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// When their request was due.
    #[default]
    Due,
    /// Times that run through so many whole days, UTC, up to the last midnight, in the course of the
    /// load.
    Days(u16),
    /// When their request was due; of a tenth of them some time of the 30 days before.
    Late,
}

/// The times of the events of one run.
#[derive(Debug, Clone, Copy)]
pub struct Dating {
    times: Times,
    start_ms: u64,
    length_ms: u64,
}

impl Dating {
    /// Those of a load whose first request is due at `start_ms` and its last `length_ms` later.
    #[must_use]
    pub const fn new(times: Times, start_ms: u64, length_ms: u64) -> Self {
        Self {
            times,
            start_ms,
            length_ms,
        }
    }

    /// The time of the events of a request that was due at `due_ms`.
    #[must_use]
    pub fn of_request(&self, due_ms: u64) -> u64 {
        let Times::Days(days) = self.times else {
            return due_ms;
        };
        let all = u64::from(days) * DAY_MS;
        let last = self.length_ms.saturating_sub(1);
        let passed = due_ms.saturating_sub(self.start_ms).min(last);
        midnight(self.start_ms) - all + passed.saturating_mul(all) / self.length_ms.max(1)
    }

    /// The time of the next event, where it is another one than its request's.
    pub fn of_late(&self, request_ms: u64, random: &mut Random) -> Option<u64> {
        let is_late = self.times == Times::Late && random.happens(LATE_SHARE);
        is_late.then(|| request_ms - random.next() % (LATE_DAYS * DAY_MS))
    }
}

/// The last midnight, UTC, before `ms`.
#[must_use]
pub const fn midnight(ms: u64) -> u64 {
    ms - ms % DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29T13:00:00Z.
    const START_MS: u64 = 1_795_957_200_000;

    #[test]
    fn times_run_through_whole_days_up_to_the_last_midnight() {
        let dating = Dating::new(Times::Days(20), START_MS, 50_000);
        let times: Vec<u64> = (0..=50_000)
            .map(|ms| dating.of_request(START_MS + ms))
            .collect();
        assert!(times.is_sorted());
        let days: Vec<u64> = times.iter().map(|ms| ms / DAY_MS).collect();
        let today = START_MS / DAY_MS;
        let each = |day: u64| days.iter().filter(|each| **each == day).count();
        for day in today - 20..today {
            assert!((2_500..=2_501).contains(&each(day)), "{}", each(day));
        }
        assert_eq!(times[0], midnight(START_MS) - 20 * DAY_MS);
        assert!(times[50_000] < midnight(START_MS));
    }

    #[test]
    fn a_tenth_of_the_events_is_late_by_up_to_thirty_days() {
        let dating = Dating::new(Times::Late, START_MS, 50_000);
        let mut random = Random::new(1);
        let late: Vec<u64> = (0..100_000)
            .filter_map(|_| dating.of_late(dating.of_request(START_MS), &mut random))
            .collect();
        assert!((9_500..10_500).contains(&late.len()), "{}", late.len());
        let days: std::collections::BTreeSet<u64> =
            late.iter().map(|ms| (START_MS - ms) / DAY_MS).collect();
        assert_eq!(days, (0..30).collect());
        let due = Dating::new(Times::Due, START_MS, 50_000);
        assert_eq!(due.of_request(START_MS + 7), START_MS + 7);
        assert_eq!(due.of_late(START_MS, &mut random), None);
    }
}
