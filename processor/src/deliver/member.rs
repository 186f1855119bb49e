//! The member: what this processor works on stays its own however long that takes, and consumers
//! of processors that are gone leave the group.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::health::Beat;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{EntryId, StreamError};
use futures::StreamExt as _;
use tracing::{debug, info};

use crate::deliver::consumer::Consumer;

/// Longest wait between two looks at what is worked on.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Entries per question.
const PAGE: u64 = 100;

/// How often consumers are looked at. Each look is also the sign of life of one's own.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// Without a sign for this long, and with nothing pending, a consumer is of a processor that is
/// gone: it has missed a dozen looks. One that was merely suspended is made again by its next read.
const GONE_AFTER: Duration = Duration::from_secs(3_600);

/// Looks after one processor's membership until the shutdown.
#[derive(Debug)]
pub struct MemberLoop {
    /// Whose membership.
    pub consumer: Arc<Consumer>,
    /// Sign of life.
    pub beat: Beat,
}

impl MemberLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let consumer = &*self.consumer;
        let every = (consumer.claim_idle / 4).min(LOOK_MAX);
        let mut sweep_due = consumer.clock.now();
        let mut looks = shutdown.every(every);
        while looks.next().await.is_some() {
            let sweeps = consumer.clock.now() >= sweep_due;
            for partition in 0..consumer.stream.partitions() {
                if let Err(error) = consumer.in_time(self.refresh(partition)).await {
                    debug!(%error, partition, "entries not refreshed");
                }
                if !sweeps {
                    continue;
                }
                match consumer.in_time(self.sweep(partition)).await {
                    Ok(()) => sweep_due = consumer.clock.now() + SWEEP_EVERY,
                    Err(error) => debug!(%error, partition, "consumers not looked at"),
                }
            }
            self.beat.beat();
        }
        Ok(())
    }

    /// Refreshes what has been worked on for half the time after which others take it.
    async fn refresh(&self, partition: u16) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let of_own = (&*consumer.name, consumer.claim_idle / 2);
        let (stream, mut after) = (&consumer.stream, EntryId::ZERO);
        loop {
            let page = stream
                .pending_longer(partition, of_own, after, PAGE)
                .await?;
            let Some(last) = page.last().copied() else {
                return Ok(());
            };
            after = last;
            let worked_on = page
                .into_iter()
                .filter(|id| consumer.in_flight.lock().contains(&(partition, *id)));
            let worked_on: Vec<EntryId> = worked_on.collect();
            let refreshed = stream.refresh(partition, of_own, &worked_on).await?;
            if refreshed > 0 {
                debug!(partition, refreshed, "still worked on");
            }
        }
    }

    async fn sweep(&self, partition: u16) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let own = &consumer.name;
        let gone = consumer.stream.sweep(partition, own, GONE_AFTER).await?;
        if !gone.is_empty() {
            info!(partition, consumers = ?gone, "consumers that were gone are out of the group");
        }
        Ok(())
    }
}
