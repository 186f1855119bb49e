//! Measures the dead letters, and says whether there is room for more.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::clock::Clock;
use evp_shared::health::{Beat, Condition};
use evp_shared::shutdown::Shutdown;
use tracing::warn;

use crate::metrics::Metrics;
use crate::store::insert::Inserter;
use crate::store::room::Room;

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(5);

/// Measures the dead letters until the shutdown.
#[derive(Debug)]
pub struct DeadLetterLoop {
    /// The bound they are measured against.
    pub room: Arc<Room>,
    /// The way to MongoDB.
    pub inserter: Inserter,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Whether there is room for more.
    pub has_room: Condition,
    /// Sign of life.
    pub beat: Beat,
}

impl DeadLetterLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.triggered() => return Ok(()),
            }
            match self.room.measure(&self.inserter, self.clock.now()).await {
                Ok(size) => {
                    self.metrics.dead_letter_size(size);
                    if self.room.admits_one_more(size) {
                        self.has_room.ok();
                    } else {
                        self.has_room
                            .fail("the dead letters are full: run evp-processor dlq");
                    }
                }
                Err(error) => warn!(%error, "dead letters not measured"),
            }
            self.beat.beat();
        }
    }
}
