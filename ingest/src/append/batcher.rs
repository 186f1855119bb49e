//! Hot path: joins the events of concurrent requests into frames, and hands them on: group commit.
//!
//! While fewer than `appends_in_flight` appends are under way, what has come is appended at once;
//! else it waits and grows. So frames are small when idle, and grow by themselves under load: no
//! wait is fixed. (A fixed wait of 1 ms capped 64 connections at 21,000 events/s with the CPU
//! idle.)

use std::sync::Arc;
use std::time::Duration;

use evp_shared::tasks::TaskPool;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::MissedTickBehavior;

use crate::append::appender::Appender;
use crate::append::frames::FrameLimits;
use crate::append::pending::Pending;
use crate::append::submission::{Submission, Waiter};
use crate::outcome::AppendOutcome;

/// Submissions taken from the queue between two looks at the appends.
const TAKEN_AT_ONCE: usize = 1_024;

/// How often the queue is looked at while no append ends, so that it does not fill up: with the bound
/// above 100,000 requests/s are taken, more than one ingest decodes.
const LOOK: Duration = Duration::from_millis(10);

/// How the batcher works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatcherConfig {
    pub(crate) limits: FrameLimits,
    pub(crate) appends_in_flight: usize,
    /// How long a request may wait for its append, from when it was taken from the queue.
    pub(crate) deadline: Duration,
}

/// The one task that forms frames.
#[derive(Debug)]
pub(crate) struct Batcher {
    config: BatcherConfig,
    submissions: mpsc::Receiver<Submission>,
    pending: Pending<Waiter>,
    appender: Arc<Appender>,
    appends: TaskPool,
    in_flight: FuturesUnordered<JoinHandle<Option<()>>>,
}

impl Batcher {
    pub(crate) fn new(
        config: BatcherConfig,
        submissions: mpsc::Receiver<Submission>,
        appender: Arc<Appender>,
    ) -> Self {
        Self {
            config,
            submissions,
            pending: Pending::new(config.limits),
            appender,
            appends: TaskPool::new("append", config.appends_in_flight),
            in_flight: FuturesUnordered::new(),
        }
    }

    /// Works until every sender of submissions is gone and every request is answered.
    ///
    /// While something waits for its turn, what comes stays in the queue until an append ends: it
    /// wakes nobody.
    ///
    /// # Errors
    /// An append panicked.
    pub(crate) async fn run(mut self) -> Result<(), JoinError> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = true;
        while is_open || !self.in_flight.is_empty() {
            self.expire();
            self.dispatch();
            self.report();
            let has_waiting = !self.pending.is_empty();
            let mut first = None;
            tokio::select! {
                biased;
                Some(appended) = self.in_flight.next() => drop(appended?),
                _ = look.tick(), if has_waiting => {}
                submission = self.submissions.recv(), if is_open && !has_waiting => {
                    is_open = submission.is_some();
                    first = submission;
                }
            }
            self.take(first);
        }
        self.appender.target.load.set_oldest_ms(None);
        Ok(())
    }

    fn take(&mut self, mut first: Option<Submission>) {
        let now = self.appender.clock.now();
        for _ in 0..TAKEN_AT_ONCE {
            let next = first.take();
            let Some(submission) = next.or_else(|| self.submissions.try_recv().ok()) else {
                break;
            };
            let batch = &submission.request.batch;
            self.pending
                .add(&submission.tenant, batch, submission.waiter, now);
        }
    }

    fn dispatch(&mut self) {
        while !self.pending.is_empty()
            && let Some(slot) = self.appends.try_slot()
            && let Some(call) = self.pending.pop()
        {
            let deadline = call.opened + self.config.deadline;
            let appender = Arc::clone(&self.appender);
            self.in_flight
                .push(slot.spawn(async move { appender.append(call, deadline).await }));
        }
    }

    /// Answers what waited for its turn until its deadline: nothing of it was ever sent.
    fn expire(&mut self) {
        let now = self.appender.clock.now();
        while self
            .pending
            .oldest()
            .is_some_and(|opened| opened + self.config.deadline <= now)
        {
            for waiter in self.pending.pop().into_iter().flat_map(|call| call.waiters) {
                waiter.tell(AppendOutcome::NotAccepted);
            }
        }
    }

    /// Only what waits for its turn counts: an append under way that takes long makes others wait.
    fn report(&self) {
        let oldest = self.pending.oldest().map(|opened| {
            let age = self.appender.clock.now().saturating_duration_since(opened);
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            self.appender.clock.now_ms().saturating_sub(age_ms)
        });
        self.appender.target.load.set_oldest_ms(oldest);
    }
}
