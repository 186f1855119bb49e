//! What a listener tells about its connections.

crate::metric_table! {
    /// Handles resolved once per listener.
    pub(super) struct ServerMetrics(listener: &'static str) {
        gauge "evp_http_open_connections" "Open connections." [listener = listener] open;
        counter "evp_http_connections_refused_total"
            "Connections refused because too many were open." [listener = listener, reason in Refused::ALL]
            refused;
        counter "evp_http_connections_closed_total" "Connections closed, by reason."
            [listener = listener, reason in Closed::ALL] closed;
        counter "evp_http_accept_errors_total" "Connections that could not be accepted."
            [listener = listener] accept_errors;
    }
}

crate::metric_table! {
    /// What is told of the certificate that a listener shows.
    pub(super) struct TlsMetrics {
        gauge "evp_tls_certificate_days_left"
            "Days until the first certificate of the chain ends that the public port shows." []
            days_left;
        counter "evp_tls_certificates_refused_total"
            "Looks that found no good certificate and key in the files; the old ones stay." [] refused;
    }
}

crate::choices! {
    /// What had too many connections: a label of the metric.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Refused {
        /// The listener.
        All = "all",
        /// The address of the client.
        Address = "address",
    }
}

crate::choices! {
    /// Why a connection is no more: a label of the metric.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Closed {
        /// By the client, or after the last answer of a drain.
        Ended = "ended",
        /// Broken protocol or transport.
        Broken = "broken",
        /// A TLS handshake that failed, or did not come to its end in time.
        Handshake = "handshake",
        /// A header that did not come to its end in time.
        SlowHeader = "slow_header",
        /// No request for too long.
        Idle = "idle",
        /// Nothing of an answer taken for too long.
        SlowReader = "slow_reader",
        /// By the end of a grace period.
        Cut = "cut",
        /// Its task panicked.
        Panicked = "panicked",
    }
}

/// Counts a connection as open while it lives, and as closed when it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection<'m> {
    metrics: &'m ServerMetrics,
    /// Why it is no more, when its task comes to its end.
    pub(super) closed: Closed,
}

impl ServerMetrics {
    pub(super) fn opened(&self) -> OpenConnection<'_> {
        self.open.increment(1.0);
        OpenConnection {
            metrics: self,
            closed: Closed::Cut,
        }
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.metrics.open.decrement(1.0);
        let closed = if std::thread::panicking() {
            Closed::Panicked
        } else {
            self.closed
        };
        self.metrics.closed[closed as usize].increment(1);
    }
}
