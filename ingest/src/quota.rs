//! Takes slices of the tenants' quotas of the day, which requests then pass by.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::access::reader::Access;
use evp_shared::clock::Clock;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{QuotaAsk, Stream, StreamError};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

const DAY_MS: u64 = 86_400_000;
const TAKE_EVERY: Duration = Duration::from_secs(1);
/// Between two slices, however much is wanted: Redis has other work too.
const TAKE_AFTER: Duration = Duration::from_millis(100);
/// Longest one question may take.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Leaser {
    pub(crate) access: Access,
    pub(crate) stream: Stream,
    pub(crate) clock: Clock,
    /// Wakes it when a request found too little.
    pub(crate) wanted: Arc<Notify>,
}

impl Leaser {
    /// Works until the shutdown.
    ///
    /// # Errors
    /// Never.
    pub(crate) async fn run(self, shutdown: Shutdown) -> Result<(), Infallible> {
        let rounds = async {
            loop {
                match timeout(QUESTION_MAX, self.take()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(?error, "no quotas"),
                    Err(_) => tracing::debug!("no quotas: no answer"),
                }
                sleep(TAKE_AFTER).await;
                tokio::select! {
                    () = sleep(TAKE_EVERY) => {}
                    () = self.wanted.notified() => {}
                }
            }
        };
        tokio::select! {
            never = rounds => never,
            () = shutdown.triggered() => Ok(()),
        }
    }

    /// Fills up what has less than a slice, all in one question.
    async fn take(&self) -> Result<(), StreamError> {
        let held = Option::clone(&self.access.map());
        let Some(map) = held else {
            return Ok(());
        };
        let day = self.clock.now_ms() / DAY_MS;
        let wanting = map.quotas().filter_map(|(id, quota)| {
            let events = quota.wants(day);
            let ask = || QuotaAsk {
                tenant: id.as_str().to_owned(),
                per_day: quota.per_day(),
                events,
            };
            (events > 0).then(|| (quota, ask()))
        });
        let (quotas, asks): (Vec<_>, Vec<_>) = wanting.unzip();
        if asks.is_empty() {
            return Ok(());
        }
        let given = self.stream.take_quotas(day, &asks).await?;
        for ((quota, ask), given) in quotas.iter().zip(&asks).zip(given) {
            quota.given(day, ask.events, given);
        }
        Ok(())
    }
}
