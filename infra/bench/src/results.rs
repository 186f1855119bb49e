//! What came of a session: its runs, their medians, and the file they are kept in.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::header::Header;
use crate::load::Load;

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where and with what.
    pub header: Header,
    /// How long was measured in each run, seconds.
    pub measured_s: u64,
    /// What the servers could do without EVP directly before and directly after a row, by the names
    /// of row and ceiling.
    #[serde(default)]
    pub around: BTreeMap<String, BTreeMap<String, [Figures; 2]>>,
    /// The runs of each row.
    pub rows: BTreeMap<String, Vec<Run>>,
    /// The load that was asked for in each row; the soak's rate is in its figures.
    #[serde(default)]
    pub loads: BTreeMap<String, Load>,
    /// Rows that could not be measured or did not reconcile, and why.
    pub failures: BTreeMap<String, String>,
}

impl Results {
    /// Reads them from a file of an earlier session.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no results", path.display()))
    }

    /// Writes them to a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Whole or not at all: an interruption must not cost what was measured.
        let draft = path.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was measured, by name; units are in the names.
    pub figures: Figures,
    /// Events stored in each second of the measured part.
    pub stored_per_second: Vec<f64>,
    /// Events appended and not committed, once a second.
    pub backlog: Vec<i64>,
}

/// Medians of several runs, and how far they lie apart.
#[must_use]
pub fn medians(runs: &[Run]) -> BTreeMap<String, Median> {
    medians_of(runs.iter().map(|run| &run.figures))
}

/// Medians of the figures that have the same name.
#[must_use]
pub fn medians_of<'a>(all: impl Iterator<Item = &'a Figures>) -> BTreeMap<String, Median> {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in all.flatten() {
        values.entry(name).or_default().push(*value);
    }
    values
        .into_iter()
        .map(|(name, values)| (name.to_owned(), Median::of(values)))
        .collect()
}

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Median {
    /// The middle one, or the mean of the two in the middle.
    pub value: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Median {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        Self {
            value: f64::midpoint(at(last / 2), at(values.len() / 2)),
            lowest: at(0),
            highest: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_of_odd_and_even_numbers_of_runs() {
        let median = Median::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(
            (median.lowest, median.value, median.highest),
            (1.0, 2.0, 3.0)
        );
        assert!((Median::of(vec![4.0, 1.0, 2.0, 3.0]).value - 2.5).abs() < 1e-9);
        assert!((Median::of(vec![7.0]).value - 7.0).abs() < 1e-9);
    }

    #[test]
    fn results_survive_a_file() {
        let folder = evp_devstack::ScratchDir::new().unwrap();
        let path = folder.path().join("deep/results.json");
        let mut results = Results::default();
        let run = Run {
            figures: Figures::from([("stored_per_s".to_owned(), 1.5)]),
            stored_per_second: vec![1.0],
            backlog: vec![3],
        };
        results.rows.insert("row".to_owned(), vec![run]);
        results.loads.insert("row".to_owned(), Load::closed(8));
        results.save(&path).unwrap();
        assert_eq!(Results::load(&path).unwrap(), results);
        assert!(Results::load(folder.path()).is_err());
    }
}
