//! Puts frames on the stream: again and again until there is an answer or the deadline is over.
//!
//! A frame gets its identity before its first attempt and keeps it, so that every attempt may be
//! repeated. What an attempt that failed means is told apart exactly: refused (nothing was
//! stored) or unknown (perhaps it was).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evp_shared::backoff::Backoff;
use evp_shared::clock::Clock;
use evp_shared::frame::{Frame, FrameDraft, FrameStamp};
use evp_shared::stream::{AppendError, Stream};
use tokio::time::timeout_at;

use crate::admission::{Load, RedisState};
use crate::append::frames::AppenderConfig;
use crate::append::greeting::{Fault, GreetError};
use crate::append::partition::{Partition, Sent};
use crate::append::submission::{Call, Waiter};
use crate::metrics::Metrics;
use crate::outcome::AppendOutcome;

/// Pace of attempts: soon at first, for a Redis that is only restarting.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// An attempt that had less time than this says nothing about the partition.
const FAIR_TIME: Duration = Duration::from_millis(100);

/// Appends calls; clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct Appender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Stream,
    partitions: Vec<Partition>,
    /// Whose turn it is.
    next: AtomicUsize,
    config: AppenderConfig,
    load: Load,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// The frames of one call: drafts until their first attempt, then sealed for good.
enum Cargo {
    Drafts(Vec<FrameDraft>),
    Sealed(Vec<Frame>),
}

/// One call on its way.
struct Attempts<'a> {
    partition: &'a Partition,
    cargo: Cargo,
    /// Whether an attempt that may have worked has had no answer.
    is_unknown: bool,
}

impl Appender {
    pub(crate) fn new(
        stream: Stream,
        config: AppenderConfig,
        load: Load,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let partitions = (0..stream.partitions())
            .map(|number| Partition::new(number, &config, &clock))
            .collect();
        let next = AtomicUsize::new(0);
        Self(Arc::new(Inner {
            stream,
            partitions,
            next,
            config,
            load,
            clock,
            metrics,
        }))
    }

