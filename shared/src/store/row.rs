//! The row of a span: what is known of it, in [`META`](super::META).
//!
//! # Shape
//! `{_id: "events_20261129", uuid, from: <date>, to: <date>, state, indexes: [names], days: [int32],
//! low: int32, high: int32}`; the undated span has neither `from` nor `to`.

use bson::{Bson, DateTime, Document, Uuid, doc};

use super::index::{SpanIndex, State};
use crate::choice::Choice as _;
use crate::event::span::{Cut, SPANS, Span, SpanUnit};

/// How long after the end of a span a `timestamp` in it needs no note: events are sent, and given
/// their ids, somewhat before they are received.
const SLACK_MS: i64 = 10 * 60 * 1_000;
/// Days outside of its range that a row names, before it keeps the lowest and the highest alone.
pub const DAYS_MAX: usize = 32;
const DAY_MS: i64 = 86_400_000;

/// What is known of a span: its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub span: Span,
    /// Of its collection. Every insert names it: a collection that is gone is then not made anew.
    pub uuid: Uuid,
    /// What it is at.
    pub state: State,
    /// The indexes that are built.
    pub indexes: Vec<SpanIndex>,
    /// Where else events of it lie by `timestamp`.
    pub outside: Outside,
}

/// Days, since 1970, on which a span holds a `timestamp` outside of its range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outside {
    /// Which ones; when there are [`DAYS_MAX`], others may lie between the lowest and the highest.
    pub days: Vec<i32>,
    /// The lowest and the highest.
    pub edges: Option<(i32, i32)>,
}

impl Outside {
    /// Whether `day` is told by it.
    pub fn covers(&self, day: i32) -> bool {
        let within = |(low, high): (i32, i32)| (low..=high).contains(&day);
        match self.edges {
            Some(edges) if self.days.len() >= DAYS_MAX => within(edges),
            _ => self.days.contains(&day),
        }
    }
}

impl Row {
    /// The name of its collection.
    pub fn name(&self) -> String {
        self.span.to_string()
    }

    /// The day that must be noted before an event with `timestamp_ms` is stored here, if any.
    pub fn unnoted_day(&self, timestamp_ms: i64) -> Option<i32> {
        let range = self.own_range_ms()?;
        let day = day_of(timestamp_ms);
        (!range.contains(&timestamp_ms) && !self.outside.covers(day)).then_some(day)
    }

    /// The timestamps that it is there for; `None` for the undated one, which holds any.
    fn own_range_ms(&self) -> Option<std::ops::Range<i64>> {
        let range = self.span.range_ms()?;
        let ms = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
        Some(ms(range.start)..ms(range.end).saturating_add(SLACK_MS))
    }

    /// Pieces of time, Unix ms from the first that is in to the first that is not, outside of which
    /// it holds no `timestamp`. In no order.
    pub fn holds_ms(&self) -> Vec<std::ops::Range<i64>> {
        let Some(own) = self.own_range_ms() else {
            return std::iter::once(i64::MIN..i64::MAX).collect();
        };
        let days = |low: i32, high: i32| i64::from(low) * DAY_MS..(i64::from(high) + 1) * DAY_MS;
        let mut pieces = vec![own];
        match self.outside.edges {
            Some((low, high)) if self.outside.days.len() >= DAYS_MAX => {
                pieces.push(days(low, high))
            }
            _ => pieces.extend(self.outside.days.iter().map(|day| days(*day, *day))),
        }
        pieces
    }

    pub(super) fn parse(document: &Document) -> Option<Self> {
        let name = document.get_str("_id").ok()?;
        let ms = |field| {
            let at = document.get_datetime(field).ok()?;
            u64::try_from(at.timestamp_millis()).ok()
        };
        let span = match (ms("from"), ms("to")) {
            (Some(from_ms), Some(to_ms)) => Span::Dated {
                from_ms,
                to_ms,
                cut: cut_of(name)?,
            },
            _ => Span::Undated,
        };
        let names = document.get_array("indexes").ok()?.iter();
        let days = document.get_array("days").ok();
        let days = days.into_iter().flatten().filter_map(Bson::as_i32);
        let day = |field| document.get_i32(field).ok();
        let uuid = match document.get("uuid")? {
            Bson::Binary(binary) => binary.to_uuid().ok()?,
            _ => return None,
        };
        Some(Self {
            span,
            uuid,
            state: State::named(document.get_str("state").ok()?)?,
            indexes: names
                .filter_map(|name| SpanIndex::named(name.as_str()?))
                .collect(),
            outside: Outside {
                days: days.collect(),
                edges: day("low").zip(day("high")),
            },
        })
    }

    pub(super) fn document(&self) -> Document {
        let indexes = self.indexes.iter().map(|index| index.as_str());
        let mut document = doc! {
            "uuid": self.uuid,
            "state": self.state.as_str(),
            "indexes": indexes.collect::<Vec<_>>(),
        };
        if let Some(range) = self.span.range_ms() {
            document.extend(doc! { "from": date(range.start), "to": date(range.end) });
        }
        document
    }
}

fn cut_of(name: &str) -> Option<Cut> {
    Some(match name.strip_prefix(SPANS.0)?.len() {
        4 => Cut::Year,
        6 => Cut::Unit(SpanUnit::Month),
        8 => Cut::Unit(SpanUnit::Day),
        10 => Cut::Unit(SpanUnit::Hour),
        _ => return None,
    })
}

/// The day of `timestamp_ms`, since 1970.
pub fn day_of(timestamp_ms: i64) -> i32 {
    i32::try_from(timestamp_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX)
}

pub(super) fn date(ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
