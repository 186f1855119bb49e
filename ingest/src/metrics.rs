//! What this service measures.

use std::time::Instant;

use evp_shared::metric_table;
use evp_shared::outcome::RejectReason;
use evp_shared::stream::AppendError;

use crate::admission::ShedReason;
use crate::outcome::AppendOutcome;

metric_table! {
    /// Handles of all metrics.
    pub(crate) struct Metrics {
        counter "evp_ingest_events_total" "Events by what became of them."
            [outcome] accepted, duplicate, rejected, not_accepted, not_confirmed;
        counter "evp_ingest_rejected_events_total" "Rejected events by reason."
            [reason in RejectReason::ALL] rejected_for;
        histogram "evp_ingest_request_duration_seconds"
            "Time from a request's header to its answer."
            [route in Route::ALL, status_class in ["1xx", "2xx", "3xx", "4xx", "5xx"]] requests;
        gauge "evp_ingest_in_flight_requests" "Requests being answered." [] in_flight;
        counter "evp_ingest_shed_requests_total" "Requests refused for load, by reason."
            [reason in ShedReason::ALL] shed;
        counter "evp_ingest_limited_requests_total"
            "Requests of keys and tenants over a rate or a quota." [] limited;
        counter "evp_ingest_body_bytes_total" "Bytes of request bodies, as received."
            [] body_bytes;
        histogram "evp_ingest_frame_events" "Events of each frame." [] frame_events;
        histogram "evp_ingest_append_duration_seconds"
            "Time from a call's first attempt to its outcome."
            [outcome in AppendOutcome::ALL] appends;
        counter "evp_ingest_append_failures_total" "Append attempts that failed, by kind."
            [kind in AppendFailure::ALL] append_failures;
        counter "evp_ingest_new_lives_total" "New lives of Redis this instance has entered."
            [] lives;
        counter "evp_ingest_replayed_frames_total" "Frames appended again in a new life of Redis."
            [] replayed;
        counter "evp_ingest_events_possibly_lost_total"
            "Acknowledged events a new life may lack: an upper bound." [] possibly_lost;
        counter "evp_ingest_backlog_lost_events_total"
            "Events of a backlog that was found missing." [] backlog_lost;
        gauge "evp_ingest_access_age_seconds"
            "Time since Redis said last what is held of who may come in." [] access_age;
        gauge "evp_ingest_redis_memory_ratio" "Share of Redis' memory that is used; 0 without a limit."
            [] memory;
        gauge "evp_ingest_backlog_events" "Events appended and not yet committed."
            [] backlog_events;
    }
}

evp_shared::choices! {
    /// What an answer is for.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Route {
        Events = "/events",
        Other = "other",
    }
}

evp_shared::choices! {
    /// How an attempt to append failed.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum AppendFailure {
        NewLife = "new_life",
        Full = "full",
        Refused = "refused",
        Unknown = "unknown",
    }
}

impl From<&AppendError> for AppendFailure {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::SayHello => Self::NewLife,
            AppendError::Full => Self::Full,
            AppendError::Refused(_) => Self::Refused,
            AppendError::Unknown(_) => Self::Unknown,
        }
    }
}

impl Metrics {
    pub(crate) fn began(&self, now: Instant) -> UnderWay<'_> {
        self.in_flight.increment(1.0);
        UnderWay {
            metrics: self,
            began: now,
        }
    }

    pub(crate) fn rejected(&self, reason: RejectReason) {
        let counts_as = if reason == RejectReason::DuplicateInRequest {
            &self.duplicate
        } else {
            &self.rejected
        };
        counts_as.increment(1);
        self.rejected_for[reason as usize].increment(1);
    }

    /// Counts what became of valid events.
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
    metrics: &'m Metrics,
    began: Instant,
}

impl UnderWay<'_> {
    pub(crate) fn ended(self, route: Route, status: u16, now: Instant) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.metrics.requests[route as usize][class].record(now - self.began);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1.0);
    }
}
