//! The bound of the dead letters: at the cap nothing more is kept, the breaker opens, and what
//! cannot be stored stays pending.

use std::time::{Duration, Instant};

use evp_shared::config::DeadLetterLimits;
use evp_shared::dead_letters::{DeadLetters, Size};
use parking_lot::Mutex;

use crate::store::dead_letter::DeadLetter;
use crate::store::insert::{Inserter, StoreFailure};

/// How long a measurement is good for. What one processor adds is added to it; what several add in
/// this time is by how much the cap may be exceeded.
const FRESH: Duration = Duration::from_secs(1);

/// What is left of the bound, as last measured.
#[derive(Debug)]
pub struct Room {
    limits: Mutex<DeadLetterLimits>,
    measured: Mutex<Option<(Instant, Size)>>,
}

impl Room {
    /// Nothing is measured yet.
    pub fn new(limits: DeadLetterLimits) -> Self {
        Self {
            limits: Mutex::new(limits),
            measured: Mutex::new(None),
        }
    }

    /// Bounds it by `limits` from now on.
    pub fn bound(&self, limits: DeadLetterLimits) {
        *self.limits.lock() = limits;
    }

    /// Whether there is room beside `size`.
    pub fn admits_one_more(&self, size: Size) -> bool {
        self.limits.lock().admit(size.events + 1, size.bytes)
    }

    /// Measures the collection, as seen at `now`.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn measure(&self, inserter: &Inserter, now: Instant) -> Result<Size, StoreFailure> {
        let letters = DeadLetters::new(inserter.database().clone(), Duration::ZERO);
        let size = inserter.within(async move { letters.size().await }).await?;
        let size = size.map_err(|error| StoreFailure::DeadLetters(Box::new(error)))?;
        *self.measured.lock() = Some((now, size));
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
            bytes: letters.iter().map(|letter| letter.bytes).sum(),
        };
        let known = *self.measured.lock();
        let size = match known {
            Some((at, size)) if now.saturating_duration_since(at) < FRESH => size,
            _ => self.measure(inserter, now).await?,
        };
        let (events, bytes) = (size.events + more.events, size.bytes + more.bytes);
        if !self.limits.lock().admit(events, bytes) {
            return Err(StoreFailure::DeadLettersFull {
                events: size.events,
                bytes: size.bytes,
            });
        }
        if let Some((_, size)) = &mut *self.measured.lock() {
            size.events += more.events;
            size.bytes += more.bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_bound_holds_at_once() {
        let limits = |events| DeadLetterLimits {
            events,
            bytes: 1_000,
        };
        let (room, one) = (
            Room::new(limits(1)),
            Size {
                events: 1,
                bytes: 1,
            },
        );
        assert!(!room.admits_one_more(one));
        room.bound(limits(2));
        assert!(room.admits_one_more(one));
    }
}
