//! What this service measures. Every name is a const here; handles are resolved once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evp_shared::outcome::RejectReason;
use evp_shared::stream::AppendError;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::admission::ShedReason;
use crate::outcome::AppendOutcome;

/// Events by what became of them: `accepted`, `duplicate`, `rejected`, `not_accepted`,
/// `not_confirmed`.
pub const EVENTS: &str = "evp_ingest_events_total";
/// Rejected events by reason.
pub const REJECTED: &str = "evp_ingest_rejected_events_total";
/// Requests by route and class of status.
pub const REQUEST_SECONDS: &str = "evp_ingest_request_duration_seconds";
/// Requests being answered.
pub const REQUESTS_IN_FLIGHT: &str = "evp_ingest_in_flight_requests";
/// Requests refused for load, by reason.
pub const SHED: &str = "evp_ingest_shed_requests_total";
/// Bytes of bodies, as received.
pub const BODY_BYTES: &str = "evp_ingest_body_bytes_total";
/// Events of each frame.
pub const FRAME_EVENTS: &str = "evp_ingest_frame_events";
/// Calls by outcome, from their first attempt to their last.
pub const APPEND_SECONDS: &str = "evp_ingest_append_duration_seconds";
/// Attempts that failed, by kind.
pub const APPEND_FAILURES: &str = "evp_ingest_append_failures_total";
/// New lives of Redis this instance has entered.
pub const LIVES: &str = "evp_ingest_new_lives_total";
/// Frames appended again because Redis began a new life.
pub const REPLAYED: &str = "evp_ingest_replayed_frames_total";
/// Acknowledged events that a new life of Redis may lack: an upper bound.
pub const POSSIBLY_LOST: &str = "evp_ingest_events_possibly_lost_total";
/// Events of a backlog that was found missing by this instance.
pub const BACKLOG_LOST: &str = "evp_ingest_backlog_lost_events_total";
/// Events appended and not yet committed, over all partitions.
pub const BACKLOG_EVENTS: &str = "evp_ingest_backlog_events";

/// Gives every metric its help text.
pub fn describe() {
    describe_counter!(EVENTS, "Events by what became of them.");
    describe_counter!(REJECTED, "Rejected events by reason.");
    describe_histogram!(
        REQUEST_SECONDS,
        "Time from a request's header to its answer."
    );
    describe_gauge!(REQUESTS_IN_FLIGHT, "Requests being answered.");
    describe_counter!(SHED, "Requests refused for load, by reason.");
    describe_counter!(BODY_BYTES, "Bytes of request bodies, as received.");
    describe_histogram!(FRAME_EVENTS, "Events of each frame.");
    describe_histogram!(
        APPEND_SECONDS,
        "Time from a call's first attempt to its outcome."
    );
    describe_counter!(APPEND_FAILURES, "Append attempts that failed, by kind.");
    describe_counter!(LIVES, "New lives of Redis this instance has entered.");
    describe_counter!(REPLAYED, "Frames appended again in a new life of Redis.");
    describe_counter!(
        POSSIBLY_LOST,
        "Acknowledged events a new life may lack: an upper bound."
    );
    describe_counter!(BACKLOG_LOST, "Events of a backlog that was found missing.");
    describe_gauge!(BACKLOG_EVENTS, "Events appended and not yet committed.");
}

/// What an answer is for, in the label `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Events,
    Other,
}

/// Handles of the request path.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    pub(crate) outcomes: Arc<OutcomeMetrics>,
    duplicate: Counter,
    rejected: Counter,
    reasons: Vec<Counter>,
    shed: Vec<Counter>,
    body_bytes: Counter,
    in_flight: Gauge,
    events_seconds: [Histogram; 5],
    other_seconds: [Histogram; 5],
}

impl RequestMetrics {
    pub(crate) fn resolve() -> Self {
        let outcome = |name| counter!(EVENTS, "outcome" => name);
        let seconds = |route| {
            ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| histogram!(REQUEST_SECONDS, "route" => route, "status_class" => class))
        };
        let reason = |reason: &RejectReason| counter!(REJECTED, "reason" => reason.as_str());
        let shed = |reason: &ShedReason| counter!(SHED, "reason" => reason.as_str());
        Self {
            outcomes: Arc::new(OutcomeMetrics::resolve()),
            duplicate: outcome("duplicate"),
            rejected: outcome("rejected"),
            reasons: RejectReason::ALL.iter().map(reason).collect(),
            shed: ShedReason::ALL.iter().map(shed).collect(),
            body_bytes: counter!(BODY_BYTES),
            in_flight: gauge!(REQUESTS_IN_FLIGHT),
            events_seconds: seconds("/events"),
            other_seconds: seconds("other"),
        }
    }

    pub(crate) fn began(&self, now: Instant) -> UnderWay<'_> {
        self.in_flight.increment(1.0);
        UnderWay {
            metrics: self,
            began: now,
        }
    }

    pub(crate) fn body(&self, bytes: usize) {
        self.body_bytes.increment(bytes as u64);
    }

    pub(crate) fn shed(&self, reason: ShedReason) {
        let at = ShedReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = at.and_then(|at| self.shed.get(at)) {
            counter.increment(1);
        }
    }

    pub(crate) fn rejected(&self, reason: RejectReason) {
        let counts_as = if reason == RejectReason::DuplicateInRequest {
            &self.duplicate
        } else {
            &self.rejected
        };
        counts_as.increment(1);
        let at = RejectReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = at.and_then(|at| self.reasons.get(at)) {
            counter.increment(1);
        }
    }
}

