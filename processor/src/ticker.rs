//! The ticker: every second, whatever else happens, it frees what left the kept window, notices a
//! new life, and measures backlog, lag and delay.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::health::{Beat, Condition};
use evp_shared::redis::Memory;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Commit, StreamError};
use tracing::{debug, error, info};

use crate::commit::kept;
use crate::context::Context;

const EVERY: Duration = Duration::from_secs(1);

/// Share of maxmemory above which acknowledged entries are not kept for live readers.
const MEMORY_SHORT: f64 = 0.8;

/// Ticks for one processor until the shutdown.
#[derive(Debug)]
pub struct TickLoop {
    /// What the loops share.
    pub context: Arc<Context>,
    /// Whether Redis answers.
    pub redis: Condition,
    /// Sign of life.
    pub beat: Beat,
}

impl TickLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.triggered() => return Ok(()),
            }
            match self.tick_all().await {
                Ok(()) => self.redis.ok(),
                Err(error) => {
                    debug!(%error, "tick failed");
                    self.redis.fail(error.to_string());
                }
            }
            self.beat.beat();
        }
    }

    async fn tick_all(&self) -> Result<(), StreamError> {
        let context = &*self.context;
        let memory = self.in_time(Memory::ask(context.stream.client())).await?;
        context
            .memory_short
            .store(memory.share() >= MEMORY_SHORT, Ordering::Relaxed);
        for partition in 0..context.stream.partitions() {
            match self.in_time(self.tick(partition)).await {
                Err(error) if error.wants_hello() => {
                    info!(
                        partition,
                        "redis does not live the life it was known to live"
                    );
                    context.lives.greet(partition).await?;
                    // What was read before is pending, and comes again.
                    context.left_overs.signal();
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Without a connection a command waits for one, for as long as that takes.
    async fn in_time<T, E: Into<StreamError>>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StreamError> {
        match tokio::time::timeout(self.context.config.redis.command_timeout, asked).await {
            Ok(answered) => answered.map_err(Into::into),
            Err(_) => Err(StreamError::NotConnected),
        }
    }

    async fn tick(&self, partition: u16) -> Result<(), StreamError> {
        let context = &*self.context;
        let life = context.lives.known(partition);
        let tick = Commit {
            life,
            entries: &[],
            settles: &[],
            kept: kept(context),
        };
        let done = context.stream.commit(partition, &tick).await?;
        if done.lost_events != 0 {
            error!(
                partition,
                events = done.lost_events,
                "backlog was not there any more"
            );
        }
        for failure in &done.failures {
            error!(partition, failure, "tick could not write");
        }
        let pending = context.stream.pending(partition).await?;
        let now_ms = context.clock.now_ms();
        let oldest = context.stream.oldest_uncommitted(partition).await?;
        let received = oldest.map_or(now_ms, |oldest| oldest.received_at_ms);
        context
            .metrics
            .backlog(partition, done.backlog_events, done.backlog_bytes);
        context.metrics.pending(partition, pending.entries);
        context.metrics.delay(
            partition,
            Duration::from_millis(now_ms.saturating_sub(received)),
        );
        Ok(())
    }
}
