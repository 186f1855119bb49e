//! Histograms of seconds in which one value stands for many events.
//!
//! The recorder's own histograms keep each value until they are next emptied, so one that stands for
//! a thousand events would be kept, and timed, a thousand times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper ends of the buckets in seconds: from a frame on an idle system to a backlog of an hour.
const BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0,
];

static ALL: Mutex<Vec<Weighted>> = Mutex::new(Vec::new());

/// A histogram of seconds whose values have weights; clones share it.
#[derive(Debug, Clone)]
pub struct Weighted(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    name: &'static str,
    help: &'static str,
    /// Of each bucket alone, and of what lies beyond the last.
    events: [AtomicU64; BUCKETS.len() + 1],
    /// Microseconds of all events together.
    sum_us: AtomicU64,
}

impl Weighted {
    /// The histogram `name` of this process.
    pub fn named(name: &'static str, help: &'static str) -> Self {
        let mut all = ALL.lock();
        if let Some(known) = all.iter().find(|known| known.0.name == name) {
            return known.clone();
        }
        let new = Self(Arc::new(Cells {
            name,
            help,
            events: Default::default(),
            sum_us: AtomicU64::new(0),
        }));
        all.push(new.clone());
        new
    }

    /// Notes that each of `events` took `time`.
    pub fn record(&self, time: Duration, events: u64) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS.partition_point(|end| *end < seconds);
        self.0.events[bucket].fetch_add(events, Ordering::Relaxed);
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let us = us.saturating_mul(events);
        self.0.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn render(&self, text: &mut String) {
        let Cells { name, help, .. } = &*self.0;
        let mut sum = 0;
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} histogram\n"));
        let ends = BUCKETS.map(|end| end.to_string()).into_iter();
        let ends = ends.chain(["+Inf".to_owned()]);
        for (end, events) in ends.zip(&self.0.events) {
            sum += events.load(Ordering::Relaxed);
            text.push_str(&format!("{name}_bucket{{le=\"{end}\"}} {sum}\n"));
        }
        let seconds = Duration::from_micros(self.0.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        text.push_str(&format!("{name}_sum {seconds}\n{name}_count {sum}\n\n"));
    }
}

/// Appends all of this process to `text`.
pub(super) fn render(text: &mut String) {
    ALL.lock().iter().for_each(|one| one.render(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_as_often_as_it_has_events() {
        let one = Weighted::named("evp_test_weighted_seconds", "A test.");
        Weighted::named("evp_test_weighted_seconds", "A test.").record(Duration::ZERO, 3);
        one.record(Duration::from_millis(2_500), 1_000);
        one.record(Duration::from_secs(7_200), 2);
        let mut text = String::new();
        render(&mut text);
        for line in [
            "# TYPE evp_test_weighted_seconds histogram",
            r#"evp_test_weighted_seconds_bucket{le="0.005"} 3"#,
            r#"evp_test_weighted_seconds_bucket{le="1"} 3"#,
            r#"evp_test_weighted_seconds_bucket{le="2.5"} 1003"#,
            r#"evp_test_weighted_seconds_bucket{le="3600"} 1003"#,
            r#"evp_test_weighted_seconds_bucket{le="+Inf"} 1005"#,
            "evp_test_weighted_seconds_sum 16900",
            "evp_test_weighted_seconds_count 1005",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }
}
