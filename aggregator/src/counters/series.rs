//! Counts over time. Pure.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::{OTHER_TYPE, Step};
use evp_shared::http::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::block::Block;
use crate::counts::ranked;
use crate::error::bad_parameter;
use crate::params::Params;
use crate::time::{SPAN_HINT, parse_span_ms};

/// Points of one series.
pub const POINTS_MAX: u64 = 3_600;
/// Series of one answer, when no types were asked for.
pub const SERIES_MAX: usize = 50;
/// Types that are summed by themselves while the largest are looked for: 58 MB at 3,600 points.
const SUMMED_TYPES_MAX: usize = 2_000;

const DEFAULT_WINDOW_S: u64 = 15 * 60;

/// Which counts, over which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRequest {
    /// Width of a point.
    pub step: Step,
    /// The points, by bucket number; the last one is still being filled.
    pub buckets: Range<u64>,
    /// Of these types; of the largest when empty.
    pub types: Vec<String>,
}

impl SeriesRequest {
    /// Reads `window`, `step` and `type`. Without a step it is the finest that gives no more than
    /// 900 points and is kept for as long.
    ///
    /// # Errors
    /// The first parameter with a value it does not take.
    pub fn parse(params: &Params, now_ms: u64) -> Result<Self, Problem> {
        let window_ms = params.parsed("window", SPAN_HINT, parse_span_ms)?;
        let window_s = window_ms.map_or(DEFAULT_WINDOW_S, |window_ms| window_ms / 1_000);
        let sent = params.parsed("step", "send second, minute or hour", parse_step)?;
        let step = sent.unwrap_or_else(|| finest(window_s));
        check(window_s, step, sent.is_some())?;
        let end = step.bucket(now_ms / 1_000) + 1;
        let points = window_s.div_ceil(step.seconds());
        Ok(Self {
            step,
            buckets: end.saturating_sub(points)..end,
            types: params.types("type", Some(OTHER_TYPE), SERIES_MAX)?,
        })
    }

    fn points(&self) -> usize {
        usize::try_from(self.buckets.end - self.buckets.start).unwrap_or(0)
    }

    fn start_ms(&self, bucket: u64) -> u64 {
        bucket * self.step.seconds() * 1_000
    }
}

fn parse_step(text: &str) -> Option<Step> {
    match text {
        "second" | "1s" => Some(Step::Second),
        "minute" | "1m" => Some(Step::Minute),
        "hour" | "1h" => Some(Step::Hour),
        _ => None,
    }
}

fn finest(window_s: u64) -> Step {
    let fits = |step: &&Step| window_s.div_ceil(step.seconds()) <= 900 && kept(window_s, **step);
    *Step::ALL.iter().find(fits).unwrap_or(&Step::Hour)
}

fn kept(window_s: u64, step: Step) -> bool {
    window_s <= step.kept().as_secs()
}

/// Refuses what is not kept, or would be too much; blames `step` when another one would do.
fn check(window_s: u64, step: Step, step_was_sent: bool) -> Result<(), Problem> {
    let points = window_s.div_ceil(step.seconds());
    let fault = if !kept(window_s, step) {
        let hours = step.kept().as_secs() / 3_600;
        format!("counts by {} are kept for {hours} hours", name(step))
    } else if points > POINTS_MAX {
        format!("this asks for {points} points, at most {POINTS_MAX} are answered")
    } else {
        return Ok(());
    };
    let name = if step_was_sent && step != Step::Hour {
        "step"
    } else {
        "window"
    };
    Err(bad_parameter(name, fault))
}

const fn name(step: Step) -> &'static str {
    match step {
        Step::Second => "second",
        Step::Minute => "minute",
        Step::Hour => "hour",
    }
}

/// An answer.
///
/// # Shape
/// `{"stepSeconds":60,"from":ms,"to":ms,"series":[{"type":"...","points":[[ms,count],...],
/// "total":n}]}`: a point for each step from `from` to before `to`, zeros included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeriesAnswer {
    step_seconds: u64,
    from: u64,
    to: u64,
    series: Vec<Series>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct Series {
    #[serde(rename = "type")]
    event_type: String,
    #[schema(value_type = Vec<[i64; 2]>)]
    points: Vec<(u64, i64)>,
    total: i64,
}

/// Sums buckets into series.
#[derive(Debug)]
pub struct SeriesFold<'a> {
    request: &'a SeriesRequest,
    sums: HashMap<Box<str>, Vec<i64>>,
}

impl<'a> SeriesFold<'a> {
    /// Sums what `request` asks for.
    pub fn new(request: &'a SeriesRequest) -> Self {
        let zeros = |kind: &String| (kind.as_str().into(), vec![0; request.points()]);
        Self {
            request,
            sums: request.types.iter().map(zeros).collect(),
        }
    }

    /// Adds what a block has of the request's buckets.
    pub fn add(&mut self, block: &Block) {
        let request = self.request;
        let asked = &request.buckets;
        let within = |bucket: &u64| asked.contains(bucket);
        for (kind, counts) in &block.rows {
            let counts = block.buckets.clone().zip(counts.iter().copied());
            let mut counts = counts
                .filter(|(bucket, count)| *count != 0 && within(bucket))
                .peekable();
            if counts.peek().is_none() {
                continue;
            }
            let Some(sums) = self.sums_of(kind) else {
                continue;
            };
            for (bucket, count) in counts {
                let at = usize::try_from(bucket - asked.start).ok();
                if let Some(sum) = at.and_then(|at| sums.get_mut(at)) {
                    *sum += count;
                }
            }
        }
    }

    /// The sums of a type; `None` for one that was not asked for.
    fn sums_of(&mut self, event_type: &str) -> Option<&mut Vec<i64>> {
        let is_known = self.sums.contains_key(event_type);
        if !is_known && !self.request.types.is_empty() {
            return None;
        }
        let name = if is_known || self.sums.len() < SUMMED_TYPES_MAX {
            event_type
        } else {
            OTHER_TYPE
        };
        let zeros = || vec![0; self.request.points()];
        Some(self.sums.entry(name.into()).or_insert_with(zeros))
    }

    /// The types that were asked for by name, or the largest [`SERIES_MAX`] and, last, the rest.
    pub fn finish(self) -> SeriesAnswer {
        let request = self.request;
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        if request.types.is_empty() {
            let add = |sums: &mut Vec<_>, counts: Vec<_>| {
                let both = sums.iter_mut().zip(counts);
                both.for_each(|(sum, count)| *sum += count);
            };
            sums = ranked(sums, SERIES_MAX, |counts| counts.iter().sum(), add);
        } else {
            sums.sort_unstable();
        }
        SeriesAnswer {
            step_seconds: request.step.seconds(),
            from: request.start_ms(request.buckets.start),
            to: request.start_ms(request.buckets.end),
            series: sums
                .into_iter()
                .map(|(event_type, counts)| Series {
                    event_type: event_type.into_string(),
                    total: counts.iter().sum(),
                    points: request
                        .buckets
                        .clone()
                        .map(|bucket| request.start_ms(bucket))
                        .zip(counts)
                        .collect(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
