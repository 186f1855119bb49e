//! From what was seen of a run to its figures. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::load::LoadReport;
use crate::measure::prometheus::Scrape;
use crate::measure::watch::{Role, Snapshot, Timeline};
use crate::plan::Plan;

/// Figures by name; units are in the names: `_per_s` events per second, `_ms`, `_mib`, `_pct`,
/// `cpu_*` CPU seconds per million events.
pub type Figures = BTreeMap<String, f64>;

/// A load holds while the backlog stays below this much of it.
const BACKLOG_MAX: Duration = Duration::from_secs(1);
/// Growth of the backlog, as a share of the rate, that is noise: a backlog of one bulk comes and
/// goes. Over the half minute that is looked at in a full run it is less than 0.3 s of load.
const SLOPE_MAX: f64 = 0.01;
/// Share of the asked rate that must be accepted.
const ACCEPTED_MIN: f64 = 0.99;
const MIB: f64 = 1_048_576.0;

/// The figures of a run.
#[must_use]
pub fn of(
    plan: &Plan,
    report: &LoadReport,
    timeline: &Timeline,
    [ingest, processor]: &[Scrape; 2],
) -> Figures {
    let mut figures = Figures::new();
    let mut set = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    let seconds = plan.measured.as_secs_f64();
    let accepted = count(report.measured_accepted);
    set("accepted_per_s", accepted / seconds);
    if let Some(rate) = plan.load.rate() {
        set("asked_per_s", rate);
    }
    set("refused_events", count(report.refused.values().sum()));
    set("unconfirmed_events", count(report.unconfirmed));
    set("unsent_events", count(report.unsent));
    for (name, quantiles) in [
        ("answer", Some(report.answer)),
        ("send_delay", Some(report.send_delay)),
        ("stored", timeline.stored),
    ] {
        let Some(quantiles) = quantiles else { continue };
        set(&format!("{name}_p50_ms"), quantiles.p50);
        set(&format!("{name}_p99_ms"), quantiles.p99);
        set(&format!("{name}_p999_ms"), quantiles.p999);
        set(&format!("{name}_max_ms"), quantiles.max);
    }
    let samples = timeline.stored.map_or(0, |stored| stored.count);
    set("latency_samples", count(samples));
    set("cpu_generator", per_million(report.cpu_s, accepted));
    set("rss_generator_mib", count(report.rss_bytes) / MIB);
    let means = [
        ("frame_events", ingest, "evp_ingest_frame_events", "", 1.0),
        (
            "bulk_events",
            processor,
            "evp_processor_bulk_events",
            "",
            1.0,
        ),
        ("insert_ms", processor, STAGES, "{stage=\"insert\"}", 1e3),
        ("receipt_ms", processor, STAGES, "{stage=\"receipt\"}", 1e3),
        ("commit_ms", processor, STAGES, "{stage=\"commit\"}", 1e3),
    ];
    for (name, scrape, histogram, labels, unit) in means {
        if let Some(mean) = scrape.mean(histogram, labels) {
            set(name, mean * unit);
        }
    }
    if let (Some(first), Some(last)) = (timeline.snapshots.first(), timeline.snapshots.last()) {
        processes(&mut figures, timeline, (first, last), accepted);
        let asked = stored_per_second(timeline)
            .into_iter()
            .zip(1..=plan.measured.as_secs());
        let lowest = asked.map(|(stored, _)| stored).reduce(f64::min);
        figures.insert("stored_lowest_per_s".to_owned(), lowest.unwrap_or_default());
        if plan.until_stored {
            tenths(&mut figures, timeline, (first, last));
        }
        machine(&mut figures, timeline, (first, last), report.cpu_s);
        backlog(&mut figures, plan, timeline, report);
    }
    figures
}

const STAGES: &str = "evp_processor_bulk_duration_seconds";

