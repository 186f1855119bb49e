//! What is measured: the rows of docs/BENCHMARKS.md, each with the figure to reach.

mod list;

use std::time::Duration;

pub use self::list::all;
use crate::beside::Beside;
use crate::load::times::Times;
use crate::load::{Load, Pace};
use crate::plan::Plan;
use crate::results::Run;
use crate::stack::Layout;
use crate::without::Without;

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
    /// What is done beside it.
    pub beside: Option<Beside>,
    /// What is to be reached.
    pub goal: Goal,
    /// The run that each of its runs is compared with.
    pub without: Option<Without>,
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
    /// of the events to the last.
    Growth(f64),
    /// The load holds, and no second is a stall ([`STALL_SHARE`]).
    Steady,
    /// The load holds, no second is a stall, and the memory of the services and
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
    /// Once, for so many events at the rate of its load, and only when the full table is asked for.
    Events(u64),
}

impl Row {
    /// The run of this row that measures for `measured`.
    #[must_use]
    pub fn plan(&self, warmup: Duration, measured: Duration) -> Plan {
        Plan {
            layout: Layout {
                has_past: self.load.times != Times::Due || self.beside.is_some(),
                ..self.layout
            },
            load: self.load.clone(),
            beside: self.beside,
            warmup,
            measured: self.measured(measured),
            until_stored: matches!(self.length, Length::Events(_)),
            patience: Duration::from_secs(720),
        }
    }

    fn measured(&self, usual: Duration) -> Duration {
        match (self.length, self.load.rate()) {
            (Length::Long(long), _) => long,
            #[expect(
                clippy::cast_precision_loss,
                reason = "the events of a run have far fewer than 52 bits"
            )]
            (Length::Events(events), Some(rate)) => {
                Duration::from_secs_f64((events as f64 / rate).ceil())
            }
            (Length::Usual | Length::Events(_), _) => usual,
        }
    }

    /// Whether `run` measured as long as a long row asks for; the others have no length of their
    /// own.
    #[must_use]
    pub fn is_as_long(&self, run: &Run) -> bool {
        match self.length {
            Length::Usual => true,
            Length::Long(long) => u128::from(long.as_secs()) == run.stored_per_second.len() as u128,
            Length::Events(_) => {
                let seconds = self.measured(Duration::ZERO).as_secs();
                run.stored_per_second.len() as u128 >= u128::from(seconds)
            }
        }
    }

    /// What is to be reached, in words.
    #[must_use]
    pub fn reach(&self) -> String {
        let rate = match self.load.pace {
            Pace::Open(rate) => format!("holds {} ev/s", thousands(rate)),
            Pace::Closed => String::new(),
        };
        let goal = match self.goal {
            Goal::Holds => rate,
            Goal::Steady => format!("{rate}, no stall"),
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
        };
        goal + &self.without.map_or_else(String::new, Without::reach)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_run_and_has_a_name_of_its_own() {
        let rows = all();
        for row in &rows {
            assert_eq!(row.load.check(), Ok(()), "{}", row.name);
            let has_events = matches!(row.length, Length::Events(_));
            assert!(!has_events || row.load.rate().is_some(), "{}", row.name);
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
