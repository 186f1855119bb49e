//! All rows in order: measured between their ceilings, kept in a file after each row, and gone on
//! with after an interruption.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::ceiling;
use crate::console::print;
use crate::figures::Figures;
use crate::header::Header;
use crate::load::Pace;
use crate::plan::Plan;
use crate::results::Results;
use crate::row::{Length, Row, thousands};
use crate::saturate;
use crate::stack::Environment;
use crate::table;
use crate::without::run_row;

/// Share of the highest rate that holds at which the soak runs.
const SOAK_SHARE: f64 = 0.6;

/// What was measured of each ceiling since the last row.
type Ceilings = BTreeMap<&'static str, Figures>;

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
        let mut latest = Ceilings::new();
        for row in &self.rows {
            if results.rows.contains_key(row.name) {
                continue;
            }
            match self.plan(row, &mut latest).await {
                Ok(plan) => {
                    self.measure_row(row, &plan, &mut latest, &mut results)
                        .await
                }
                Err(error) => fail(&mut results, row.name, &error),
            }
            if let Some(path) = &self.state {
                results.save(path)?;
            }
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
            if !self.is_complete(row, &kept) {
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

    /// Whether all of a row was measured, as it is asked for now. A part of it is none to go on
    /// with: its ceilings would be of another hour.
    fn is_complete(&self, row: &Row, kept: &Results) -> bool {
        let runs = kept.rows.get(row.name).map_or(&[][..], Vec::as_slice);
        let around = kept.around.get(row.name);
        let has = |name: &&str| around.is_some_and(|around| around.contains_key(*name));
        runs.len() == self.runs_of(row)
            && runs.iter().all(|run| row.is_as_long(run))
            && kept.loads.get(row.name) == Some(&row.load)
            && self.ceilings_of(row).iter().all(has)
    }

    fn runs_of(&self, row: &Row) -> usize {
        match row.length {
            Length::Usual => self.repetitions,
            Length::Long(_) | Length::Events(_) => 1,
        }
    }

    fn ceilings_of(&self, row: &Row) -> Vec<&'static str> {
        match self.ceilings.is_zero() {
            true => Vec::new(),
            false => ceiling::of(row),
        }
    }

    /// The run of a row; looks for the rate of the soak, after which no ceiling is the latest.
    async fn plan(&self, row: &Row, latest: &mut Ceilings) -> anyhow::Result<Plan> {
        let mut plan = row.plan(self.warmup, self.measured);
        if row.name == "soak" {
            plan.load.pace = Pace::Open(self.soak_rate(row).await?);
            latest.clear();
        }
        Ok(plan)
    }

    /// Measures a row between its ceilings. Those in `latest` were measured after the row before,
    /// and nothing since.
    async fn measure_row(
        &self,
        row: &Row,
        plan: &Plan,
        latest: &mut Ceilings,
        results: &mut Results,
    ) {
        self.measure_ceilings(row, latest, results).await;
        let before = std::mem::take(latest);
        results.loads.insert(row.name.to_owned(), row.load.clone());
        let wanted = self.runs_of(row);
        for number in 1..=wanted {
            match run_row(&self.environment, row, plan).await {
                Ok(run) => {
                    print(&table::run_line(row, number, wanted, &run));
                    let runs = results.rows.entry(row.name.to_owned());
                    runs.or_default().push(run);
                }
                Err(error) => fail(results, row.name, &error),
            }
        }
        self.measure_ceilings(row, latest, results).await;
        let both = before.into_iter().filter_map(|(name, before)| {
            let after = latest.get(name)?.clone();
            Some((name.to_owned(), [before, after]))
        });
        results.around.insert(row.name.to_owned(), both.collect());
    }

    async fn measure_ceilings(&self, row: &Row, latest: &mut Ceilings, results: &mut Results) {
        for name in self.ceilings_of(row) {
            if latest.contains_key(name) {
                continue;
            }
            match ceiling::measure(&self.environment, name, self.ceilings).await {
                Ok(figures) => {
                    print(&table::ceiling_line(name, &figures));
                    latest.insert(name, figures);
                }
                Err(error) => fail(results, &format!("{name} beside {}", row.name), &error),
            }
        }
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
    use crate::results::Run;

    #[test]
    fn a_session_goes_on_with_whole_rows_of_the_same_builds_and_loads_alone() {
        let folder = evp_devstack::ScratchDir::new().unwrap();
        let state = folder.path().join("full.json");
        let header = |commit: &str, builds: &str| Header {
            commit: commit.to_owned(),
            builds: builds.to_owned(),
            ..Header::default()
        };
        let mut rows: Vec<Row> = crate::row::all().into_iter().take(3).collect();
        let [same, changed, cut] = [0, 1, 2].map(|row: usize| rows[row].name.to_owned());
        let mut results = Results {
            header: header("a", "1"),
            measured_s: 60,
            ..Results::default()
        };
        let both = || [Figures::new(), Figures::new()];
        let mut around =
            BTreeMap::from(["mongo-none", "redis-500"].map(|c| (c.to_owned(), both())));
        for name in [&same, &changed, &cut] {
            results.rows.insert(name.clone(), vec![Run::default()]);
            results.loads.insert(name.clone(), rows[0].load.clone());
            results.around.insert(name.clone(), around.clone());
            if *name == changed {
                around.remove("redis-500");
            }
        }
        rows[2] = Row {
            name: rows[2].name,
            ..rows[0].clone()
        };
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
            ceilings: Duration::from_secs(60),
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