/// Handles of what became of valid events.
#[derive(Debug)]
pub(crate) struct OutcomeMetrics {
    accepted: Counter,
    not_accepted: Counter,
    not_confirmed: Counter,
}

impl OutcomeMetrics {
    fn resolve() -> Self {
        let outcome = |name| counter!(EVENTS, "outcome" => name);
        Self {
            accepted: outcome("accepted"),
            not_accepted: outcome("not_accepted"),
            not_confirmed: outcome("not_confirmed"),
        }
    }

    pub(crate) fn count(&self, outcome: AppendOutcome, events: usize) {
        let counter = match outcome {
            AppendOutcome::Appended => &self.accepted,
            AppendOutcome::NotAccepted => &self.not_accepted,
            AppendOutcome::NotConfirmed => &self.not_confirmed,
        };
        counter.increment(events as u64);
    }
}

/// One request being answered; it also ends when its client goes away.
#[derive(Debug)]
pub(crate) struct UnderWay<'m> {
    metrics: &'m RequestMetrics,
    began: Instant,
}

impl UnderWay<'_> {
    pub(crate) fn ended(self, route: Route, status: u16, now: Instant) {
        let classes = match route {
            Route::Events => &self.metrics.events_seconds,
            Route::Other => &self.metrics.other_seconds,
        };
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        if let Some(histogram) = classes.get(class) {
            histogram.record((now - self.began).as_secs_f64());
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1.0);
    }
}

/// Handles of the append path.
#[derive(Clone, Debug)]
pub(crate) struct AppendMetrics {
    frame_events: Histogram,
    appended: Histogram,
    not_accepted: Histogram,
    not_confirmed: Histogram,
    said_hello: Counter,
    full: Counter,
    refused: Counter,
    unknown: Counter,
    lives: Counter,
    replayed: Counter,
    possibly_lost: Counter,
    backlog_lost: Counter,
    backlog_events: Gauge,
}

impl AppendMetrics {
    pub(crate) fn resolve() -> Self {
        let outcome = |name| histogram!(APPEND_SECONDS, "outcome" => name);
        let failure = |kind| counter!(APPEND_FAILURES, "kind" => kind);
        Self {
            frame_events: histogram!(FRAME_EVENTS),
            appended: outcome("appended"),
            not_accepted: outcome("not_accepted"),
            not_confirmed: outcome("not_confirmed"),
            said_hello: failure("new_life"),
            full: failure("full"),
            refused: failure("refused"),
            unknown: failure("unknown"),
            lives: counter!(LIVES),
            replayed: counter!(REPLAYED),
            possibly_lost: counter!(POSSIBLY_LOST),
            backlog_lost: counter!(BACKLOG_LOST),
            backlog_events: gauge!(BACKLOG_EVENTS),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a frame has far fewer events than 2^52"
    )]
    pub(crate) fn frame_sealed(&self, events: usize) {
        self.frame_events.record(events as f64);
    }

    pub(crate) fn appended(&self, outcome: AppendOutcome, took: Duration) {
        let histogram = match outcome {
            AppendOutcome::Appended => &self.appended,
            AppendOutcome::NotAccepted => &self.not_accepted,
            AppendOutcome::NotConfirmed => &self.not_confirmed,
        };
        histogram.record(took.as_secs_f64());
    }

    pub(crate) fn attempt_failed(&self, error: &AppendError) {
        let counter = match error {
            AppendError::SayHello => &self.said_hello,
            AppendError::Full => &self.full,
            AppendError::Refused(_) => &self.refused,
            AppendError::Unknown(_) => &self.unknown,
        };
        counter.increment(1);
    }

    pub(crate) fn new_life(&self, frames_replayed: usize, events_possibly_lost: u64) {
        self.lives.increment(1);
        self.replayed.increment(frames_replayed as u64);
        self.possibly_lost.increment(events_possibly_lost);
    }

    pub(crate) fn backlog_lost(&self, events: i64) {
        self.backlog_lost
            .increment(u64::try_from(events).unwrap_or(0));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a backlog has far fewer events than 2^52"
    )]
    pub(crate) fn backlog(&self, events: i64) {
        self.backlog_events.set(events as f64);
    }
}
