//! The answer of `/analytics`. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use evp_shared::counters::Step;
use evp_shared::http::problem::Problem;
use evp_shared::sketch::{TopItem, UNIQUE_STANDARD_ERROR};
use evp_shared::stream::TypeCounts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::counts::ByType;
use crate::params::Params;

/// Types that an answer names; the rest is `__other__`. With 100 characters each they are 28 KB.
pub const NAMED_TYPES_MAX: usize = 200;

/// Seconds after which the sketches of a bucket that is over are written: those of hours are every
/// ten seconds.
const WRITTEN_AFTER_S: u64 = 60;

/// How far back an answer looks: whole buckets up to the one that is still being filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    name: &'static str,
    /// Width of its buckets.
    pub step: Step,
    /// How many there are.
    length: u64,
}

impl TimeRange {
    const HOUR: Self = Self::of("1h", Step::Minute, 60);

    /// All ranges.
    pub const ALL: [Self; 4] = [
        Self::of("15m", Step::Minute, 15),
        Self::HOUR,
        Self::of("24h", Step::Hour, 24),
        Self::of("7d", Step::Hour, 168),
    ];

    const fn of(name: &'static str, step: Step, length: u64) -> Self {
        Self { name, step, length }
    }

    /// Reads `range`; an hour without one.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(params: &Params) -> Result<Self, Problem> {
        let named = |name: &str| Self::ALL.into_iter().find(|range| range.name == name);
        let range = params.parsed("range", "send 15m, 1h, 24h or 7d", named)?;
        Ok(range.unwrap_or(Self::HOUR))
    }

    /// Its buckets, by number.
    pub const fn buckets(self, now_ms: u64) -> Range<u64> {
        let end = self.step.bucket(now_ms / 1_000) + 1;
        end.saturating_sub(self.length)..end
    }
}

/// Counts summed over partitions: by type, and over time.
#[derive(Debug, Clone)]
pub struct Counted {
    by_type: ByType,
    over_time: Vec<i64>,
}

impl Counted {
    /// Nothing yet, in as many buckets.
    pub fn new(buckets: &Range<u64>) -> Self {
        let length = usize::try_from(buckets.end - buckets.start).unwrap_or(0);
        Self {
            by_type: ByType::default(),
            over_time: vec![0; length],
        }
    }

    /// Adds what one partition has, in the order of the buckets.
    pub fn add(&mut self, found: &[TypeCounts]) {
        for (sum, bucket) in self.over_time.iter_mut().zip(found) {
            self.by_type.add(bucket);
            *sum += bucket.values().sum::<i64>();
        }
    }

    /// Whether events were counted in one of the buckets that are `lacking` a sketch: but for the
    /// last ones, whose sketches are only being written.
    pub fn lacks(&self, range: TimeRange, now_ms: u64, lacking: &BTreeSet<u64>) -> bool {
        let written = range
            .step
            .bucket((now_ms / 1_000).saturating_sub(WRITTEN_AFTER_S));
        let mut counted = range.buckets(now_ms).zip(&self.over_time);
        counted.any(|(bucket, count)| bucket < written && *count != 0 && lacking.contains(&bucket))
    }
}

/// Estimates of unique ids.
#[derive(Debug, Clone, Copy)]
pub struct Unique {
    /// Users.
    pub users: u64,
    /// Sessions.
    pub sessions: u64,
}

/// Why there are no estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The tenant has them not: an operator may give them to 32.
    NotEnabled,
    /// Events were counted whose users are not known.
    Incomplete,
}

/// What is estimated, with the users that have most events.
pub type Sketched = Result<(Unique, Vec<TopItem>), Missing>;

/// The answer of `GET /analytics`. Times are Unix ms.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsAnswer {
    range: &'static str,
    /// Begin of the first bucket.
    from: u64,
    /// Up to when there is something in it: `asOf`.
    to: u64,
    as_of: u64,
    totals: AnalyticsTotals,
    /// Most first; at most 200 types, and the rest as `__other__`.
    by_type: Vec<TypeShare>,
    /// Most first, at most 20; `null` where they are not known, as are the estimates.
    top_users: Option<Vec<TopUser>>,
    unique_users: Option<Estimate>,
    unique_sessions: Option<Estimate>,
    /// Why the three are `null`.
    missing_reason: Option<Missing>,
    over_time: OverTime,
}

