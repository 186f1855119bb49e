//! `[canary]`

use std::time::Duration;

crate::config_section! {
    /// Canaries.
    #[derive(Copy)]
    pub struct CanaryConfig in "canary" {
        /// How often each ingest hands on a canary, a numbered event of EVP's own; without it there are
        /// none. Ingest and aggregator have to have the same. Lower tells sooner that events are not
        /// stored any more, and stores more of them: 5,760 a day at `15s`, which end with their spans. The
        /// alert `EvpCanaryLate` fires at 45 s whatever this is; above `15s` raise it to three intervals.
        interval: Option<Duration> = "", "1s"..="1h";
    }
}
