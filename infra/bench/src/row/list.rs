//! The rows there are.

use std::time::Duration;

use super::{Goal, Length, Row};
use crate::beside::{Act, Beside};
use crate::load::spread::Spread;
use crate::load::times::Times;
use crate::load::{IdKind, Load};
use crate::plan::Plan;
use crate::stack::Layout;
use crate::without::Without;

const NONE: &[&str] = &[];
const TYPE: &[&str] = &["type"];
const DEFAULT: &[&str] = &["type", "user"];
const CONNECTIONS: u16 = 128;
/// What every database grows past.
const SMALL_CACHE_GB: f32 = 1.0;

fn holds(
    name: &'static str,
    case: &'static str,
    indexes: &'static [&'static str],
    load: Load,
) -> Row {
    Row {
        name,
        case,
        layout: Layout::new(indexes),
        load,
        beside: None,
        goal: Goal::Holds,
        without: None,
        length: Length::Usual,
    }
}

fn client_ids(name: &'static str, case: &'static str, ids: IdKind) -> Row {
    // 90 % of the rate with ids of the server: "within 10 %".
    let load = Load {
        ids,
        ..Load::open(117_000.0, 100)
    };
    holds(name, case, NONE, load)
}

fn single(name: &'static str, indexes: &'static [&'static str], target: f64) -> Row {
    let case = "single-event requests, 128 connections";
    Row {
        goal: Goal::Stores(target),
        ..holds(name, case, indexes, Load::closed(CONNECTIONS))
    }
}

/// All rows, in the order of the table.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = vec![
        holds(
            "r500-none",
            "requests of 500",
            NONE,
            Load::open(200_000.0, 500),
        ),
        holds(
            "r500-type",
            "requests of 500",
            TYPE,
            Load::open(160_000.0, 500),
        ),
        holds(
            "r500-default",
            "requests of 500",
            DEFAULT,
            Load::open(110_000.0, 500),
        ),
        holds(
            "r100-none",
            "requests of 100",
            NONE,
            Load::open(130_000.0, 100),
        ),
        holds(
            "r100-default",
            "requests of 100",
            DEFAULT,
            Load::open(90_000.0, 100),
        ),
        client_ids("r100-v7", "requests of 100, eventId UUIDv7", IdKind::V7),
        client_ids(
            "r100-v4",
            "requests of 100, eventId UUIDv4, timestamp",
            IdKind::V4,
        ),
        Row {
            layout: Layout {
                replica_set: true,
                ..Layout::new(NONE)
            },
            ..holds(
                "r100-replica-set",
                "requests of 100, one-node replica set",
                NONE,
                Load::open(80_000.0, 100),
            )
        },
        single("single-none", NONE, 50_000.0),
        single("single-default", DEFAULT, 42_000.0),
    ];
    rows.extend(latency_rows());
    rows.extend(duplicate_rows());
    rows.extend(long_rows());
    rows.extend(cost_rows());
    rows.extend(key_rows());
    rows.extend(span_rows());
    rows
}

fn latency_rows() -> [Row; 2] {
    let base = Load::open(50_000.0, 100);
    let backlog = Load::open(100_000.0, 100);
    [
        Row {
            goal: Goal::Within {
                answer_p99: Some(15.0),
                stored_p50: Some(6.0),
                stored_p99: 60.0,
            },
            ..holds(
                "latency",
                "50,000 ev/s in requests of 100",
                DEFAULT,
                base.clone(),
            )
        },
        Row {
            layout: Layout {
                processor: false,
                ..Layout::new(NONE)
            },
            goal: Goal::BacklogMb(110.0),
            ..holds(
                "backlog",
                "backlog of 1 million events, requests of 100",
                NONE,
                backlog,
            )
        },
    ]
}

/// What comes twice: single events, and whole requests.
fn duplicate_rows() -> [Row; 2] {
    let base = Load {
        ids: IdKind::V7,
        ..Load::open(50_000.0, 100)
    };
    [
        Row {
            goal: Goal::Within {
                answer_p99: None,
                stored_p50: None,
                stored_p99: 100.0,
            },
            without: without(|plan| plan.load.duplicates = 0.0, 1.25),
            ..holds(
                "duplicates",
                "5 % duplicates (UUIDv7) at 50,000 ev/s",
                DEFAULT,
                Load {
                    duplicates: 0.05,
                    ..base
                },
            )
        },
        Row {
            goal: Goal::Within {
                answer_p99: None,
                stored_p50: None,
                stored_p99: 100.0,
            },
            without: Some(Without {
                // What one cost that came alone (E11000).
                duplicate_max: Some(28.0),
                ..Without::new(|plan| plan.load.duplicates = 0.0)
            }),
            ..holds(
                "dup-retry",
                "every other request sent before (UUIDv7), at 50,000 ev/s",
                DEFAULT,
                Load {
                    duplicates: 0.5,
                    retried: true,
                    ..base.clone()
                },
            )
        },
    ]
}

/// A load as it is in the long run: many users and types, few of them busy.
fn real(rate: f64, request_events: u16) -> Load {
    Load {
        ids: IdKind::V7,
        spread: Spread::Zipf { users: 100_000 },
        ..Load::open(rate, request_events)
    }
}

/// A load whose event times run through many spans.
fn spans() -> Load {
    Load {
        times: Times::Days(20),
        ..real(90_000.0, 500)
    }
}

