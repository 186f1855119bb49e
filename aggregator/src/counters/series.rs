//! Counts over time. Pure.

use std::collections::HashMap;
use std::ops::Range;

use evp_shared::counters::{OTHER_TYPE, Step, split_field};
use evp_shared::http::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::block::Block;
use crate::auth::Tenant;
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
        let window_s = match params.single("window")? {
            None => DEFAULT_WINDOW_S,
            Some(text) => {
                parse_span_ms(text).ok_or_else(|| bad_parameter("window", SPAN_HINT))? / 1_000
            }
        };
        let step = match params.single("step")? {
            None => finest(window_s),
            Some("second" | "1s") => Step::Second,
            Some("minute" | "1m") => Step::Minute,
            Some("hour" | "1h") => Step::Hour,
            Some(_) => return Err(bad_parameter("step", "send second, minute or hour")),
        };
        check(window_s, step, params.single("step")?.is_some())?;
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
    tenant: &'a Tenant,
    sums: HashMap<Box<str>, Vec<i64>>,
}

impl<'a> SeriesFold<'a> {
    /// Sums what `request` asks for, of `tenant`.
    pub fn new(request: &'a SeriesRequest, tenant: &'a Tenant) -> Self {
        let zeros = |event_type: &String| {
            let event_type = event_type.clone().into_boxed_str();
            (event_type, vec![0; request.points()])
        };
        Self {
            request,
            tenant,
            sums: request.types.iter().map(zeros).collect(),
        }
    }

