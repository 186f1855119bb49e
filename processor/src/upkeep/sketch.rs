//! Writes the sketches that bulks gathered, every second.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{SketchBucket, SketchUpdate, StreamError};
use tracing::debug;

use crate::bulk::commit::Committer;
use crate::bulk::sketch::Sketches;
use crate::metrics::Metrics;

const EVERY: Duration = Duration::from_secs(1);

/// Writes what is gathered for one processor until the shutdown, and after it.
#[derive(Debug, Clone)]
pub struct SketchLoop {
    /// What is gathered.
    pub sketches: Arc<Sketches>,
    /// Knows whether memory is short.
    pub committer: Arc<Committer>,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

impl SketchLoop {
    /// Writes every second until the shutdown; what comes after that is written last of all.
    ///
    /// # Errors
    /// None: what fails is left out.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                _ = ticks.tick() => self.write(false).await,
            }
        }
    }

    /// Writes what is gathered, for the last time when `is_last`.
    pub async fn write(&self, is_last: bool) {
        let (updates, lost) = self.sketches.take(is_last, self.clock.now());
        self.metrics.sketches_lost.increment(lost);
        if updates.is_empty() {
            return;
        }
        let places: Vec<_> = updates.iter().map(|(place, _)| place.clone()).collect();
        // Memory is for what has to be kept; what was gathered is left out.
        if self.committer.memory_short.load(Ordering::Relaxed) {
            return self.sketches.forget(places);
        }
        if let Err(error) = self.write_all(updates).await {
            debug!(%error, "sketches not written");
            self.sketches.forget(places);
        }
    }

    async fn write_all(
        &self,
        updates: Vec<(SketchBucket, SketchUpdate)>,
    ) -> Result<(), StreamError> {
        for (bucket, update) in updates {
            self.committer
                .stream
                .add_to_sketches(&bucket, update)
                .await?;
        }
        Ok(())
    }
}
