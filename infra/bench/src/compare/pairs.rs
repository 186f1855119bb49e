//! From the runs of pairs to ratios with their spread, and a verdict. Pure.

use crate::figures::Figures;
use crate::results::{Median, medians_of};
use crate::table::Grid;

/// The builds, by their index.
pub const NAMES: [&str; 2] = ["old", "new"];
/// A verdict on fewer pairs would be a guess.
const PAIRS_MIN: usize = 5;
/// A row of which more pairs failed is given up.
const FAILED_MAX: usize = 2;

/// What is compared, and how it is called.
const COMPARED: [(&str, &str); 7] = [
    (MORE_IS_BETTER, "events/s"),
    ("cpu_ingest", "CPU ingest"),
    ("cpu_processor", "CPU processor"),
    ("cpu_redis", "CPU Redis"),
    ("cpu_mongod", "CPU mongod"),
    ("answer_p50_ms", "answer p50"),
    ("answer_p99_ms", "answer p99"),
];
const MORE_IS_BETTER: &str = "stored_per_s";

const RULE: &str = "\
Median (lowest..highest) of the ratios new/old of all pairs; CPU: seconds per million events.
Worse than noise: worse in every pair. A row that looks so after its pairs is measured as often
again, and all of them count. Fewer than 5 pairs give no verdict.";

/// Which build is measured first in the pair `number`, and which then: old, new, new, old, ..., so
/// that neither gains by a machine that gets slower or faster meanwhile.
#[must_use]
pub fn order(number: usize) -> [usize; 2] {
    match number.is_multiple_of(2) {
        true => [0, 1],
        false => [1, 0],
    }
}

/// The pairs of a row.
#[derive(Debug, Clone)]
pub struct Pairs {
    wanted: usize,
    ratios: Vec<Figures>,
    failed: [usize; 2],
}

/// What the pairs of a row tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Some figure was better, or the same, in some pair.
    NotWorse,
    /// These figures were worse in every pair.
    Worse(Vec<&'static str>),
    /// Too few pairs were measured to tell.
    Unknown,
}

impl Pairs {
    /// None yet of those that are `wanted`.
    #[must_use]
    pub fn of(wanted: usize) -> Self {
        Self {
            wanted,
            ratios: Vec::new(),
            failed: [0; 2],
        }
    }

    /// Counts a pair with the figures of old and new, and says what came of it.
    pub fn push(&mut self, [old, new]: [&Figures; 2]) -> String {
        let ratio = |name: &str| {
            let (old, new) = (old.get(name)?, new.get(name)?);
            (*old > 0.0).then(|| (name.to_owned(), new / old))
        };
        let ratios: Figures = COMPARED
            .iter()
            .filter_map(|(name, _)| ratio(name))
            .collect();
        let texts = COMPARED.iter().filter_map(|(name, heading)| {
            let ratio = ratios.get(*name)?;
            Some(format!("{heading} {ratio:.3}"))
        });
        let text = texts.collect::<Vec<_>>().join(", ");
        self.ratios.push(ratios);
        text
    }

    /// Counts a pair as failed, by `build`.
    pub fn fail(&mut self, build: usize) {
        self.failed[build] += 1;
    }

    /// Pairs that count.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.ratios.len()
    }

    /// Pairs that were begun.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.counted() + self.failed()
    }

    /// How many are measured as things stand.
    #[must_use]
    pub fn of_how_many(&self) -> usize {
        match self.counted() < self.wanted {
            true => self.wanted,
            false => self.wanted * 2,
        }
    }

    /// Whether another pair is to be measured.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        let is_suspect = || self.wanted >= PAIRS_MIN && !self.always_worse().is_empty();
        self.failed() <= FAILED_MAX
            && (self.counted() < self.wanted || self.counted() < self.wanted * 2 && is_suspect())
    }

    /// What they tell when no more are wanted.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let worse = self.always_worse();
        if self.wants_more() || self.counted() < self.wanted.max(PAIRS_MIN) {
            Verdict::Unknown
        } else if worse.is_empty() {
            Verdict::NotWorse
        } else if self.counted() < self.wanted * 2 {
            // It looked worse, and measuring it again failed.
            Verdict::Unknown
        } else {
            Verdict::Worse(worse)
        }
    }

    fn failed(&self) -> usize {
        self.failed.iter().sum()
    }

    fn always_worse(&self) -> Vec<&'static str> {
        let is_worse = |name: &str, ratio: f64| match name {
            MORE_IS_BETTER => ratio < 1.0,
            _ => ratio > 1.0,
        };
        let always = |name: &str| {
            let mut ratios = self.ratios.iter().map(|pair| pair.get(name));
            ratios.all(|ratio| ratio.is_some_and(|ratio| is_worse(name, *ratio)))
        };
        let worse = COMPARED.iter().filter(|(name, _)| always(name));
        worse.map(|(_, heading)| *heading).collect()
    }

    fn cells(&self, row: &str) -> Vec<String> {
        let medians = medians_of(self.ratios.iter());
        let cell = |median: &Median| {
            let Median {
                value,
                lowest,
                highest,
            } = median;
            format!("{value:.3} ({lowest:.3}..{highest:.3})")
        };
        let [old, new] = self.failed;
        let failed = match old + new {
            0 => String::new(),
            _ => format!(", failed: {old} by old, {new} by new"),
        };
        let mut cells = vec![row.to_owned(), format!("{}{failed}", self.counted())];
        cells.extend(
            COMPARED.map(|(name, _)| medians.get(name).map_or_else(|| "-".to_owned(), cell)),
        );
        cells.push(match self.verdict() {
            Verdict::NotWorse => "not worse than noise".to_owned(),
            Verdict::Worse(figures) => format!("WORSE THAN NOISE: {}", figures.join(", ")),
            Verdict::Unknown => "too few pairs to tell".to_owned(),
        });
        cells
    }
}

