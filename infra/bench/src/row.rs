//! What is measured: the rows of docs/BENCHMARKS.md, each with the figure to reach.

use std::time::Duration;

use crate::load::{IdKind, Load, Pace};
use crate::plan::Plan;
use crate::results::Run;
use crate::stack::Layout;

const NONE: &[&str] = &[];
const TYPE: &[&str] = &["type"];
const DEFAULT: &[&str] = &["type", "user"];
const CONNECTIONS: u16 = 128;

/// Millions of documents the row of growth stores.
pub const GROWTH_MILLIONS: f64 = 50.0;
/// A second in which less than this share of the asked rate is stored is a stall.
pub const STALL_SHARE: f64 = 0.5;

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub case: &'static str,
    /// What it needs.
    pub layout: Layout,
    /// What is sent.
    pub load: Load,
    /// What is to be reached.
    pub goal: Goal,
    /// How often and how long it runs.
    pub length: Length,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// The load holds: the backlog does not grow, nothing fails.
    Holds,
    /// A closed loop that stores this many events per second, with a backlog that does not grow.
    Stores(f64),
    /// The load holds, within these times in ms.
    Within {
        /// p99 of the answers.
        answer_p99: Option<f64>,
        /// p50 from POST to stored.
        stored_p50: Option<f64>,
        /// p99 from POST to stored.
        stored_p99: f64,
    },
    /// The load holds, and mongod's CPU per event grows at most by this factor from the first tenth
    /// of the events to the last, on the way to [`GROWTH_MILLIONS`].
    Growth(f64),
    /// The load holds, no second is a stall ([`STALL_SHARE`]), and the memory of the services and
    /// of Redis grows at most by this factor in the second half.
    Flat(f64),
    /// A million events in the backlog take at most this many MB of Redis' memory.
    BacklogMb(f64),
}

/// How often and how long a row runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As long and as often as asked for.
    Usual,
    /// Once, for so long, and only when the full table is asked for.
    Long(Duration),
}

impl Row {
    /// The run of this row that measures for `measured`.
    #[must_use]
    pub fn plan(&self, warmup: Duration, measured: Duration) -> Plan {
        let measured = match self.length {
            Length::Usual => measured,
            Length::Long(long) => long,
        };
        Plan {
            layout: self.layout,
            load: self.load.clone(),
            warmup,
            measured,
            patience: Duration::from_secs(720),
        }
    }

    /// Whether `run` measured as long as a long row asks for; the others have no length of their
    /// own.
    #[must_use]
    pub fn is_as_long(&self, run: &Run) -> bool {
        match self.length {
            Length::Usual => true,
            Length::Long(long) => u128::from(long.as_secs()) == run.stored_per_second.len() as u128,
        }
    }

    /// What is to be reached, in words.
    #[must_use]
    pub fn reach(&self) -> String {
        let rate = match self.load.pace {
            Pace::Open(rate) => format!("holds {} ev/s", thousands(rate)),
            Pace::Closed => String::new(),
        };
        match self.goal {
            Goal::Holds => rate,
            Goal::Stores(target) => format!("holds {} ev/s", thousands(target)),
            Goal::Within {
                answer_p99,
                stored_p50,
                stored_p99,
            } => {
                let answer = answer_p99.map(|ms| format!("answer p99 {ms} ms; "));
                let stored = stored_p50.map(|ms| format!("p50 {ms}, "));
                format!(
                    "{}stored {}p99 {stored_p99} ms",
                    answer.unwrap_or_else(|| "holds; ".to_owned()),
                    stored.unwrap_or_default()
                )
            }
            Goal::Growth(factor) => format!("{rate}, mongod CPU/event at most {factor}x"),
            Goal::Flat(_) => "60 % of the highest rate holds, no stall, memory flat".to_owned(),
            Goal::BacklogMb(mb) => format!("at most {mb} MB of Redis"),
        }
    }
}

/// A number with its thousands set off.
#[must_use]
pub fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::from(if number <= -0.5 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn layout(indexes: &'static [&'static str]) -> Layout {
    Layout {
        indexes,
        replica_set: false,
        processor: true,
    }
}

fn holds(
    name: &'static str,
    case: &'static str,
    indexes: &'static [&'static str],
    load: Load,
) -> Row {
    Row {
        name,
        case,
        layout: layout(indexes),
        load,
        goal: Goal::Holds,
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
                ..layout(NONE)
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
    rows.extend(long_rows());
    rows
}

fn latency_rows() -> [Row; 3] {
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
            goal: Goal::Within {
                answer_p99: None,
                stored_p50: None,
                stored_p99: 150.0,
            },
            ..holds(
                "duplicates",
                "5 % duplicates (UUIDv7) at 50,000 ev/s",
                DEFAULT,
                Load {
                    ids: IdKind::V7,
                    duplicates: 0.05,
                    ..base
                },
            )
        },
        Row {
            layout: Layout {
                processor: false,
                ..layout(NONE)
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

fn long_rows() -> [Row; 2] {
    [
        Row {
            goal: Goal::Growth(1.15),
            length: Length::Long(Duration::from_secs(510)),
            ..holds(
                "growth",
                "growth to 50 million documents, requests of 500",
                TYPE,
                Load::open(100_000.0, 500),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_run_and_has_a_name_of_its_own() {
        let rows = all();
        for row in &rows {
            assert_eq!(row.load.check(), Ok(()), "{}", row.name);
        }
        let names: std::collections::HashSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn thousands_are_set_off() {
        let texts = [0.0, 999.0, 1_000.0, 1_234_567.0, -1_500.0].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567", "-1,500"]);
    }
}
