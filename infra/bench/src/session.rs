//! All rows in order: measured, kept in a file after each run, and gone on with after an
//! interruption.

use std::path::PathBuf;
use std::time::Duration;

use crate::ceiling;
use crate::console::print;
use crate::header::Header;
use crate::load::Pace;
use crate::results::{Results, Run};
use crate::row::{Length, Row, thousands};
use crate::run::run;
use crate::saturate;
use crate::stack::Environment;
use crate::table;

/// Share of the highest rate that holds at which the soak runs.
const SOAK_SHARE: f64 = 0.6;

/// A session to make.
#[derive(Debug)]
pub struct Session {
    /// Servers and binaries.
    pub environment: Environment,
    /// Rows to measure.
    pub rows: Vec<Row>,
    /// Runs of each row.
    pub repetitions: usize,
    /// Before measuring begins.
    pub warmup: Duration,
    /// How long is measured.
    pub measured: Duration,
    /// How long each ceiling is measured; zero leaves them out.
    pub ceilings: Duration,
    /// Rate of the soak; `None` looks for the highest one that holds first.
    pub soak_rate: Option<f64>,
    /// Where results are kept to go on after an interruption.
    pub state: Option<PathBuf>,
}

impl Session {
    /// Measures what is not measured yet.
    ///
    /// # Errors
    /// The servers cannot be found, or the state cannot be written. Rows that fail are in the
    /// results.
    pub async fn run(&self) -> anyhow::Result<Results> {
        let mut results = self.resumed(Header::collect(&self.environment).await?)?;
        print(&results.header.text());
        if !self.ceilings.is_zero() {
            self.measure_ceilings(&mut results).await?;
        }
        for row in &self.rows {
            self.measure_row(row, &mut results).await?;
        }
        Ok(results)
    }

    /// What to go on with: what was measured before of the same builds, each row with the load that
    /// is asked for now. What cannot be gone on with is moved aside.
    fn resumed(&self, header: Header) -> anyhow::Result<Results> {
        let fresh = Results {
            header,
            measured_s: self.measured.as_secs(),
            ..Results::default()
        };
        let Some(path) = self.state.as_deref().filter(|path| path.exists()) else {
            return Ok(fresh);
        };
        let mut kept = Results::load(path).unwrap_or_default();
        if !kept.header.is_comparable(&fresh.header) || kept.measured_s != fresh.measured_s {
            let aside = path.with_extension("before.json");
            std::fs::rename(path, &aside)?;
            print(&format!(
                "what was measured before is of other builds, settings or lengths; it is kept in \
                 {}",
                aside.display()
            ));
            return Ok(fresh);
        }
        print("going on with what was measured before (--fresh begins anew)");
        for row in &self.rows {
            let of_length = |run: &Run| row.is_as_long(run);
            let runs = kept.rows.get(row.name);
            let has_length = runs.is_none_or(|runs| runs.iter().all(of_length));
            if kept.loads.get(row.name) != Some(&row.load) || !has_length {
                kept.rows.remove(row.name);
            }
        }
        for (name, why) in std::mem::take(&mut kept.failures) {
            print(&format!(
                "measured again, because it failed before: {name}: {why}"
            ));
        }
        Ok(kept)
    }

    fn keep(&self, results: &Results) -> anyhow::Result<()> {
        match &self.state {
            Some(path) => results.save(path),
            None => Ok(()),
        }
    }

    async fn measure_ceilings(&self, results: &mut Results) -> anyhow::Result<()> {
        for name in ceiling::NAMES {
            if results.ceilings.contains_key(name) {
                continue;
            }
            match ceiling::measure(&self.environment, name, self.ceilings).await {
                Ok(figures) => {
                    print(&table::ceiling_line(name, &figures));
                    results.ceilings.insert(name.to_owned(), figures);
                }
                Err(error) => fail(results, name, &error),
            }
            self.keep(results)?;
        }
        Ok(())
    }

    async fn measure_row(&self, row: &Row, results: &mut Results) -> anyhow::Result<()> {
        let wanted = match row.length {
            Length::Usual => self.repetitions,
            Length::Long(_) => 1,
        };
        let mut plan = row.plan(self.warmup, self.measured);
        results.loads.insert(row.name.to_owned(), row.load.clone());
        let done = results.rows.get(row.name).map_or(0, Vec::len);
        if done < wanted && row.name == "soak" {
            match self.soak_rate(row).await {
                Ok(rate) => plan.load.pace = Pace::Open(rate),
                Err(error) => {
                    fail(results, row.name, &error);
                    return Ok(());
                }
            }
        }
        for number in done..wanted {
            match run(&self.environment, &plan).await {
                Ok(run) => {
                    print(&table::run_line(row, number + 1, wanted, &run));
                    results
                        .rows
                        .entry(row.name.to_owned())
                        .or_default()
                        .push(run);
                }
                Err(error) => fail(results, row.name, &error),
            }
            self.keep(results)?;
        }
        Ok(())
    }

    async fn soak_rate(&self, row: &Row) -> anyhow::Result<f64> {
        if let Some(rate) = self.soak_rate {
            return Ok(rate);
        }
        let plan = saturate::probe(row, self.warmup);
        let highest = saturate::search(&self.environment, &plan).await?;
        let rate = (highest * SOAK_SHARE / 1_000.0).floor() * 1_000.0;
        print(&format!("soak at {} ev/s", thousands(rate)));
        Ok(rate)
    }
}

fn fail(results: &mut Results, name: &str, error: &anyhow::Error) {
    print(&format!("{name}: FAILED: {error:#}"));
    results
        .failures
        .insert(name.to_owned(), format!("{:#}", error.root_cause()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_with_the_same_builds_and_loads_alone() {
        let folder = evp_devstack::ScratchDir::new().unwrap();
        let state = folder.path().join("full.json");
        let header = |commit: &str, builds: &str| Header {
            commit: commit.to_owned(),
            builds: builds.to_owned(),
            ..Header::default()
        };
        let rows: Vec<Row> = crate::row::all().into_iter().take(2).collect();
        let [same, changed] = [rows[0].name, rows[1].name].map(str::to_owned);
        let mut results = Results {
            header: header("a", "1"),
            measured_s: 60,
            ..Results::default()
        };
        for name in [&same, &changed] {
            results.rows.insert(name.clone(), vec![Run::default()]);
            results.loads.insert(name.clone(), rows[0].load.clone());
        }
        results.save(&state).unwrap();
        let session = Session {
            environment: Environment {
                binaries: PathBuf::new(),
                redis_url: None,
                mongo_uri: None,
                mongo_cache_gb: 1.0,
                settings: Vec::new(),
            },
            rows,
            repetitions: 1,
            warmup: Duration::ZERO,
            measured: Duration::from_secs(60),
            ceilings: Duration::ZERO,
            soak_rate: None,
            state: Some(state.clone()),
        };
        let resumed = session.resumed(header("b", "1")).unwrap();
        assert_eq!(resumed.header.commit, "a");
        assert_eq!(resumed.rows.keys().collect::<Vec<_>>(), [&same]);
        let anew = session.resumed(header("b", "2")).unwrap();
        assert!(anew.rows.is_empty() && !state.exists());
        let aside = state.with_extension("before.json");
        assert_eq!(Results::load(&aside).unwrap(), results);
    }
}