/// CPU per million events and memory of each process.
fn processes(
    figures: &mut Figures,
    timeline: &Timeline,
    (first, last): (&Snapshot, &Snapshot),
    accepted: f64,
) {
    let stored = stored_between(first, last);
    let seconds = (last.at - first.at).as_secs_f64();
    figures.insert("stored_per_s".to_owned(), stored / seconds);
    let (mut system, mut evp) = (0.0, 0.0);
    for (index, role) in timeline.roles.iter().enumerate() {
        let cpu = cpu_between(index, first, last);
        let events = match role {
            Role::Ingest => accepted,
            Role::Processor | Role::Redis | Role::Mongod | Role::Harness => stored,
        };
        let name = role.as_str();
        let cost = per_million(cpu, events);
        figures.insert(format!("cpu_{name}"), cost);
        if *role != Role::Harness {
            system += cost;
        }
        if matches!(role, Role::Ingest | Role::Processor | Role::Redis) {
            evp += cost;
        }
        let used = |snapshot: &Snapshot| snapshot.usage.get(index).copied().unwrap_or_default();
        let rss_max = count(used(last).rss_max_bytes) / MIB;
        figures.insert(format!("rss_{name}_mib"), rss_max);
        let middle = timeline.snapshots.get(timeline.snapshots.len() / 2);
        if let Some(middle) = middle {
            let growth = count(used(last).rss_bytes) / count(used(middle).rss_bytes);
            figures.insert(format!("rss_growth_{name}"), growth);
        }
    }
    figures.insert("cpu_system".to_owned(), system);
    figures.insert("cpu_evp".to_owned(), evp);
    let acknowledged = signed(last.totals.acknowledged_events);
    figures.insert("acknowledged_millions".to_owned(), acknowledged / 1e6);
    if let Some(ratio) = growth(timeline, (first, last)) {
        figures.insert("mongod_growth".to_owned(), ratio);
    }
}

/// Tells the CPU that building an index took as a part of mongod's CPU per event.
pub fn spread_build(figures: &mut Figures, plan: &Plan) {
    let figure = |name: &str| figures.get(name).copied();
    let stored = figure("stored_per_s").unwrap_or_default() * plan.measured.as_secs_f64();
    if let Some(build_s) = figure("build_cpu_s") {
        figures.insert("cpu_build".to_owned(), per_million(build_s, stored));
    }
}

/// The figure of mongod's CPU per event in the tenth `number` of the events, from 1 on.
#[must_use]
pub fn tenth(number: usize) -> String {
    format!("cpu_mongod_tenth_{number:02}")
}

/// mongod's CPU per event for each tenth of the events.
fn tenths(figures: &mut Figures, timeline: &Timeline, (first, last): (&Snapshot, &Snapshot)) {
    let Some(index) = timeline.roles.iter().position(|role| *role == Role::Mongod) else {
        return;
    };
    let all = stored_between(first, last);
    let mut from = first;
    for number in 1..=10_u32 {
        let end = all * f64::from(number) / 10.0;
        let reached = |snapshot: &&Snapshot| stored_between(first, snapshot) >= end;
        let to = timeline.snapshots.iter().find(reached).unwrap_or(last);
        let cost = per_million(cpu_between(index, from, to), stored_between(from, to));
        figures.insert(tenth(number as usize), cost);
        from = to;
    }
}

/// mongod's CPU per event for the last tenth of the events, over that for the first tenth.
fn growth(timeline: &Timeline, (first, last): (&Snapshot, &Snapshot)) -> Option<f64> {
    let index = timeline
        .roles
        .iter()
        .position(|role| *role == Role::Mongod)?;
    let all = &timeline.snapshots;
    let tenth = stored_between(first, last) / 10.0;
    let cost = |from: &Snapshot, to: &Snapshot| {
        per_million(cpu_between(index, from, to), stored_between(from, to))
    };
    let early_end = all
        .iter()
        .find(|snapshot| stored_between(first, snapshot) >= tenth)?;
    let late_begin = all
        .iter()
        .rfind(|snapshot| stored_between(snapshot, last) >= tenth)?;
    let (early, late) = (cost(first, early_end), cost(late_begin, last));
    (early > 0.0).then(|| late / early)
}

