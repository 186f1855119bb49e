//! What travels to the stream, and who waits for it.

use std::sync::Arc;
use std::time::Instant;

use evp_shared::frame::FrameDraft;
use evp_shared::outcome::RejectReason;
use tokio::sync::oneshot;

use crate::admission::Reservation;
use crate::decode::DecodedRequest;
use crate::metrics::Metrics;
use crate::outcome::AppendOutcome;
use crate::sender::Sender;

/// One decoded request on its way to the stream.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) tenant: Arc<str>,
    pub(crate) request: Arc<DecodedRequest>,
    pub(crate) waiter: Waiter,
}

/// Who is told what became of a request.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<(AppendOutcome, Reservation)>,
    /// The request's bytes count as in flight, and then those of its answer.
    pub(crate) reserved: Reservation,
    /// How many events it has.
    pub(crate) events: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sending: Sending,
}

/// Whose events they are, and when they were taken of the quota of the day.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) sender: Sender,
    pub(crate) taken_ms: u64,
}

impl Sending {
    /// Counts what became of its events.
    pub(crate) fn ended(&self, outcome: AppendOutcome, events: usize) {
        match outcome {
            AppendOutcome::Appended => self.sender.accepted(events),
            AppendOutcome::NotAccepted => {
                self.give_back(events);
                self.sender.refused(RejectReason::NotAccepted);
            }
            AppendOutcome::NotConfirmed => self.sender.refused(RejectReason::NotConfirmed),
        }
    }

    pub(crate) fn give_back(&self, events: usize) {
        self.sender.give_back(events, self.taken_ms);
    }
}

impl Waiter {
    /// Counts here, not where the answer is made: a client that has left has none.
    pub(crate) fn tell(self, outcome: AppendOutcome) {
        self.metrics.count(outcome, self.events);
        self.sending.ended(outcome, self.events);
        if self.answer.send((outcome, self.reserved)).is_err() {
            tracing::debug!(outcome = ?outcome, "the client did not wait for its answer");
        }
    }
}

/// Frames that are appended in one call: all or none, all on one partition.
#[derive(Debug)]
pub(crate) struct Call<W> {
    /// The frames; none is empty.
    pub(crate) frames: Vec<FrameDraft>,
    /// Who waits for them.
    pub(crate) waiters: Vec<W>,
    /// When the first of them was taken from the queue: their deadline counts from here.
    pub(crate) opened: Instant,
    pub(super) bytes: usize,
    /// Whether the last frame takes more requests.
    pub(super) is_open: bool,
}

impl<W> Call<W> {
    pub(super) fn new(opened: Instant) -> Self {
        Self {
            frames: Vec::new(),
            waiters: Vec::new(),
            opened,
            bytes: 0,
            is_open: false,
        }
    }
}