    /// Appends the frames of a call and tells everybody who waits for them.
    pub(crate) async fn append(&self, call: Call<Waiter>, deadline: Instant) {
        let started = self.0.clock.now();
        let outcome = self.append_frames(call.frames, deadline).await;
        let took = self.0.clock.now() - started;
        self.0.metrics.appends[outcome as usize].record(took);
        for waiter in call.waiters {
            waiter.tell(outcome);
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.0.stream
    }

    /// Of what fixes the identity of the events in its frames.
    pub(crate) fn fingerprint(&self) -> u32 {
        self.0.config.fingerprint
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.0.partitions
    }

    /// Greets a partition whatever is known of it, and reports what that shows.
    pub(crate) async fn greet(&self, partition: &Partition) -> Result<(), GreetError> {
        let inner = &*self.0;
        let greeted = partition
            .greet(&inner.stream, &inner.config, &inner.metrics)
            .await;
        self.report();
        greeted.map(drop)
    }

    /// Tells admission what Redis is good for: one good partition is enough.
    pub(crate) fn report(&self) {
        let faults = || self.0.partitions.iter().map(Partition::fault);
        let state = if faults().any(|fault| fault.is_none()) {
            RedisState::Ready
        } else if faults().any(|fault| matches!(fault, Some(Fault::Full))) {
            RedisState::Full
        } else {
            RedisState::Unavailable
        };
        self.0.load.set_redis(state);
    }

    async fn append_frames(&self, drafts: Vec<FrameDraft>, deadline: Instant) -> AppendOutcome {
        let Some(partition) = self.choose() else {
            return AppendOutcome::NotAccepted;
        };
        let cargo = Cargo::Drafts(drafts);
        let mut attempts = Attempts {
            partition,
            cargo,
            is_unknown: false,
        };
        let mut backoff = Backoff::new(RETRY_FIRST, 2, RETRY_MAX);
        loop {
            let attempted = self.0.clock.now();
            match timeout_at(deadline.into(), self.attempt(&mut attempts)).await {
                Ok(Attempt::Appended) => return AppendOutcome::Appended,
                Ok(Attempt::Failed) => {}
                // A call whose turn came late has had no fair time to hear anything.
                Err(_) if self.0.clock.now() - attempted >= FAIR_TIME => partition.mark_silent(),
                Err(_) => {}
            }
            self.report();
            let wait = backoff.next_delay();
            if self.0.clock.now() + wait >= deadline {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        if attempts.is_unknown {
            AppendOutcome::NotConfirmed
        } else {
            AppendOutcome::NotAccepted
        }
    }

    /// Takes partitions in turn, those that refuse only when all do.
    fn choose(&self) -> Option<&Partition> {
        let partitions = &self.0.partitions;
        let first = self.0.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            (0..partitions.len())
                .filter_map(|step| partitions.get((first + step) % partitions.len()))
        };
        in_turn()
            .find(|partition| partition.fault().is_none())
            .or_else(|| in_turn().next())
    }

    /// One attempt.
    ///
    /// # Cancel safety
    /// Safe: `is_unknown` is set before anything is sent, and taken back only by an answer.
    async fn attempt(&self, attempts: &mut Attempts<'_>) -> Attempt {
        let inner = &*self.0;
        let partition = attempts.partition;
        let greeted = partition.greeted(&inner.stream, &inner.config, &inner.metrics);
        let Ok(life) = greeted.await else {
            return Attempt::Failed;
        };
        if let Cargo::Drafts(drafts) = &mut attempts.cargo {
            let Some(frames) = self.seal(partition, drafts) else {
                return Attempt::Failed;
            };
            attempts.cargo = Cargo::Sealed(frames);
        }
        let Cargo::Sealed(frames) = &attempts.cargo else {
            return Attempt::Failed;
        };
        let was_unknown = attempts.is_unknown;
        attempts.is_unknown = true;
        let at = inner.clock.now();
        let sent = Sent { life, at, frames };
        match inner.stream.append(partition.number(), life, frames).await {
            Ok(entries) if partition.acknowledge(&sent, &entries) => Attempt::Appended,
            // It was sent in an older life, whose answers count for nothing.
            Ok(_) => Attempt::Failed,
            Err(error) => {
                if !matches!(error, AppendError::Unknown(_)) {
                    attempts.is_unknown = was_unknown;
                }
                partition.failed(&error);
                let failures = match error {
                    AppendError::SayHello => &inner.metrics.new_life,
                    AppendError::Full => &inner.metrics.full,
                    AppendError::Refused(_) => &inner.metrics.refused,
                    AppendError::Unknown(_) => &inner.metrics.unknown,
                };
                failures.increment(1);
                Attempt::Failed
            }
        }
    }

    /// Gives the frames their identity: one clock read for all of them. `None` when the producer
    /// has no numbers left; the next greeting registers another one.
    fn seal(&self, partition: &Partition, drafts: &mut Vec<FrameDraft>) -> Option<Vec<Frame>> {
        let received_at_ms = self.0.clock.now_ms();
        let second = u32::try_from(received_at_ms / 1_000).unwrap_or(u32::MAX);
        let ids = partition.frame_ids(second, drafts.len())?;
        let config = &self.0.config;
        let seal = |(draft, id): (FrameDraft, _)| {
            let frame = draft.seal(FrameStamp {
                id,
                received_at_ms,
                codec: config.codec,
                fingerprint: config.fingerprint,
                flags: 0,
            });
            self.0.metrics.frame_events.record(frame.events);
            frame
        };
        Some(
            std::mem::take(drafts)
                .into_iter()
                .zip(ids)
                .map(seal)
                .collect(),
        )
    }
}

/// What one attempt came to.
enum Attempt {
    Appended,
    Failed,
}
