//! What the aggregator measures.

use std::time::Duration;

use evp_shared::metric_table;
use http::StatusCode;

/// Routes of the public port that are told apart. `/stream` is measured until its first byte; the
/// last one is everything else.
const ROUTES: [&str; 12] = [
    "/events",
    "/events/{id}",
    "/metrics",
    "/metrics/series",
    "/analytics",
    "/stream",
    "/usage",
    "/session",
    "/sign-in",
    "/admin",
    "/livez",
    "other",
];

metric_table! {
    /// Handles of the public port's metrics.
    pub struct RequestMetrics {
        histogram "evp_aggregator_request_duration_seconds" "Requests by route and status class."
            [route in ROUTES, status_class in ["2xx", "4xx", "5xx"]] requests;
    }
}

metric_table! {
    /// Handles of what is known of who may come in.
    pub struct AccessMetrics {
        gauge "evp_aggregator_access_age_seconds"
            "Time since Redis said last what is held of who may come in." [] age;
    }
}

metric_table! {
    /// Handles of sign-ins.
    pub struct SignInMetrics {
        counter "evp_aggregator_sign_ins_total" "Sign-ins by outcome."
            [outcome] accepted, refused, limited;
    }
}

metric_table! {
    /// Handles of mails.
    pub struct MailMetrics {
        counter "evp_aggregator_mails_total" "Codes to sign in that were asked for, by what became of their mail."
            [outcome] sent, withheld, failed;
    }
}

metric_table! {
    /// Handles of what is known of canaries.
    pub struct CanaryMetrics {
        gauge "evp_aggregator_canary_age_seconds" "Age of the newest canary that is stored." [] age;
        gauge "evp_aggregator_canary_missing_events"
            "Canaries that are not stored while later ones of the same ingest are." [] missing;
    }
}

evp_shared::choices! {
    /// How a notice is told.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NoticeChannel {
        /// Posted.
        Webhook = "webhook",
        /// Mailed.
        Mail = "mail",
        /// As a line, where there is no other.
        Log = "log",
    }
}

evp_shared::choices! {
    /// What became of a notice.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NoticeOutcome {
        /// The receiver took it.
        Sent = "sent",
        /// It did not, three times.
        Failed = "failed",
        /// Too many waited for the receiver.
        Dropped = "dropped",
    }
}

metric_table! {
    /// Handles of notices.
    pub struct NoticeMetrics {
        counter "evp_aggregator_notices_total" "Notices by channel and by what became of them."
            [channel in NoticeChannel::ALL, outcome in NoticeOutcome::ALL] notices;
    }
}

impl NoticeMetrics {
    /// Counts one.
    pub fn count(&self, channel: NoticeChannel, outcome: NoticeOutcome) {
        self.notices[channel as usize][outcome as usize].increment(1);
    }
}

impl RequestMetrics {
    /// Records one request to `route`, as the router has it.
    pub fn record(&self, route: &str, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            500.. => 2,
            400.. => 1,
            _ => 0,
        };
        self.requests[place_of(route)][class].record(took);
    }
}

/// Where in [`ROUTES`] it is.
fn place_of(route: &str) -> usize {
    let folders = ["/admin", "/session", "/sign-in"];
    let is_in = |folder: &&str| {
        let inside = route.strip_prefix(*folder);
        inside.is_some_and(|inside| inside.starts_with('/'))
    };
    let label = folders.into_iter().find(is_in).unwrap_or(route);
    let place = ROUTES.iter().position(|known| *known == label);
    place.unwrap_or(ROUTES.len() - 1)
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
    fn every_route_has_one_of_the_labels() {
        for route in ROUTES {
            assert_eq!(ROUTES[place_of(route)], route);
        }
        let table = [
            ("/admin/dead-letters/{id}", "/admin"),
            ("/admin/info", "/admin"),
            ("/admin/none", "/admin"),
            ("/session/tenant", "/session"),
            ("/sign-in/key", "/sign-in"),
            ("/sign-inx", "other"),
            ("/docs/{*file}", "other"),
            ("/assets/{file}", "other"),
            ("/", "other"),
            ("", "other"),
        ];
        for (route, label) in table {
            assert_eq!(ROUTES[place_of(route)], label, "{route}");
        }
    }
}
