//! What a listener tells about its connections.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const CONNECTIONS: &str = "evp_http_open_connections";
const REFUSED: &str = "evp_http_connections_refused_total";
const CLOSED: &str = "evp_http_connections_closed_total";
const ACCEPT_ERRORS: &str = "evp_http_accept_errors_total";

/// Handles resolved once per listener.
#[derive(Debug, Clone)]
pub(super) struct ServerMetrics {
    open: Gauge,
    refused: Counter,
    accept_errors: Counter,
    ended: Counter,
    broken: Counter,
    slow_header: Counter,
    idle: Counter,
    slow_reader: Counter,
    cut: Counter,
    panicked: Counter,
}

/// Why a connection is no more: a closed list, a label of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// By the client, or after the last answer of a drain.
    Ended,
    /// Broken protocol or transport.
    Broken,
    /// A header that did not come to its end in time.
    SlowHeader,
    /// No request for too long.
    Idle,
    /// Nothing of an answer taken for too long.
    SlowReader,
}

/// Counts a connection as open while it lives, and as closed when it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    metrics: ServerMetrics,
    closed: Option<Closed>,
}

impl ServerMetrics {
    pub(super) fn resolve(listener: &'static str) -> Self {
        describe_gauge!(CONNECTIONS, "Open connections.");
        describe_counter!(
            REFUSED,
            "Connections answered 503 because too many were open."
        );
        describe_counter!(CLOSED, "Connections closed, by reason.");
        describe_counter!(ACCEPT_ERRORS, "Connections that could not be accepted.");
        let closed =
            |reason: &'static str| counter!(CLOSED, "listener" => listener, "reason" => reason);
        Self {
            open: gauge!(CONNECTIONS, "listener" => listener),
            refused: counter!(REFUSED, "listener" => listener),
            accept_errors: counter!(ACCEPT_ERRORS, "listener" => listener),
            ended: closed("ended"),
            broken: closed("broken"),
            slow_header: closed("slow_header"),
            idle: closed("idle"),
            slow_reader: closed("slow_reader"),
            cut: closed("cut"),
            panicked: closed("panicked"),
        }
    }

    pub(super) fn opened(&self) -> OpenConnection {
        self.open.increment(1.0);
        OpenConnection {
            metrics: self.clone(),
            closed: None,
        }
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(super) fn accept_error(&self) {
        self.accept_errors.increment(1);
    }
}

impl OpenConnection {
    pub(super) const fn closed(&mut self, closed: Closed) {
        self.closed = Some(closed);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.open.decrement(1.0);
        let counter = match self.closed {
            Some(Closed::Ended) => &self.metrics.ended,
            Some(Closed::Broken) => &self.metrics.broken,
            Some(Closed::SlowHeader) => &self.metrics.slow_header,
            Some(Closed::Idle) => &self.metrics.idle,
            Some(Closed::SlowReader) => &self.metrics.slow_reader,
            None if std::thread::panicking() => &self.metrics.panicked,
            None => &self.metrics.cut,
        };
        counter.increment(1);
    }
}
