//! Two builds in turn, so that what drifts meanwhile touches both alike.

pub mod pairs;

use std::time::Duration;

use self::pairs::{NAMES, Pairs, order};
use crate::console::print;
use crate::header::Header;
use crate::plan::Plan;
use crate::row::Row;
use crate::run::run;
use crate::stack::Environment;
use crate::table;

const WARMUP: Duration = Duration::from_secs(3);
/// Longest that what a run has sent may take to be stored and counted.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a run takes beyond its load on a quiet machine: starting, storing, counting.
const BESIDE: Duration = Duration::from_secs(5);

/// A comparison to make.
#[derive(Debug)]
pub struct Comparison {
    /// Servers and binaries, old and new.
    pub builds: [Environment; 2],
    /// Rows to compare.
    pub rows: Vec<Row>,
    /// Pairs of runs of each row.
    pub pairs: usize,
    /// How long is measured in each run.
    pub measured: Duration,
}

impl Comparison {
    /// Measures both builds, and prints what came of it; the pairs of each row.
    ///
    /// # Errors
    /// A server or a service cannot be found. Runs that fail are printed and not counted.
    pub async fn run(&self) -> anyhow::Result<Vec<Pairs>> {
        let builds = self.announced().await?;
        let mut all = vec![Pairs::of(self.pairs); self.rows.len()];
        // Row by row within a pair: each row has its pairs over the whole time.
        while all.iter().any(Pairs::wants_more) {
            for (row, pairs) in self.rows.iter().zip(&mut all) {
                if pairs.wants_more() {
                    self.pair(row, pairs).await;
                }
            }
        }
        let rows: Vec<_> = self.rows.iter().map(|row| row.name).zip(&all).collect();
        print(&format!("\n{builds}\n\n{}", pairs::text(&rows)));
        Ok(all)
    }

    /// Prints what will be measured and how long it takes; which builds these are.
    async fn announced(&self) -> anyhow::Result<String> {
        let [old, new] = &self.builds;
        let headers = [Header::collect(old).await?, Header::collect(new).await?];
        print(&headers[1].text());
        let each = WARMUP + self.measured + BESIDE;
        let runs = self.rows.len() * self.pairs * 2;
        print(&format!(
            "{} rows, {} pairs of {} s: about {:.0} minutes; what looks worse is measured as often \
             again",
            self.rows.len(),
            self.pairs,
            self.measured.as_secs(),
            each.as_secs_f64() * runs as f64 / 60.0,
        ));
        let [old, new] = [(old, &headers[0]), (new, &headers[1])]
            .map(|(build, header)| format!("{} ({})", build.binaries.display(), header.builds));
        Ok(format!("old: {old}, new: {new}"))
    }

    async fn pair(&self, row: &Row, pairs: &mut Pairs) {
        let plan = Plan {
            patience: PATIENCE,
            ..row.plan(WARMUP, self.measured)
        };
        let (number, of) = (pairs.counted() + 1, pairs.of_how_many());
        let mut figures = [None, None];
        for build in order(pairs.begun()) {
            match run(&self.builds[build], &plan).await {
                Ok(run) => {
                    let line = table::run_line(row, number, of, &run);
                    print(&format!("{} {line}", NAMES[build]));
                    figures[build] = Some(run.figures);
                }
                Err(error) => {
                    let name = format!("{} {}", NAMES[build], row.name);
                    print(&format!(
                        "{name}: FAILED, this pair is not counted: {error:#}"
                    ));
                    pairs.fail(build);
                    return;
                }
            }
        }
        if let [Some(old), Some(new)] = figures {
            let ratios = pairs.push([&old, &new]);
            print(&format!("new/old {} {number}/{of}: {ratios}", row.name));
        }
    }
}
