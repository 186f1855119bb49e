//! Tells Redis what became of the tenants' events, and when keys were used last.

use std::convert::Infallible;
use std::time::Duration;

use super::reader::Access;
use crate::clock::Clock;
use crate::shutdown::Shutdown;
use crate::stream::{Stream, StreamError};

const HOUR_MS: u64 = 3_600_000;
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Longest it may take to tell, also at the end.
const TELL_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Teller {
    access: Access,
    stream: Stream,
    clock: Clock,
}

impl Teller {
    /// Tells what `access` holds.
    pub fn new(access: Access, stream: Stream, clock: Clock) -> Self {
        Self {
            access,
            stream,
            clock,
        }
    }

    /// Works until the shutdown, and tells once more then.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let is_over = tokio::select! {
                () = tokio::time::sleep(TELL_EVERY) => false,
                () = shutdown.triggered() => true,
            };
            match tokio::time::timeout(TELL_MAX, self.tell()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(?error, "usage not told"),
                Err(_) => tracing::debug!("usage not told: no answer"),
            }
            if is_over {
                return Ok(());
            }
        }
    }

    async fn tell(&self) -> Result<(), StreamError> {
        let Some(map) = Option::clone(&self.access.map()) else {
            return Ok(());
        };
        let hour = self.clock.now_ms() / HOUR_MS;
        for (tenant, usage) in map.usages() {
            // Taken one by one: what is not told any more stays for the next time.
            let tally = usage.take();
            if !tally.is_empty() {
                self.stream.add_usage(tenant.as_str(), hour, &tally).await?;
            }
        }
        let used = map.take_used();
        if used.is_empty() {
            return Ok(());
        }
        self.stream.say_used(used).await
    }
}