#[derive(Debug, Serialize, ToSchema)]
struct AnalyticsTotals {
    events: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct TypeShare {
    #[serde(rename = "type")]
    event_type: String,
    count: i64,
    /// Of all events, 0 to 1.
    share: f64,
}

/// A user's events are at most `count`, and at least `count - error`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TopUser {
    user_id: String,
    count: u64,
    error: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Estimate {
    estimate: u64,
    /// Relative: two thirds of all estimates are no further off.
    standard_error: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OverTime {
    step_seconds: u64,
    /// Begin of a bucket in Unix ms, and its events.
    #[schema(value_type = Vec<[i64; 2]>)]
    points: Vec<(u64, i64)>,
}

impl AnalyticsAnswer {
    /// What was found over a range that ends at `now_ms`.
    pub fn new(range: TimeRange, now_ms: u64, counted: &Counted, sketched: Sketched) -> Self {
        let step = range.step;
        let start_ms = |bucket: u64| bucket * step.seconds() * 1_000;
        let buckets = range.buckets(now_ms);
        let events = counted.by_type.total();
        let by_type = counted.by_type.ranked(NAMED_TYPES_MAX);
        let estimate = |estimate| Estimate {
            estimate,
            standard_error: UNIQUE_STANDARD_ERROR,
        };
        let top_user = |top: TopItem| TopUser {
            user_id: top.item,
            count: top.count,
            error: top.error,
        };
        let missing_reason = sketched.as_ref().err().copied();
        let (unique, top) = sketched.ok().unzip();
        Self {
            range: range.name,
            from: start_ms(buckets.start),
            to: now_ms,
            as_of: now_ms,
            totals: AnalyticsTotals { events },
            by_type: by_type
                .into_iter()
                .map(|row| TypeShare {
                    share: share(row.count, events),
                    event_type: row.event_type,
                    count: row.count,
                })
                .collect(),
            top_users: top.map(|top| top.into_iter().map(top_user).collect()),
            unique_users: unique.map(|unique| estimate(unique.users)),
            unique_sessions: unique.map(|unique| estimate(unique.sessions)),
            missing_reason,
            over_time: OverTime {
                step_seconds: step.seconds(),
                points: buckets
                    .zip(&counted.over_time)
                    .map(|(bucket, count)| (start_ms(bucket), *count))
                    .collect(),
            },
        }
    }
}

/// Rounded to a hundredth of a percent.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 52 bits"
)]
fn share(count: i64, all: i64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    (count as f64 / all as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_030_000;

    #[test]
    fn a_range_ends_with_the_bucket_that_is_being_filled() {
        for range in TimeRange::ALL {
            let buckets = range.buckets(NOW_MS);
            let last_s = (buckets.end - 1) * range.step.seconds();
            assert!((last_s..last_s + range.step.seconds()).contains(&(NOW_MS / 1_000)));
        }
        let lengths = TimeRange::ALL.map(|range| range.buckets(NOW_MS).count());
        assert_eq!(lengths, [15, 60, 24, 168]);
    }

    #[test]
    fn an_answer_stays_small_however_many_types_there_are() {
        let range = TimeRange::ALL[3];
        let buckets = range.buckets(NOW_MS);
        let mut counted = Counted::new(&buckets);
        let kind = |n: usize| format!("{n:0>100}").into();
        let full: TypeCounts = (0..5_000).map(|n| (kind(n), 3)).collect();
        counted.add(&vec![full; 168]);
        let user = |n: u64| TopItem {
            item: "\u{1}".repeat(128) + &n.to_string(),
            count: u64::MAX,
            error: u64::MAX,
        };
        let unique = Unique {
            users: u64::MAX,
            sessions: u64::MAX,
        };
        let top = (0..20).map(user).collect();
        let answer = AnalyticsAnswer::new(range, NOW_MS, &counted, Ok((unique, top)));
        assert_eq!(answer.by_type.len(), 201);
        assert_eq!(answer.totals.events, 5_000 * 3 * 168);
        let shares: f64 = answer.by_type.iter().map(|row| row.share).sum();
        assert!((shares - 1.0).abs() < 0.02, "{shares}");
        assert_eq!(answer.over_time.points[0].1, 15_000);
        assert!(serde_json::to_vec(&answer).unwrap().len() < 256 * 1_024);
    }
}
