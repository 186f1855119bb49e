//! Which frames the deep check looks at, and when. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use evp_shared::stream::{EntryId, Life};

use crate::verify::{DAY, MARGIN};

/// How long after a life began, in seconds, frames may be dated that it lacks: the clock of an
/// ingest may be an hour ahead, and what it had in hand took no longer than a minute.
const AHEAD: u64 = 3_600 + 60;

/// Oldest frame, in seconds, whose counts may still be added: a settled bit holds for 48 hours,
/// and clocks differ. What is older is left to an operator's `verify`.
const AGE_MAX: u64 = 46 * 3_600;

/// Seconds of frames looked at in one scan of the events.
const SLICE: u64 = 6 * 3_600;

/// Lives that are remembered, of all partitions together.
const LIVES_MAX: usize = 1_024;

/// The lives that were heard of, and so what is to be looked at.
///
/// How far it has been done is one second for all of it: what lies before it was looked at a day
/// after it was received, and a life that begins later lacks nothing so old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(BTreeMap<Life, EntryId>);

impl Plan {
    /// Notes a life, which may lack all after `cut`.
    pub fn note(&mut self, life: Life, cut: EntryId) {
        self.lower(life, cut);
        while self.0.len() > LIVES_MAX
            && let Some((_, cut)) = self.0.pop_first()
            && let Some(next) = self.0.first_key_value().map(|(life, _)| *life)
        {
            // What the forgotten one lacked is looked at with the next.
            self.lower(next, cut);
        }
    }

    fn lower(&mut self, life: Life, cut: EntryId) {
        let lowest = self.0.entry(life).or_insert(cut);
        *lowest = cut.min(*lowest);
    }

    /// The Unix seconds of the frames to look at at the second `now`, when those before `done` have
    /// been: of the oldest life that leaves some, once the youngest of them is too old to be
    /// delivered or settled by anybody else.
    pub fn due(&self, done: u64, now: u64) -> Option<Range<u64>> {
        let windows = self.0.iter().map(|(life, cut)| {
            let from = (cut.ms / 1_000).saturating_sub(MARGIN);
            let from = from.max(now.saturating_sub(AGE_MAX)).max(done);
            from..(life.0 / 1_000).saturating_add(AHEAD)
        });
        let mut old = windows.take_while(|window| now >= window.end.saturating_add(DAY + MARGIN));
        let next = old.find(|window| !window.is_empty())?;
        Some(next.start..next.end.min(next.start + SLICE))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evp_shared::clock::Clock;

    use super::*;

    /// When a life began.
    const BEGAN: u64 = 100 * DAY;
    const DUE: u64 = BEGAN + AHEAD + DAY + MARGIN;

    fn plan(lives: &[(u64, u64)]) -> Plan {
        let mut plan = Plan::default();
        for (began, cut) in lives {
            let cut = EntryId {
                ms: cut * 1_000,
                seq: 0,
            };
            plan.note(Life(began * 1_000), cut);
        }
        plan
    }

    #[test]
    fn what_a_life_may_lack_is_due_when_nobody_else_will_touch_it() {
        let plan = plan(&[(BEGAN, BEGAN - 30)]);
        let window = BEGAN - 30 - MARGIN..BEGAN + AHEAD;
        assert_eq!(plan.due(0, DUE - 1), None);
        assert_eq!(plan.due(0, DUE), Some(window.clone()));
        assert_eq!(plan.due(BEGAN, DUE), Some(BEGAN..window.end));
        assert_eq!(plan.due(window.end, DUE), None, "done");
        assert_eq!(plan.due(0, DUE + 2 * DAY), None, "too late to count it");
    }

    #[test]
    fn lives_that_follow_each_other_are_looked_at_once() {
        let plan = plan(&[(BEGAN, BEGAN - 30), (BEGAN + 60, BEGAN + 50)]);
        let now = DUE + 60;
        let first = plan.due(0, now).unwrap();
        assert_eq!(first.end, BEGAN + AHEAD);
        assert_eq!(plan.due(first.end, now), Some(first.end..first.end + 60));
        assert_eq!(plan.due(first.end + 60, now), None);
    }

    #[test]
    fn a_long_window_is_looked_at_in_slices_without_a_gap() {
        let plan = plan(&[(BEGAN, 0)]);
        let clock = Clock::manual(BEGAN * 1_000);
        let mut done = 0;
        let mut looked_at = Vec::new();
        while clock.now_ms() / 1_000 < BEGAN + 3 * DAY {
            clock.advance(Duration::from_secs(600));
            let now = clock.now_ms() / 1_000;
            if let Some(slice) = plan.due(done, now) {
                assert!(slice.end + DAY + MARGIN <= now, "{slice:?} is too young");
                assert!(slice.start + AGE_MAX >= now, "{slice:?} is too old");
                done = slice.end;
                looked_at.push(slice);
            }
        }
        assert!(looked_at.len() > 3, "{looked_at:?}");
        assert!(looked_at.is_sorted_by(|one, next| one.end == next.start));
        assert_eq!(done, BEGAN + AHEAD);
    }

    #[test]
    fn lives_without_number_take_bounded_room_and_hide_nothing() {
        let lives: Vec<_> = (0..3 * LIVES_MAX as u64)
            .map(|number| (BEGAN + number, BEGAN + number - 60))
            .collect();
        let plan = plan(&lives);
        assert_eq!(plan.0.len(), LIVES_MAX);
        let last = BEGAN + 3 * LIVES_MAX as u64;
        let due = plan.due(0, last + AHEAD + DAY + MARGIN).unwrap();
        assert_eq!(due.start, BEGAN - 60 - MARGIN);
    }
}