fn long_rows() -> [Row; 3] {
    [
        Row {
            layout: Layout {
                cache_gb: Some(SMALL_CACHE_GB),
                ..Layout::new(DEFAULT)
            },
            goal: Goal::Growth(1.2),
            length: Length::Events(20_000_000),
            ..holds(
                "beyond-cache",
                "20 million events of 20 days, cache 1 GB, requests of 500",
                DEFAULT,
                spans(),
            )
        },
        Row {
            goal: Goal::Growth(1.15),
            length: Length::Events(50_000_000),
            ..holds(
                "growth",
                "growth to 50 million events of 20 days, requests of 500",
                DEFAULT,
                spans(),
            )
        },
        Row {
            goal: Goal::Flat(1.1),
            length: Length::Long(Duration::from_secs(600)),
            // Its rate is replaced by 60 % of the highest one that holds.
            ..holds("soak", "10-minute soak", DEFAULT, Load::open(54_000.0, 100))
        },
    ]
}

fn without(take: fn(&mut Plan), cpu_max: f64) -> Option<Without> {
    Some(Without {
        cpu_max: Some(cpu_max),
        ..Without::new(take)
    })
}

/// A row at 50,000 events/s with a small cache, once.
fn small_cache(name: &'static str, case: &'static str, load: Load) -> Row {
    Row {
        layout: Layout {
            cache_gb: Some(SMALL_CACHE_GB),
            ..Layout::new(DEFAULT)
        },
        goal: Goal::Steady,
        length: Length::Events(6_000_000),
        ..holds(name, case, DEFAULT, load)
    }
}

/// What some property of a load costs.
fn cost_rows() -> [Row; 3] {
    let base = real(50_000.0, 100);
    let types = Load {
        types: 1_000,
        ..base.clone()
    };
    let late = Load {
        times: Times::Late,
        ..base.clone()
    };
    let tenants = small_cache("tenants", "100 tenants of 10 types, cache 1 GB", base);
    [
        Row {
            without: without(|plan| plan.load.types = 10, 1.5),
            ..small_cache("types", "1,000 types, cache 1 GB", types)
        },
        Row {
            without: without(|plan| plan.load.times = Times::Due, 1.3),
            ..small_cache(
                "late",
                "a tenth of the events up to 30 days late, cache 1 GB",
                late,
            )
        },
        Row {
            layout: Layout {
                tenants: 100,
                ..tenants.layout
            },
            without: without(|plan| plan.layout.tenants = 1, 1.5),
            ..tenants
        },
    ]
}

/// What keys, tenants and TLS cost the services and Redis.
fn key_rows() -> [Row; 5] {
    let row = |name, case, layout, without: (fn(&mut Plan), f64), load| Row {
        layout,
        without: Some(Without {
            evp_max: Some(without.1),
            ..Without::new(without.0)
        }),
        ..holds(name, case, NONE, load)
    };
    let open: fn(&mut Plan) = |plan| plan.layout.tenants = 0;
    let of = |tenants| Layout {
        tenants,
        ..Layout::new(NONE)
    };
    // With `default` as many as there may be.
    let most = of(999);
    let usual = Load::open(80_000.0, 100);
    let one = Load {
        connections: CONNECTIONS,
        ..Load::open(20_000.0, 1)
    };
    let many = Load {
        types: 20,
        ..Load::open(50_000.0, 100)
    };
    let alone: fn(&mut Plan) = |plan| plan.layout.tenants = 1;
    let tls = Layout { tls: true, ..of(0) };
    let plain: fn(&mut Plan) = |plan| plan.layout.tls = false;
    let memory = "9,990 keys, requests of 100: ingest's memory";
    let hundreds = "requests of 100 with a key";
    let single = "single-event requests with a key";
    let tenants = "999 tenants of 20 types, requests of 100";
    let encrypted = "requests of 100 over TLS, kept alive";
    [
        row("keys-r100", hundreds, of(1), (open, 1.02), usual.clone()),
        row("keys-single", single, of(1), (open, 1.04), one),
        row("tenants-r100", tenants, most, (alone, 1.5), many),
        row("tls-r100", encrypted, tls, (plain, 1.15), usual),
        Row {
            layout: Layout {
                tenant_keys: 10,
                ..most
            },
            ..holds("keys-10000", memory, NONE, Load::open(100_000.0, 100))
        },
    ]
}

fn span_rows() -> [Row; 2] {
    let take = |plan: &mut Plan| {
        if let Some(beside) = &mut plan.beside {
            beside.act = None;
        }
    };
    let dropping = small_cache(
        "dropping",
        "a span of 5 million is dropped beside 50,000 ev/s, cache 1 GB",
        real(50_000.0, 100),
    );
    let beside = |events, act| {
        Some(Beside {
            events,
            is_sealed: act == Act::Drop,
            act: Some(act),
        })
    };
    [
        Row {
            beside: beside(10_000_000, Act::Seal),
            without: without(take, 1.15),
            ..small_cache(
                "sealing",
                "a span of 10 million is sealed beside 50,000 ev/s, cache 1 GB",
                real(50_000.0, 100),
            )
        },
        Row {
            layout: Layout {
                // Without, a drop goes through its marks for a day.
                hurry: 86_400,
                ..dropping.layout
            },
            beside: beside(5_000_000, Act::Drop),
            without: Some(Without {
                answer_max: Some(2.0),
                ..Without::new(take)
            }),
            // Short: what happens in one second of many is no part of a p99.
            length: Length::Events(500_000),
            ..dropping
        },
    ]
}
