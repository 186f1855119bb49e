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
use evp_shared::stream::{AppendError, Life};
use tokio::time::timeout_at;

use crate::admission::RedisState;
use crate::append::greeting::{Fault, Target};
use crate::append::partition::Partition;
use crate::append::submission::{Call, Waiter};
use crate::metrics::AppendFailure;
use crate::outcome::AppendOutcome;

/// Pace of attempts: soon at first, for a Redis that is only restarting.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// An attempt that had less time than this says nothing about the partition.
const FAIR_TIME: Duration = Duration::from_millis(100);

/// Appends calls.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) target: Target,
    pub(crate) partitions: Vec<Partition>,
    /// Whose turn it is.
    next: AtomicUsize,
    pub(crate) clock: Clock,
}

/// One call on its way.
struct Attempts<'a> {
    partition: &'a Partition,
    /// What is sealed with the first attempt, for good.
    drafts: Vec<FrameDraft>,
    frames: Vec<Frame>,
    /// Whether an attempt that may have worked has had no answer.
    is_unknown: bool,
}

impl Appender {
    pub(crate) fn new(target: Target, clock: Clock) -> Self {
        let partitions = (0..target.stream.partitions())
            .map(|number| Partition::new(number, target.held, &clock))
            .collect();
        Self {
            target,
            partitions,
            next: AtomicUsize::new(0),
            clock,
        }
    }

    /// Appends the frames of a call and tells everybody who waits for them.
    pub(crate) async fn append(&self, call: Call<Waiter>, deadline: Instant) {
        let started = self.clock.now();
        let outcome = self.append_frames(call.frames, deadline).await;
        let took = self.clock.now() - started;
        self.target.metrics.appends[outcome as usize].record(took);
        for waiter in call.waiters {
            waiter.tell(outcome);
        }
    }

    /// Greets a partition whatever is known of it, and reports what that shows.
    pub(crate) async fn greet(&self, partition: &Partition) -> Result<Life, Arc<Fault>> {
        let greeted = partition.greet(&self.target).await;
        self.report();
        greeted
    }

    /// Tells admission what Redis is good for: one good partition is enough.
    pub(crate) fn report(&self) {
        let states = self
            .partitions
            .iter()
            .map(|partition| match partition.fault().as_deref() {
                None => RedisState::Ready,
                Some(Fault::Full) => RedisState::Full,
                Some(_) => RedisState::Unavailable,
            });
        let best = states.max().unwrap_or(RedisState::Unavailable);
        self.target.load.set_redis(best);
    }

    async fn append_frames(&self, drafts: Vec<FrameDraft>, deadline: Instant) -> AppendOutcome {
        let Some(partition) = self.choose() else {
            return AppendOutcome::NotAccepted;
        };
        let mut attempts = Attempts {
            partition,
            drafts,
            frames: Vec::new(),
            is_unknown: false,
        };
        let mut backoff = Backoff::new(RETRY_FIRST, 2, RETRY_MAX);
        loop {
            let attempted = self.clock.now();
            match timeout_at(deadline.into(), self.attempt(&mut attempts)).await {
                Ok(true) => return AppendOutcome::Appended,
                Ok(false) => {}
                // A call whose turn came late has had no fair time to hear anything.
                Err(_) if self.clock.now() - attempted >= FAIR_TIME => partition.mark_silent(),
                Err(_) => {}
            }
            self.report();
            let wait = backoff.next_delay();
            if self.clock.now() + wait >= deadline {
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
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(self.partitions.len())?;
        let (later, sooner) = self.partitions.split_at(first);
        let mut in_turn = sooner.iter().chain(later);
        in_turn
            .find(|partition| partition.fault().is_none())
            .or_else(|| sooner.first())
    }

    /// One attempt, and whether it worked.
    ///
    /// # Cancel safety
    /// Safe: `is_unknown` is set before anything is sent, and taken back only by an answer.
    async fn attempt(&self, attempts: &mut Attempts<'_>) -> bool {
        let partition = attempts.partition;
        let Ok(life) = partition.greeted(&self.target).await else {
            return false;
        };
        if attempts.frames.is_empty() && !self.seal(attempts) {
            return false;
        }
        let Target {
            stream, metrics, ..
        } = &self.target;
        let frames = &attempts.frames;
        let was_unknown = std::mem::replace(&mut attempts.is_unknown, true);
        let sent_at = self.clock.now();
        match stream.append(partition.number, life, frames).await {
            // Unless it was sent in an older life, whose answers count for nothing.
            Ok(entries) => partition.acknowledge(life, sent_at, frames, &entries),
            Err(error) => {
                let failure = AppendFailure::from(&error);
                metrics.append_failures[failure as usize].increment(1);
                partition.failed(&error);
                attempts.is_unknown = was_unknown || matches!(error, AppendError::Unknown(_));
                false
            }
        }
    }

    /// Gives the frames their identity: one clock read for all of them. `false` when the producer
    /// has no numbers left; the next greeting registers another one.
    fn seal(&self, attempts: &mut Attempts<'_>) -> bool {
        let received_at_ms = self.clock.now_ms();
        let second = u32::try_from(received_at_ms / 1_000).unwrap_or(u32::MAX);
        let drafts = &mut attempts.drafts;
        let Some(ids) = attempts.partition.frame_ids(second, drafts.len()) else {
            return false;
        };
        let target = &self.target;
        let sealed = drafts.drain(..).zip(ids).map(|(draft, id)| {
            draft.seal(FrameStamp {
                id,
                received_at_ms,
                codec: target.codec,
                fingerprint: target.fingerprint,
                flags: 0,
            })
        });
        attempts.frames.extend(sealed);
        for frame in &attempts.frames {
            target.metrics.frame_events.record(frame.events);
        }
        true
    }
}
