//! `[shutdown]`

use std::time::Duration;

use super::{Key, Source};

/// How long draining may take.
pub const SHUTDOWN_GRACE: Key<Duration> = Key::new(
    "shutdown.grace",
    "15s",
    "Longest time from the end of the delay to the exit. Lower cuts requests and bulks that are \
     still under way (nothing is lost, clients and other processors retry); higher delays a \
     rollout, and must stay below the orchestrator's own limit.",
)
.range("1s", "10m");

/// How long to go on serving after readiness has ended.
pub const SHUTDOWN_DELAY: Key<Duration> = Key::new(
    "shutdown.delay",
    "0s",
    "Time between \"not ready\" and the end of accepting connections. Behind a load balancer that \
     polls readiness set it to a few polls (5s to 15s), or clients see refused connections.",
)
.range("0s", "5m");

/// How the service ends.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownConfig {
    /// See [`SHUTDOWN_GRACE`].
    pub grace: Duration,
    /// See [`SHUTDOWN_DELAY`].
    pub delay: Duration,
}

impl ShutdownConfig {
    /// Reads the section.
    pub fn read(source: &mut Source) -> Self {
        Self {
            grace: source.get(&SHUTDOWN_GRACE),
            delay: source.get(&SHUTDOWN_DELAY),
        }
    }
}
