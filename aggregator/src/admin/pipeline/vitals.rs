//! What of the state of the pipeline says whether something is wrong.

use evp_shared::config::DeadLetterLimits;
use evp_shared::dead_letters::Size;

use super::{PipelineState, RedisState};
use crate::error::QueryError;

/// What of the state of the pipeline says whether something is wrong.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// For how long an event that is accepted is not stored yet, at most; `None` where Redis does not say.
    pub behind_ms: Option<u64>,
    /// Events appended and not acknowledged.
    pub backlog: i64,
    /// Ms since any processor last asked for anything; `None` where none has ever.
    pub silent_ms: Option<u64>,
    /// Used thousandths of Redis' memory limit; 0 without a limit.
    pub memory_permille: u64,
    /// The dead letters, or why MongoDB does not say.
    pub letters: Result<Size, QueryError>,
}

impl PipelineState {
    /// What of it says whether something is wrong.
    pub(super) fn vitals(&self, letters: Result<Size, QueryError>) -> Vitals {
        let partitions = self.partitions.iter();
        let consumers = partitions.flat_map(|partition| &partition.consumers);
        let behind = |through: u64| self.as_of.saturating_sub(through);
        Vitals {
            behind_ms: self.stored_through.map(behind),
            backlog: self.totals.backlog,
            silent_ms: consumers.map(|consumer| consumer.idle_ms).min(),
            memory_permille: self.redis.used_permille(),
            letters,
        }
    }
}

impl RedisState {
    fn used_permille(&self) -> u64 {
        let used = self.used_memory_bytes.saturating_mul(1_000);
        used.checked_div(self.max_memory_bytes).unwrap_or(0)
    }
}

impl Vitals {
    /// Used percent of what dead letters may be, by what of it is used most.
    pub fn letters_percent(&self, limits: DeadLetterLimits) -> Option<u64> {
        let percent = |used: u64, limit: u64| used.saturating_mul(100).checked_div(limit);
        let size = self.letters.as_ref().ok()?;
        percent(size.events, limits.events).max(percent(size.bytes, limits.bytes))
    }
}
