//! The scenarios: each a fault, a load, and the books that must balance afterwards.
//!
//! [`ALL`] is the table of them, by the rows of docs/RELIABILITY.md. A scenario has three sizes: what
//! every test run can afford, what a session of minutes can, and what takes an hour for all.

mod backup;
mod books;
mod connections;
mod disks;
mod documents;
mod frames;
mod hostile;
mod lost_answers;
mod mongo;
mod overload;
mod poison;
mod processes;
mod recovery;
mod redis;
mod reload;
mod replicas;
mod retention;
mod spans;
mod table;
mod time;
mod told;
mod upgrade;

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Journal, Load, Outcome, Producer, Progress, System, heavy};
pub use table::{ALL, NOT_RUN};

/// How much of a scenario is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// A bounded part, in seconds.
    Test,
    /// About a minute.
    Short,
    /// As large as one can wait for: the second table of docs/RELIABILITY.md.
    Full,
}

impl Size {
    /// The value for this size.
    pub fn of<T>(self, test: T, short: T, full: T) -> T {
        match self {
            Self::Test => test,
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// One fault under load.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Row of docs/RELIABILITY.md; zero for what has no number there.
    pub row: u8,
    /// What is done, in a few words.
    pub fault: &'static str,
    run: fn(Size) -> LocalBoxFuture<'static, Result<Outcome>>,
}

impl Scenario {
    /// Runs it once.
    ///
    /// # Errors
    /// The promise does not hold, or the scenario could not be run.
    pub async fn run(&self, size: Size) -> Result<Outcome> {
        let _turn = heavy().await;
        (self.run)(size).await
    }
}

/// Runs the scenario called `name`.
///
/// # Errors
/// There is none; else as [`Scenario::run`].
pub async fn run(name: &str, size: Size) -> Result<Outcome> {
    let found = ALL.iter().find(|scenario| scenario.name == name);
    match found {
        Some(scenario) => scenario.run(size).await,
        None => anyhow::bail!("there is no scenario {name}"),
    }
}

/// For runs that leave millions of events on the stream, or duplicates that cost more than new
/// ones.
const BACKLOG_DRAINS_WITHIN: Duration = Duration::from_secs(900);

/// A load of `events` in requests of the usual sizes.
fn load(events: u32) -> Load {
    load_in(events, 20..=300)
}

/// A load of `events` in requests of `batch` events.
fn load_in(events: u32, batch: RangeInclusive<u32>) -> Load {
    Load {
        events,
        clients: 4,
        batch,
    }
}

/// Sends `load` until all of it is acknowledged, while `fault` is made `rounds` times at moments
/// drawn from the seed; it is told the number of its round.
///
/// # Errors
/// A fault could not be made, or an event was never acknowledged.
async fn under_load(
    system: &mut System,
    load: Load,
    rounds: u64,
    mut fault: impl AsyncFnMut(&mut System, &mut Progress, u64) -> Result<()>,
) -> Result<Journal> {
    let events = u64::from(load.events);
    let producer = Producer::new(system, load);
    let mut progress = producer.held(rounds);
    let moments = system.chance.moments(rounds, events);
    let faults = async {
        for (round, moment) in (0..).zip(moments) {
            progress.reached(moment).await?;
            fault(system, &mut progress, round).await?;
        }
        progress.release();
        Ok(())
    };
    tokio::try_join!(producer.run(), faults)?;
    let journal = producer.journal();
    ensure!(
        journal.acknowledged_count() == events,
        "{} of {events} events acknowledged",
        journal.acknowledged_count()
    );
    Ok(journal)
}
