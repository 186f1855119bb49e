//! Measures the dead letters, and says whether there is room for more.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::health::{Beat, Condition};
use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use tracing::warn;

use crate::bulk::pipeline::Pipeline;

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(5);

/// Measures the dead letters until the shutdown.
#[derive(Debug)]
pub struct DeadLetterLoop {
    /// What keeps them.
    pub pipeline: Arc<Pipeline>,
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
        let mut ticks = shutdown.every(EVERY);
        let pipeline = &*self.pipeline;
        while ticks.next().await.is_some() {
            let now = pipeline.clock.now();
            match pipeline.room.measure(&pipeline.inserter, now).await {
                Ok(size) => {
                    pipeline.metrics.dead_letter_size(size);
                    if pipeline.room.admits_one_more(size) {
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
        Ok(())
    }
}
