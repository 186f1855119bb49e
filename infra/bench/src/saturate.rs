//! The highest rate that holds.

use std::time::Duration;

use crate::console::print;
use crate::load::Pace;
use crate::plan::Plan;
use crate::row::{Row, thousands};
use crate::run::run;
use crate::stack::Environment;

/// How long each rate is tried. The half in which the backlog is looked at is longer than the time
/// between two checkpoints of mongod: with 20 s, each of them looked like a backlog that grows.
const PROBE: Duration = Duration::from_secs(40);
/// The search ends when it knows the rate this well.
const PRECISION: f64 = 0.04;
/// Rates tried at most.
const PROBES_MAX: usize = 12;

/// The run of `row` with which rates are tried.
#[must_use]
pub fn probe(row: &Row, warmup: Duration) -> Plan {
    Plan {
        measured: PROBE,
        until_stored: false,
        beside: None,
        ..row.plan(warmup, PROBE)
    }
}

/// Finds the highest rate at which `plan` holds, beginning with its own.
///
/// # Errors
/// A run failed, or no rate that was tried holds.
pub async fn search(environment: &Environment, plan: &Plan) -> anyhow::Result<f64> {
    let mut bounds = Bounds::default();
    let mut rate = plan.load.rate().unwrap_or(50_000.0);
    for _ in 0..PROBES_MAX {
        let mut plan = plan.clone();
        plan.load.pace = Pace::Open(rate);
        let figures = run(environment, &plan).await?.figures;
        let figure = |name: &str| figures.get(name).copied().unwrap_or_default();
        let holds = figure("holds") > 0.5;
        print(&format!(
            "{} ev/s {}: stored {}/s, {:.2} cores, backlog {}",
            thousands(rate),
            if holds { "holds" } else { "does not hold" },
            thousands(figure("stored_per_s")),
            figure("cores"),
            thousands(figure("backlog_end_events")),
        ));
        match bounds.next(rate, holds) {
            Some(next) => rate = next,
            None => break,
        }
    }
    bounds
        .holds
        .ok_or_else(|| anyhow::anyhow!("no rate that was tried holds"))
}

#[derive(Debug, Default)]
struct Bounds {
    holds: Option<f64>,
    fails: Option<f64>,
}

impl Bounds {
    /// The rate to try after `rate`; `None` when the highest is known well enough.
    fn next(&mut self, rate: f64, holds: bool) -> Option<f64> {
        if holds {
            self.holds = Some(self.holds.map_or(rate, |known| known.max(rate)));
        } else {
            self.fails = Some(self.fails.map_or(rate, |known| known.min(rate)));
        }
        match (self.holds, self.fails) {
            (Some(low), Some(high)) if high / low <= 1.0 + PRECISION => None,
            (Some(low), Some(high)) => Some(f64::midpoint(low, high)),
            (Some(low), None) => Some(low * 1.3),
            (None, Some(high)) => Some(high * 0.7),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_closes_in_on_the_highest_rate_that_holds() {
        for highest in [20_000.0, 90_000.0, 333_000.0] {
            let mut bounds = Bounds::default();
            let mut next = Some(100_000.0);
            let mut tried = 0;
            while let Some(rate) = next {
                next = bounds.next(rate, rate <= highest);
                tried += 1;
            }
            let found = bounds.holds.unwrap();
            assert!(found <= highest && found >= highest / 1.05, "{found}");
            assert!(tried <= PROBES_MAX, "{tried}");
        }
    }
}