/// The table of all rows.
#[must_use]
pub fn text(rows: &[(&str, &Pairs)]) -> String {
    let mut head = vec!["row", "pairs"];
    head.extend(COMPARED.map(|(_, heading)| heading));
    head.push("verdict");
    let mut grid = Grid::new(&head);
    for (row, pairs) in rows {
        grid.push(pairs.cells(row));
    }
    format!("{}{RULE}", grid.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of a build that is so many times as fast and needs so much of the CPU and time.
    fn figures(rate: f64, cost: f64) -> Figures {
        let names = COMPARED.iter().map(|(name, _)| (*name).to_owned());
        let value = |name: &str| if name == MORE_IS_BETTER { rate } else { cost };
        names.map(|name| (name.clone(), value(&name))).collect()
    }

    fn pairs(ratios: &[(f64, f64)]) -> Pairs {
        let mut pairs = Pairs::of(5);
        for (rate, cost) in ratios {
            pairs.push([&figures(1_000.0, 2.0), &figures(rate * 1_000.0, cost * 2.0)]);
        }
        pairs
    }

    #[test]
    fn each_build_is_as_often_the_first() {
        let order: Vec<usize> = (0..4).flat_map(order).collect();
        assert_eq!(order, [0, 1, 1, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn a_row_shows_median_and_spread_of_new_over_old() {
        let pairs = pairs(&[(0.9, 1.1), (1.0, 1.0), (1.2, 0.8), (1.1, 1.2), (1.0, 0.7)]);
        let text = text(&[("latency", &pairs)]);
        let line = text.lines().find(|line| line.contains("latency")).unwrap();
        assert!(line.contains("| 1.000 (0.900..1.200)"), "{line}");
        assert!(line.contains("| 1.000 (0.700..1.200)"), "{line}");
        assert!(line.contains("| not worse than noise"), "{line}");
    }

    #[test]
    fn worse_than_noise_is_worse_in_every_pair_and_as_many_again() {
        let mut suspect = pairs(&[(0.99, 0.9); 5]);
        assert!(suspect.wants_more() && suspect.of_how_many() == 10);
        assert_eq!(suspect.verdict(), Verdict::Unknown);
        for _ in 5..10 {
            assert!(suspect.wants_more());
            suspect.push([&figures(100.0, 1.0), &figures(99.0, 0.9)]);
        }
        assert!(!suspect.wants_more());
        assert_eq!(suspect.verdict(), Verdict::Worse(vec!["events/s"]));
        let mut cleared = pairs(&[(1.0, 1.01); 5]);
        assert!(cleared.wants_more());
        cleared.push([&figures(100.0, 1.0), &figures(100.0, 1.0)]);
        assert!(!cleared.wants_more());
        assert_eq!(cleared.verdict(), Verdict::NotWorse);
        let better = pairs(&[(1.1, 0.9); 5]);
        assert!(!better.wants_more());
        assert_eq!(better.verdict(), Verdict::NotWorse);
    }

    #[test]
    fn a_failed_pair_is_made_up_for_twice_and_told() {
        let mut pairs = pairs(&[(1.0, 1.0); 4]);
        pairs.fail(0);
        pairs.fail(1);
        assert!(pairs.wants_more());
        assert_eq!(pairs.begun(), 6);
        pairs.fail(1);
        assert!(!pairs.wants_more());
        assert_eq!(pairs.verdict(), Verdict::Unknown);
        let text = text(&[("latency", &pairs)]);
        assert!(text.contains("| 4, failed: 1 by old, 2 by new "), "{text}");
    }

    #[test]
    fn what_one_build_does_not_tell_is_not_judged() {
        let mut pairs = pairs(&[]);
        for _ in 0..5 {
            let mut new = figures(1.0, 2.0);
            new.retain(|name, _| !name.starts_with("cpu") && !name.starts_with("answer"));
            pairs.push([&figures(1.0, 1.0), &new]);
        }
        assert_eq!(pairs.verdict(), Verdict::NotWorse);
        assert!(text(&[("r", &pairs)]).contains("| -  "));
    }

    #[test]
    fn fewer_than_five_pairs_give_no_verdict() {
        let mut pairs = Pairs::of(1);
        pairs.push([&figures(1.0, 1.0), &figures(0.5, 2.0)]);
        assert!(!pairs.wants_more());
        assert_eq!(pairs.verdict(), Verdict::Unknown);
    }
}
