//! Spans: which collection an event lies in. Pure.
//!
//! A span is a function of the time in the `_id` and of nothing else, so that an `_id` that is
//! unique in its collection is unique in all of them.
//!
//! # Shape
//! | span | collection | covers |
//! |---|---|---|
//! | undated | `events_undated` | ids without a time |
//! | before the birth of the database | `events_2013` | a year, UTC |
//! | from then on, by [`SpanUnit`] | `events_202611`, `events_20261129`, `events_2026112917` | a month, a day, an hour |

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// What the name of every span begins with, and what sorts after all of them.
pub const SPANS: (&str, &str) = ("events_", "events`");

crate::choices! {
    /// How long a span is from the birth of the database on.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum SpanUnit {
        /// An hour.
        Hour = "hour",
        /// A day, UTC.
        #[default]
        Day = "day",
        /// A month, UTC.
        Month = "month",
    }
}

/// A piece of the events by the time in their ids, Unix ms. In the order of time, undated last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// Ids with a time in `from_ms..to_ms`.
    Dated {
        /// The first ms.
        from_ms: u64,
        /// The first ms after it.
        to_ms: u64,
        /// How its name is made.
        cut: Cut,
    },
    /// Ids without a time.
    Undated,
}

/// What a span is cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cut {
    /// A year before the birth.
    Year,
    /// A unit from the birth on.
    Unit(SpanUnit),
}

impl Span {
    /// Whether an id of `time_ms` lies in it.
    #[must_use]
    pub fn contains(&self, time_ms: Option<u64>) -> bool {
        match (self, time_ms) {
            (Self::Dated { from_ms, to_ms, .. }, Some(ms)) => (*from_ms..*to_ms).contains(&ms),
            (Self::Undated, None) => true,
            _ => false,
        }
    }

    /// The first ms and the first ms after it; `None` for the undated one.
    #[must_use]
    pub fn range_ms(&self) -> Option<std::ops::Range<u64>> {
        match self {
            Self::Dated { from_ms, to_ms, .. } => Some(*from_ms..*to_ms),
            Self::Undated => None,
        }
    }
}

impl fmt::Display for Span {
    /// The name of its collection.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Dated { from_ms, cut, .. } = self else {
            return f.write_str("events_undated");
        };
        let from = civil(*from_ms);
        write!(f, "events_{:04}", from.year())?;
        let unit = match cut {
            Cut::Year => return Ok(()),
            Cut::Unit(unit) => *unit,
        };
        write!(f, "{:02}", from.month())?;
        if unit != SpanUnit::Month {
            write!(f, "{:02}", from.day())?;
        }
        if unit == SpanUnit::Hour {
            write!(f, "{:02}", from.hour())?;
        }
        Ok(())
    }
}

/// What cuts time into spans; fixed for a database when it is born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The first day of the month, UTC, in which the database was born; Unix ms.
    pub birth_ms: u64,
    /// How long a span is from then on.
    pub unit: SpanUnit,
}

impl Calendar {
    /// That of a database that is born at `now_ms`.
    #[must_use]
    pub fn born(now_ms: u64, unit: SpanUnit) -> Self {
        Self {
            birth_ms: floor(now_ms, Cut::Unit(SpanUnit::Month)).0,
            unit,
        }
    }

    /// The span of ids of `time_ms`; `None` is no time.
    #[must_use]
    pub fn span_of(&self, time_ms: Option<u64>) -> Span {
        let Some(time_ms) = time_ms else {
            return Span::Undated;
        };
        let cut = if time_ms < self.birth_ms {
            Cut::Year
        } else {
            Cut::Unit(self.unit)
        };
        let (from_ms, to_ms) = floor(time_ms, cut);
        let to_ms = match cut {
            Cut::Year => to_ms.min(self.birth_ms),
            Cut::Unit(_) => to_ms,
        };
        Span::Dated {
            from_ms,
            to_ms,
            cut,
        }
    }

    /// The spans that ids of `times_ms` lie in, the oldest first. There are as many as it is long.
    pub fn spans(&self, times_ms: std::ops::Range<u64>) -> impl Iterator<Item = Span> + use<> {
        let calendar = *self;
        let mut next = Some(times_ms.start).filter(|_| !times_ms.is_empty());
        std::iter::from_fn(move || {
            let span = calendar.span_of(Some(next?));
            next = span.range_ms().map(|range| range.end);
            next = next.filter(|ms| *ms < times_ms.end);
            Some(span)
        })
    }
}

