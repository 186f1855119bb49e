use evp_shared::stream::Totals;

use super::*;
use crate::load::{Load, Quantiles};
use crate::measure::host::HostCpu;
use crate::measure::process::Usage;
use crate::stack::Layout;

fn plan(rate: f64) -> Plan {
    Plan {
        layout: Layout::new(&[]),
        load: Load::open(rate, 100),
        beside: None,
        warmup: Duration::ZERO,
        measured: Duration::from_secs(10),
        until_stored: false,
        patience: Duration::ZERO,
    }
}

/// Ten seconds of 1,000 events/s, mongod using 10 ms for each 1,000; `backlog` by time.
fn timeline(backlog: impl Fn(f64) -> f64) -> Timeline {
    let snapshot = |second: u64| Snapshot {
        at: Duration::from_secs(second),
        totals: Totals {
            acknowledged_events: i64::try_from(second * 1_000).unwrap(),
            ..Totals::default()
        },
        usage: vec![Usage {
            cpu_s: 0.01 * count(second),
            rss_bytes: 1 << 20,
            rss_max_bytes: 2 << 20,
        }],
        redis_bytes: 3 << 20,
        host: HostCpu {
            busy_s: 0.03 * count(second),
            idle_s: 1.97 * count(second),
            ..HostCpu::default()
        },
    };
    Timeline {
        roles: vec![Role::Mongod],
        snapshots: (0..=10).map(snapshot).collect(),
        backlog: (0..=100)
            .map(|tenth| {
                let at = Duration::from_millis(tenth * 100);
                #[expect(clippy::cast_possible_truncation, reason = "a small test value")]
                let events = backlog(at.as_secs_f64()) as i64;
                (at, events)
            })
            .collect(),
        stored: Some(Quantiles::default()),
    }
}

fn report() -> LoadReport {
    LoadReport {
        measured_accepted: 10_000,
        cpu_s: 0.1,
        ..LoadReport::default()
    }
}

fn figures(backlog: impl Fn(f64) -> f64, report: &LoadReport) -> Figures {
    let scrapes = [Scrape::default(), Scrape::default()];
    of(&plan(1_000.0), report, &timeline(backlog), &scrapes)
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6
}

#[test]
fn cpu_is_per_million_events_and_what_others_used_is_told() {
    let figures = figures(|_| 50.0, &report());
    assert!(near(figures["cpu_mongod"], 10.0));
    assert!(near(figures["cpu_generator"], 10.0));
    assert!(near(figures["stored_per_s"], 1_000.0));
    assert!(near(figures["cores"], 0.02));
    assert!(near(figures["other_cores"], 0.01));
    assert!(near(figures["mongod_growth"], 1.0));
    assert!(near(figures["rss_mongod_mib"], 2.0));
}

#[test]
fn growth_is_the_last_tenth_of_the_events_over_the_first() {
    let mut timeline = timeline(|_| 0.0);
    for snapshot in &mut timeline.snapshots {
        let later = snapshot.at.as_secs_f64() - 5.0;
        snapshot.usage[0].cpu_s += 0.01 * later.max(0.0);
    }
    let (first, last) = (&timeline.snapshots[0], &timeline.snapshots[10]);
    let ratio = growth(&timeline, (first, last)).unwrap();
    assert!(near(ratio, 2.0), "{ratio}");
}

#[test]
fn a_load_holds_while_the_backlog_does_not_grow_and_nothing_fails() {
    let holds = |figures: &Figures| near(figures["holds"], 1.0);
    assert!(holds(&figures(|_| 50.0, &report())));
    assert!(
        holds(&figures(|at| 800.0 - 50.0 * at, &report())),
        "it shrinks"
    );
    assert!(!holds(&figures(|at| 20.0 * at, &report())), "it grows");
    assert!(!holds(&figures(|_| 1_100.0, &report())), "it is large");
    let late = LoadReport {
        measured_accepted: 9_800,
        ..report()
    };
    assert!(!holds(&figures(|_| 50.0, &late)), "not all was taken");
    let refused = LoadReport {
        refused: [(503, 1)].into(),
        ..report()
    };
    assert!(!holds(&figures(|_| 50.0, &refused)), "some was refused");
}
