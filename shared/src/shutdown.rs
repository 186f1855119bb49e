//! The order to stop, passed down to everything that runs.

use std::io;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::tasks;

/// Exit code after a second signal: work may have been left.
const EXIT_AT_ONCE: i32 = 1;

/// Asks everything that holds it to drain and end; clones share one order.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Creates an order that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the order on SIGTERM or SIGINT; a second signal ends the process at once with code 1.
    ///
    /// # Errors
    /// The operating system refused a signal handler.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut next = async move || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let order = shutdown.clone();
        tasks::spawn_for_process_life(async move {
            let name = next().await;
            tracing::info!(
                signal = name,
                "draining; a second signal ends the process at once"
            );
            order.trigger();
            let name = next().await;
            tracing::warn!(signal = name, "second signal: exiting without draining");
            std::process::exit(EXIT_AT_ONCE);
        });
        Ok(shutdown)
    }

    /// Gives the order; giving it twice is harmless.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Waits for the order.
    ///
    /// # Cancel safety
    /// Safe: the order stays given.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// Ticks at once and then every `period` until the order is given; one that is late puts off
    /// those after it.
    ///
    /// # Panics
    /// Outside a tokio runtime, or with a period of zero.
    pub fn every(&self, period: Duration) -> BoxStream<'static, ()> {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ticks = stream::poll_fn(move |context| ticks.poll_tick(context).map(|_| Some(())));
        ticks.take_until(self.0.clone().cancelled_owned()).boxed()
    }

    /// Whether the order has been given.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns an order that follows this one, but can also be given alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_follows_its_parent_but_not_the_reverse() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.trigger();
        first.triggered().await;
        assert!(!parent.is_triggered() && !second.is_triggered());
        parent.trigger();
        second.triggered().await;
        assert!(parent.child().is_triggered());
    }
}