/// Latest time that can be written as a date: the end of the year 9999. Source: jiff.
const LAST_MS: u64 = 253_402_300_799_999;

fn civil(ms: u64) -> DateTime {
    let ms = i64::try_from(ms.min(LAST_MS)).unwrap_or_default();
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    TimeZone::UTC.to_datetime(at)
}

/// The first ms of the piece of time that `ms` lies in, and of the next one.
fn floor(ms: u64, cut: Cut) -> (u64, u64) {
    let at = civil(ms);
    let date = match cut {
        Cut::Year => at.date().first_of_year(),
        Cut::Unit(SpanUnit::Month) => at.date().first_of_month(),
        Cut::Unit(_) => at.date(),
    };
    let (hour, long) = match cut {
        Cut::Year => (0, 1.year()),
        Cut::Unit(SpanUnit::Month) => (0, 1.month()),
        Cut::Unit(SpanUnit::Day) => (0, 1.day()),
        Cut::Unit(SpanUnit::Hour) => (at.hour(), 1.hour()),
    };
    let from = date.at(hour, 0, 0, 0);
    let ms_of = |at: DateTime| {
        let zoned = TimeZone::UTC.to_timestamp(at);
        zoned.map_or(LAST_MS + 1, |at| {
            u64::try_from(at.as_millisecond()).unwrap_or(0)
        })
    };
    let to = from.checked_add(long).map_or(LAST_MS + 1, ms_of);
    (ms_of(from), to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    /// 2026-11-29T17:05:00Z.
    const NOW_MS: u64 = 1_795_971_900_000;

    #[test]
    fn names_are_years_before_the_birth_and_units_after_it() {
        let born = |unit| Calendar::born(NOW_MS, unit);
        let name = |unit, ms| born(unit).span_of(ms).to_string();
        let year_2013_ms = 1_377_700_000_000;
        // 2026-11-01T00:00:00Z.
        assert_eq!(born(SpanUnit::Day).birth_ms, 1_793_491_200_000);
        for (unit, now) in [
            (SpanUnit::Month, "events_202611"),
            (SpanUnit::Day, "events_20261129"),
            (SpanUnit::Hour, "events_2026112917"),
        ] {
            assert_eq!(name(unit, Some(NOW_MS)), now);
            assert_eq!(name(unit, Some(year_2013_ms)), "events_2013");
            assert_eq!(name(unit, Some(1_793_491_199_999)), "events_2026");
            assert_eq!(name(unit, Some(0)), "events_1970");
            assert_eq!(name(unit, None), "events_undated");
        }
    }

    #[test]
    fn the_year_of_the_birth_ends_with_it() {
        let calendar = Calendar::born(NOW_MS, SpanUnit::Day);
        let year = calendar.span_of(Some(calendar.birth_ms - 1));
        let range = year.range_ms().unwrap();
        assert_eq!(range.end, calendar.birth_ms);
        let first = calendar.span_of(Some(calendar.birth_ms));
        assert_eq!(first.range_ms().unwrap().start, calendar.birth_ms);
    }

    #[test]
    fn spans_follow_each_other_without_a_gap() {
        for unit in SpanUnit::ALL {
            let calendar = Calendar::born(NOW_MS, unit);
            let times_ms = calendar.birth_ms - 1..calendar.birth_ms + 26 * HOUR_MS;
            let spans: Vec<Span> = calendar.spans(times_ms).collect();
            for pair in spans.windows(2) {
                let [one, next] = pair else { panic!() };
                assert_eq!(one.range_ms().unwrap().end, next.range_ms().unwrap().start);
            }
            let expected = match unit {
                SpanUnit::Hour => 27,
                SpanUnit::Day => 3,
                SpanUnit::Month => 2,
            };
            assert_eq!(spans.len(), expected, "{unit}");
        }
    }

    proptest! {
        #[test]
        fn every_time_lies_in_its_span(ms in 0..1_u64 << 48, unit in 0..3_usize) {
            let calendar = Calendar::born(NOW_MS, SpanUnit::ALL[unit]);
            // What no date can be written for is refused long before.
            prop_assume!(ms <= LAST_MS);
            prop_assert!(calendar.span_of(Some(ms)).contains(Some(ms)));
        }
    }
}
