use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::scenario::Size;

/// One run of one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) scenario: String,
    pub(super) size: Size,
    pub(super) took_s: u64,
    pub(super) outcome: Option<Outcome>,
    pub(super) failure: Option<String>,
}

/// The runs so far, the newest of each scenario, kept as lines of JSON.
#[derive(Debug)]
pub(super) struct Records {
    file: Option<PathBuf>,
    all: Vec<Record>,
}

impl Records {
    /// Reads what `file` has; one that is missing has nothing.
    pub(super) fn of(file: Option<&Path>) -> Result<Self> {
        let mut records = Self {
            file: file.map(Path::to_owned),
            all: Vec::new(),
        };
        let Some(file) = file.filter(|file| file.exists()) else {
            return Ok(records);
        };
        let text = std::fs::read_to_string(file).context("read the results")?;
        for line in text.lines() {
            records.keep(serde_json::from_str(line).context("a line of the results")?);
        }
        Ok(records)
    }

    pub(super) fn all(&self) -> &[Record] {
        &self.all
    }

    pub(super) fn has_held(&self, scenario: &str, size: Size) -> bool {
        let of_size = self.of_size(size);
        of_size
            .filter(|record| record.scenario == scenario)
            .any(|record| record.failure.is_none())
    }

    /// Names of those whose newest run failed.
    pub(super) fn failed(&self, size: Size) -> Vec<String> {
        let of_size = self.of_size(size);
        of_size
            .filter(|record| record.failure.is_some())
            .map(|record| record.scenario.clone())
            .collect()
    }

    pub(super) fn add(&mut self, record: Record) -> Result<()> {
        if let Some(path) = &self.file {
            let mut file = File::options().create(true).append(true).open(path)?;
            writeln!(file, "{}", serde_json::to_string(&record)?)?;
        }
        self.keep(record);
        Ok(())
    }

    fn keep(&mut self, record: Record) {
        self.all
            .retain(|earlier| earlier.scenario != record.scenario || earlier.size != record.size);
        self.all.push(record);
    }

    fn of_size(&self, size: Size) -> impl Iterator<Item = &Record> {
        self.all.iter().filter(move |record| record.size == size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(scenario: &str, failure: Option<&str>) -> Record {
        Record {
            scenario: scenario.to_owned(),
            size: Size::Full,
            took_s: 1,
            outcome: None,
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn what_has_held_is_left_out_when_a_run_goes_on_and_what_failed_is_not() {
        let folder = evp_devstack::ScratchDir::new().unwrap();
        let file = folder.path().join("results");
        let mut first = Records::of(Some(&file)).unwrap();
        first.add(record("a", None)).unwrap();
        first.add(record("b", Some("lost"))).unwrap();
        let mut second = Records::of(Some(&file)).unwrap();
        assert!(second.has_held("a", Size::Full));
        assert!(!second.has_held("a", Size::Short));
        assert_eq!(second.failed(Size::Full), ["b"]);
        second.add(record("b", None)).unwrap();
        assert!(second.failed(Size::Full).is_empty());
    }
}