    /// Adds what a block has of the request's buckets.
    pub fn add(&mut self, block: &Block) {
        let asked = &self.request.buckets;
        let within = |bucket: &u64| asked.contains(bucket);
        for (field, counts) in &block.rows {
            let counts = block.buckets.clone().zip(counts.iter().copied());
            let mut counts = counts
                .filter(|(bucket, count)| *count != 0 && within(bucket))
                .peekable();
            let (Some((tenant, event_type)), Some(_)) = (split_field(field), counts.peek()) else {
                continue;
            };
            if tenant != self.tenant.as_str() {
                continue;
            }
            let Some(sums) = points_of(&mut self.sums, self.request, event_type) else {
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

    /// The types that were asked for by name, or the largest [`SERIES_MAX`] and, last, the rest.
    pub fn finish(self) -> SeriesAnswer {
        let request = self.request;
        let mut sums: Vec<_> = self.sums.into_iter().collect();
        if request.types.is_empty() {
            sums = largest(sums);
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

/// The sums of a type; `None` for one that was not asked for.
fn points_of<'a>(
    sums: &'a mut HashMap<Box<str>, Vec<i64>>,
    request: &SeriesRequest,
    event_type: &str,
) -> Option<&'a mut Vec<i64>> {
    let is_known = sums.contains_key(event_type);
    if !is_known && !request.types.is_empty() {
        return None;
    }
    let name = if is_known || sums.len() < SUMMED_TYPES_MAX {
        event_type
    } else {
        OTHER_TYPE
    };
    let zeros = || vec![0; request.points()];
    Some(sums.entry(name.into()).or_insert_with(zeros))
}

type Sums = Vec<(Box<str>, Vec<i64>)>;

fn largest(mut sums: Sums) -> Sums {
    let unnamed = sums.iter().position(|(name, _)| &**name == OTHER_TYPE);
    let mut other = unnamed.map(|at| sums.swap_remove(at).1);
    sums.sort_by_cached_key(|(name, counts)| {
        (std::cmp::Reverse(counts.iter().sum::<i64>()), name.clone())
    });
    let beyond = sums.split_off(sums.len().min(SERIES_MAX));
    for (_, counts) in beyond {
        let rest = other.get_or_insert_with(|| vec![0; counts.len()]);
        for (sum, count) in rest.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    sums.extend(other.map(|counts| (OTHER_TYPE.into(), counts)));
    sums
}

#[cfg(test)]
mod tests {
    use evp_shared::counters::field;
    use evp_shared::stream::Bucket;

    use super::super::block::BlockId;
    use super::*;

    const NOW_MS: u64 = 1_800_000_030_500;
    const KNOWN: &[&str] = &["window", "step", "type"];

    fn parse(query: &str) -> Result<SeriesRequest, Problem> {
        let uri = format!("/metrics/series?{query}").parse().unwrap();
        SeriesRequest::parse(&Params::parse(&uri, KNOWN)?, NOW_MS)
    }

    fn bucket(rows: &[(&str, i64)]) -> Bucket {
        let row = |(kind, count): &(&str, i64)| (field("default", kind), *count);
        rows.iter().map(row).collect()
    }

    #[test]
    fn the_window_ends_with_the_current_bucket() {
        let now_s = NOW_MS / 1_000;
        let table = [
            ("window=1m&step=second", Step::Second, now_s - 59..now_s + 1),
            (
                "window=90s&step=1m",
                Step::Minute,
                now_s / 60 - 1..now_s / 60 + 1,
            ),
            ("", Step::Second, now_s - 899..now_s + 1),
            ("window=1h", Step::Minute, now_s / 60 - 59..now_s / 60 + 1),
            (
                "window=7d",
                Step::Hour,
                now_s / 3_600 - 167..now_s / 3_600 + 1,
            ),
        ];
        for (query, step, buckets) in table {
            let request = parse(query).unwrap();
            assert_eq!((request.step, request.buckets), (step, buckets), "{query}");
        }
    }

    #[test]
    fn each_wrong_value_is_named() {
        let table = [
            ("window=15", "window"),
            ("window=401d", "window"),
            ("window=2h&step=second", "step"),
            ("window=3h&step=second", "step"),
            ("window=49h&step=minute", "step"),
            ("window=400d&step=hour", "window"),
            ("step=day", "step"),
            ("step=", "step"),
            ("type=a%20b", "type"),
        ];
        for (query, name) in table {
            assert_eq!(
                parse(query).unwrap_err().member("parameter"),
                name,
                "{query}"
            );
        }
    }

    /// The answer over the partitions' buckets, each of some number.
    fn answer(query: &str, partitions: &[&[(u64, Bucket)]]) -> SeriesAnswer {
        let (request, tenant) = (parse(query).unwrap(), Tenant::named("default"));
        let mut fold = SeriesFold::new(&request, &tenant);
        for id in BlockId::all_of(request.step, &request.buckets) {
            let mut block = Block::new(id);
            for partition in partitions {
                let of = |bucket| {
                    let mut found = partition.iter().filter(|(at, _)| *at == bucket);
                    found
                        .next()
                        .map(|(_, found)| found.clone())
                        .unwrap_or_default()
                };
                block = block.with(id.buckets().map(of).collect());
            }
            fold.add(&block);
        }
        assert!(fold.sums.len() <= SUMMED_TYPES_MAX + 1);
        fold.finish()
    }

    #[test]
    fn partitions_add_up_and_gaps_are_zeros() {
        let query = "window=3s&step=second&type=click,none";
        let start = parse(query).unwrap().buckets.start;
        let one = [
            (start - 1, bucket(&[("click", 90)])),
            (start, bucket(&[("click", 2), ("view", 9)])),
            (start + 2, bucket(&[("click", 1)])),
            (start + 3, bucket(&[("click", 50)])),
        ];
        let other = Bucket::from([
            (field("other", "click"), 70),
            (field("default", "click"), 3),
        ]);
        let answer = answer(query, &[&one, &[(start, other)]]);
        let first_ms = start * 1_000;
        let click = &answer.series[0];
        assert_eq!((answer.from, answer.to), (first_ms, first_ms + 3_000));
        let expected = [(first_ms, 5), (first_ms + 1_000, 0), (first_ms + 2_000, 1)];
        assert_eq!((&click.points[..], click.total), (&expected[..], 6));
        let none = &answer.series[1];
        assert_eq!((none.event_type.as_str(), none.total), ("none", 0));
        assert_eq!(none.points.len(), 3);
    }

    #[test]
    fn a_window_may_lie_in_two_blocks_and_shows_nothing_beside_it() {
        let query = "window=1m&step=second";
        let buckets = parse(query).unwrap().buckets;
        assert_eq!(BlockId::all_of(Step::Second, &buckets).count(), 2);
        let all = [
            (buckets.start - 1, bucket(&[("before", 5)])),
            (buckets.start, bucket(&[("in", 1)])),
            (buckets.end - 1, bucket(&[("in", 2)])),
            (buckets.end, bucket(&[("after", 5)])),
        ];
        let answer = answer(query, &[&all]);
        assert_eq!(answer.series.len(), 1);
        let counts = answer.series[0].points.iter().map(|point| point.1);
        let counts: Vec<_> = counts.collect();
        assert_eq!((counts[0], counts[59], counts.len()), (1, 2, 60));
    }

    #[test]
    fn the_largest_types_are_named_and_the_rest_is_summed() {
        let query = "window=2s&step=second";
        let start = parse(query).unwrap().buckets.start;
        let row = |rank: u8| {
            (
                field("default", &format!("t{rank:02}")),
                i64::from(rank) + 1,
            )
        };
        let all = [
            (start, (0..60).map(row).collect()),
            (start + 1, bucket(&[(OTHER_TYPE, 1_000), ("t00", 1)])),
        ];
        let series = answer(query, &[&all]).series;
        assert_eq!(series.len(), SERIES_MAX + 1);
        assert_eq!(
            (series[0].event_type.as_str(), series[0].total),
            ("t59", 60)
        );
        let other = series.last().unwrap();
        // Ranks 1 to 10 add up to 55; t00 has one more in the second bucket.
        assert_eq!(other.event_type, OTHER_TYPE);
        assert_eq!(
            other.points.iter().map(|point| point.1).collect::<Vec<_>>(),
            [55, 1_001]
        );
    }

    #[test]
    fn an_endless_list_of_types_takes_bounded_memory() {
        let query = "window=1s&step=second";
        let start = parse(query).unwrap().buckets.start;
        let row = |n: u32| (field("default", &format!("t{n:0>90}")), 10);
        let all = (0..100_000).map(row).collect();
        let answer = answer(query, &[&[(start, all)]]);
        let total: i64 = answer.series.iter().map(|series| series.total).sum();
        assert_eq!(total, 1_000_000);
        assert_eq!(answer.series.len(), SERIES_MAX + 1);
        assert!(serde_json::to_vec(&answer).unwrap().len() < 256 * 1_024);
    }
}