fn machine(
    figures: &mut Figures,
    timeline: &Timeline,
    (first, last): (&Snapshot, &Snapshot),
    generator_s: f64,
) {
    let host = last.host.since(&first.host);
    let seconds = (last.at - first.at).as_secs_f64();
    let watched: f64 = (0..timeline.roles.len())
        .map(|index| cpu_between(index, first, last))
        .sum();
    let harness: f64 = timeline
        .roles
        .iter()
        .enumerate()
        .filter(|(_, role)| **role == Role::Harness)
        .map(|(index, _)| cpu_between(index, first, last))
        .sum();
    let peak = timeline
        .snapshots
        .iter()
        .map(|snapshot| snapshot.redis_bytes)
        .max()
        .unwrap_or_default();
    let values = [
        ("cores", (watched - harness + generator_s) / seconds),
        (
            "other_cores",
            (host.busy_s - watched - generator_s).max(0.0) / seconds,
        ),
        ("idle_pct", host.percent(host.idle_s)),
        ("iowait_pct", host.percent(host.iowait_s)),
        ("steal_pct", host.percent(host.steal_s)),
        ("redis_peak_mib", count(peak) / MIB),
    ];
    for (name, value) in values {
        figures.insert(name.to_owned(), value);
    }
    let appended = signed(last.totals.appended_events - first.totals.appended_events);
    let grown = count(last.redis_bytes) - count(first.redis_bytes);
    // Bytes per event are megabytes per million events.
    figures.insert(
        "backlog_mb_per_million".to_owned(),
        grown / appended.max(1.0),
    );
}

fn backlog(figures: &mut Figures, plan: &Plan, timeline: &Timeline, report: &LoadReport) {
    let end = plan.measured.saturating_sub(BACKLOG_MAX);
    let last_second: Vec<f64> = timeline
        .backlog
        .iter()
        .filter(|(at, _)| *at >= end)
        .map(|(_, events)| signed(*events))
        .collect();
    let at_end = last_second.iter().sum::<f64>() / last_second.len().max(1) as f64;
    let half: Vec<(f64, f64)> = timeline
        .backlog
        .iter()
        .filter(|(at, _)| *at >= plan.measured / 2)
        .map(|(at, events)| (at.as_secs_f64(), signed(*events)))
        .collect();
    let slope = slope(&half);
    let accepted = figures.get("accepted_per_s").copied().unwrap_or_default();
    let rate = plan.load.rate().unwrap_or(accepted);
    let nothing_failed = report.refused.is_empty() && report.unconfirmed == 0;
    let holds = nothing_failed
        && accepted >= rate * ACCEPTED_MIN
        && at_end <= rate * BACKLOG_MAX.as_secs_f64()
        && slope <= rate * SLOPE_MAX;
    figures.insert("backlog_end_events".to_owned(), at_end);
    figures.insert("backlog_slope_per_s".to_owned(), slope);
    figures.insert("holds".to_owned(), f64::from(u8::from(holds)));
}

/// Slope of the line through `points` with the least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let number = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / number;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / number;
    let above: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

/// Events stored in each second.
#[must_use]
pub fn stored_per_second(timeline: &Timeline) -> Vec<f64> {
    let pairs = timeline.snapshots.windows(2);
    pairs
        .filter_map(|pair| match pair {
            [first, last] => Some(stored_between(first, last)),
            _ => None,
        })
        .collect()
}

fn stored_between(first: &Snapshot, last: &Snapshot) -> f64 {
    signed(last.totals.acknowledged_events - first.totals.acknowledged_events)
}

fn cpu_between(index: usize, first: &Snapshot, last: &Snapshot) -> f64 {
    let cpu = |snapshot: &Snapshot| snapshot.usage.get(index).map_or(0.0, |usage| usage.cpu_s);
    cpu(last) - cpu(first)
}

fn per_million(cpu_s: f64, events: f64) -> f64 {
    if events > 0.0 {
        cpu_s * 1e6 / events
    } else {
        0.0
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes of a run have far fewer than 52 bits"
)]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run have far fewer than 52 bits"
)]
fn signed(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
