//! Measures the dead letters, and says whether there is room for more.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::dead_letters::Size;
use evp_shared::health::{Beat, Condition};
use evp_shared::shutdown::Shutdown;
use tracing::warn;

use crate::context::Context;

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(5);

/// Measures the dead letters until the shutdown.
#[derive(Debug)]
pub struct DeadLetterLoop {
    /// What the loops share.
    pub context: Arc<Context>,
    /// Whether there is room for more.
    pub room: Condition,
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
        let context = &*self.context;
        let one = Size {
            events: 1,
            bytes: 0,
        };
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.triggered() => return Ok(()),
            }
            let room = &context.dead_letter_room;
            match room.measure(&context.inserter, context.clock.now()).await {
                Ok(size) => {
                    context.metrics.dead_letter_size(size);
                    if room.limits.admit(size, one) {
                        self.room.ok();
                    } else {
                        self.room
                            .fail("the dead letters are full: run evp-processor dlq");
                    }
                }
                Err(error) => warn!(%error, "dead letters not measured"),
            }
            self.beat.beat();
        }
    }
}
