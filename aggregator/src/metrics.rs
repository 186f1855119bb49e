//! What the aggregator measures.

use std::time::Duration;

use evp_shared::choice::Choice as _;
use evp_shared::{choices, metric_table};
use http::StatusCode;

choices! {
    /// A resource of the public port, by its label.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Route {
        /// The list of events.
        Events = "/events",
        /// One event.
        Event = "/events/{id}",
        /// The counters.
        Metrics = "/metrics",
        /// Their history.
        Series = "/metrics/series",
        /// Users and sessions.
        Analytics = "/analytics",
        /// The live stream, until its first byte.
        Stream = "/stream",
        /// All below it.
        Admin = "/admin",
        /// Whether the service lives.
        Livez = "/livez",
        /// Everything else.
        Other = "other",
    }
}

impl Route {
    /// The route of a path.
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/events/") {
            Some(id) if !id.is_empty() && !id.contains('/') => Self::Event,
            _ if path == Self::Admin.as_str() => Self::Other,
            _ if path.starts_with("/admin/") => Self::Admin,
            _ => Self::named(path).unwrap_or(Self::Other),
        }
    }
}

metric_table! {
    /// Handles of the public port's metrics.
    pub struct RequestMetrics {
        histogram "evp_aggregator_request_duration_seconds" "Requests by route and status class."
            [route in Route::ALL, status_class in ["2xx", "4xx", "5xx"]] requests;
    }
}

impl RequestMetrics {
    /// Records one request.
    pub fn record(&self, route: Route, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        self.requests[route as usize][class].record(took);
    }
}

metric_table! {
    /// Handles of the live stream's metrics.
    pub struct FeedMetrics {
        gauge "evp_aggregator_live_subscribers" "Clients of the live stream." [] subscribers;
        counter "evp_aggregator_stream_events_total" "Events of the live stream by outcome."
            [outcome] sent, dropped;
        counter "evp_aggregator_stream_resumes_total" "Clients that came back by outcome."
            [outcome] resumed, reset;
    }
}

metric_table! {
    /// Handles of the counter reads: from memory, or by the read another request had begun; from
    /// Redis; not at all.
    pub struct CacheMetrics {
        counter "evp_aggregator_cache_requests_total" "Counter reads by how they were answered."
            [result] hit, miss, error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_the_labels() {
        let table = [
            ("/events", Route::Events),
            ("/events/abc", Route::Event),
            ("/events/", Route::Other),
            ("/events/a/b", Route::Other),
            ("/metrics", Route::Metrics),
            ("/metrics/series", Route::Series),
            ("/metrics/x", Route::Other),
            ("/analytics", Route::Analytics),
            ("/stream", Route::Stream),
            ("/admin/dead-letters/x", Route::Admin),
            ("/admin", Route::Other),
            ("/", Route::Other),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
