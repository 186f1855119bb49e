use evp_shared::stream::TypeCounts;

use super::super::block::BlockId;
use super::*;

const NOW_MS: u64 = 1_800_000_030_500;
const KNOWN: &[&str] = &["window", "step", "type"];

fn parse(query: &str) -> Result<SeriesRequest, Problem> {
    let uri = format!("/metrics/series?{query}").parse().unwrap();
    SeriesRequest::parse(&Params::parse(&uri, KNOWN)?, NOW_MS)
}

fn bucket(rows: &[(&str, i64)]) -> TypeCounts {
    let row = |(kind, count): &(&str, i64)| ((*kind).into(), *count);
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
fn answer(query: &str, partitions: &[&[(u64, TypeCounts)]]) -> SeriesAnswer {
    let request = parse(query).unwrap();
    let mut fold = SeriesFold::new(&request);
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
    let other = bucket(&[("click", 3)]);
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
    let row = |rank: u8| (format!("t{rank:02}").into(), i64::from(rank) + 1);
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
    let row = |n: u32| (format!("t{n:0>90}").into(), 10);
    let all = (0..100_000).map(row).collect();
    let answer = answer(query, &[&[(start, all)]]);
    let total: i64 = answer.series.iter().map(|series| series.total).sum();
    assert_eq!(total, 1_000_000);
    assert_eq!(answer.series.len(), SERIES_MAX + 1);
    assert!(serde_json::to_vec(&answer).unwrap().len() < 256 * 1_024);
}
