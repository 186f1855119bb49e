//! The bound of the dead letters: at the cap nothing more is kept, the breaker opens, and what
//! cannot be stored stays pending.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evp_shared::dead_letters::{DeadLetters, Size};
use evp_shared::health::{Beat, Condition};
use evp_shared::shutdown::Shutdown;
use tracing::warn;

use crate::context::Context;
use crate::store::dead_letter::DeadLetter;
use crate::store::insert::{Inserter, StoreFailure};

/// How long a measurement is good for. What one processor adds is added to it; what several add in
/// this time is by how much the cap may be exceeded.
const FRESH: Duration = Duration::from_secs(1);

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(5);

/// How many dead letters there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterLimits {
    /// Events and undecodable entries.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl DeadLetterLimits {
    /// Whether `more` fit beside `size`.
    pub fn admit(self, size: Size, more: Size) -> bool {
        size.events + more.events <= self.events && size.bytes + more.bytes <= self.bytes
    }
}

/// What is left of the bound, as last measured.
#[derive(Debug)]
pub struct Room {
    limits: DeadLetterLimits,
    measured: Mutex<Option<(Instant, Size)>>,
}

impl Room {
    /// Nothing is measured yet.
    pub fn new(limits: DeadLetterLimits) -> Self {
        Self {
            limits,
            measured: Mutex::new(None),
        }
    }

    /// Measures the collection, as seen at `now`.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn measure(&self, inserter: &Inserter, now: Instant) -> Result<Size, StoreFailure> {
        let letters = DeadLetters::new(inserter.database().clone());
        let size = inserter.within(async move { letters.size().await }).await?;
        let size = size.map_err(|error| StoreFailure::DeadLetters(Box::new(error)))?;
        *self.lock() = Some((now, size));
        Ok(size)
    }

    /// Takes room for `letters`.
    ///
    /// # Errors
    /// [`StoreFailure::DeadLettersFull`] when there is none; else as [`Self::measure`].
    pub async fn take(
        &self,
        inserter: &Inserter,
        letters: &[DeadLetter],
        now: Instant,
    ) -> Result<(), StoreFailure> {
        if letters.is_empty() {
            return Ok(());
        }
        let more = Size {
            events: letters.len() as u64,
            bytes: letters.iter().map(DeadLetter::bytes).sum(),
        };
        let known = *self.lock();
        let size = match known {
            Some((at, size)) if now.saturating_duration_since(at) < FRESH => size,
            _ => self.measure(inserter, now).await?,
        };
        if !self.limits.admit(size, more) {
            return Err(StoreFailure::DeadLettersFull {
                events: size.events,
                bytes: size.bytes,
            });
        }
        if let Some((_, size)) = self.lock().as_mut() {
            size.events += more.events;
            size.bytes += more.bytes;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Size)>> {
        // A measurement is whole after any panic.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_both_bounds() {
        let limits = DeadLetterLimits {
            events: 10,
            bytes: 100,
        };
        let size = |events, bytes| Size { events, bytes };
        assert!(limits.admit(size(9, 90), size(1, 10)));
        assert!(!limits.admit(size(10, 0), size(1, 0)));
        assert!(!limits.admit(size(0, 91), size(1, 10)));
    }
}
