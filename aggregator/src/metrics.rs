//! What the aggregator measures. Names here, handles resolved once.

use std::sync::Arc;
use std::time::Duration;

use evp_shared::metric_table;
use http::StatusCode;
use metrics::{Histogram, describe_histogram, histogram};

/// Requests on the public port and how long they took, by route and class of status.
pub const REQUEST_DURATION: &str = "evp_aggregator_request_duration_seconds";

/// A resource of the public port: a closed list, a label of [`REQUEST_DURATION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/events`
    Events,
    /// `/events/{id}`
    Event,
    /// `/metrics`
    Metrics,
    /// `/metrics/series`
    Series,
    /// `/analytics`
    Analytics,
    /// `/stream`, until its first byte
    Stream,
    /// `/admin/...`
    Admin,
    /// `/livez`
    Livez,
    /// Everything else.
    Other,
}

impl Route {
    /// All routes.
    pub const ALL: [Self; 9] = [
        Self::Events,
        Self::Event,
        Self::Metrics,
        Self::Series,
        Self::Analytics,
        Self::Stream,
        Self::Admin,
        Self::Livez,
        Self::Other,
    ];

    /// The route of a path.
    pub fn of(path: &str) -> Self {
        match path {
            "/events" => Self::Events,
            "/metrics" => Self::Metrics,
            "/metrics/series" => Self::Series,
            "/analytics" => Self::Analytics,
            "/stream" => Self::Stream,
            "/livez" => Self::Livez,
            _ if path.starts_with("/admin/") => Self::Admin,
            _ => match path.strip_prefix("/events/") {
                Some(id) if !id.is_empty() && !id.contains('/') => Self::Event,
                _ => Self::Other,
            },
        }
    }

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "/events",
            Self::Event => "/events/{id}",
            Self::Metrics => "/metrics",
            Self::Series => "/metrics/series",
            Self::Analytics => "/analytics",
            Self::Stream => "/stream",
            Self::Admin => "/admin",
            Self::Livez => "/livez",
            Self::Other => "other",
        }
    }
}

const STATUS_CLASSES: [&str; 3] = ["2xx", "4xx", "5xx"];

/// Handles of [`REQUEST_DURATION`]; each connection and request holds a clone.
#[derive(Debug, Clone)]
pub struct RequestMetrics(Arc<[[Histogram; 3]; 9]>);

impl RequestMetrics {
    /// Resolves the handles.
    pub fn resolve() -> Self {
        describe_histogram!(REQUEST_DURATION, "Requests by route and status class.");
        Self(Arc::new(Route::ALL.map(|route| {
            STATUS_CLASSES.map(|class| {
                histogram!(REQUEST_DURATION, "route" => route.as_str(), "status_class" => class)
            })
        })))
    }

    /// Records one request.
    pub fn record(&self, route: Route, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        let at = Route::ALL.iter().position(|known| *known == route);
        let handle = at.and_then(|at| self.0.get(at)?.get(class));
        if let Some(handle) = handle {
            handle.record(took);
        }
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
