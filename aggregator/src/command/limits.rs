//! Rates as the command line says them.

use clap::Args;
use evp_shared::access::rate::{Rate, RateLimits};

/// Of how many seconds a burst is, where none is said.
const BURST_S: u64 = 10;

/// Rates, which each ingest holds to for itself.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Events a second
    #[arg(long, value_name = "N")]
    events_per_second: Option<u64>,
    /// Events at once [default: those of ten seconds]
    #[arg(long, value_name = "N", requires = "events_per_second")]
    events_burst: Option<u64>,
    /// Bytes a second, decompressed
    #[arg(long, value_name = "N")]
    bytes_per_second: Option<u64>,
    /// Bytes at once [default: those of ten seconds]
    #[arg(long, value_name = "N", requires = "bytes_per_second")]
    bytes_burst: Option<u64>,
}

impl Limits {
    pub(super) fn read(&self) -> RateLimits {
        let rate = |per_second: Option<u64>, burst: Option<u64>| {
            let per_second = per_second?;
            let burst = burst.unwrap_or_else(|| per_second.saturating_mul(BURST_S));
            Some(Rate { per_second, burst })
        };
        RateLimits {
            events: rate(self.events_per_second, self.events_burst),
            bytes: rate(self.bytes_per_second, self.bytes_burst),
        }
    }
}
