//! Takes on a certificate that was renewed, and says how long the present one is good.

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::time::Duration;

use futures::StreamExt as _;

use super::metrics::TlsMetrics;
use crate::clock::Clock;
use crate::shutdown::Shutdown;
use crate::telemetry::as_f64;
use crate::tls::{Pair, PairError, Tls, TlsFiles};

/// Files that are replaced are seen within this time, links that lead to others too.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const MS_PER_DAY: f64 = 86_400_000.0;

/// Looks whether the files hold another pair, and shows that one.
#[derive(Debug)]
pub struct Exchange {
    files: TlsFiles,
    pair: Pair,
    tls: Tls,
    clock: Clock,
    every: Duration,
    metrics: TlsMetrics,
    /// What was said of the files last, which is not said again.
    fault: Option<String>,
}

impl Exchange {
    /// Looks after what `tls` shows, which is `pair` and came from `files`.
    pub fn new(files: TlsFiles, pair: Pair, tls: Tls, clock: Clock) -> Self {
        Self {
            files,
            pair,
            tls,
            clock,
            every: LOOK_EVERY,
            metrics: TlsMetrics::resolve(),
            fault: None,
        }
    }

    /// Looks this often instead of every 10 s.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Looks until the shutdown.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        tracing::info!(days_left = self.days_left(), "speaking TLS");
        let mut looks = shutdown.every(self.every);
        while looks.next().await.is_some() {
            match self.look().await {
                Ok(()) => self.fault = None,
                Err(error) => self.refuse(&error),
            }
            self.metrics.days_left.set(self.days_left());
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), PairError> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let contents = read.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))?;
        if contents.digest() == self.pair.digest {
            return Ok(());
        }
        let (pair, now_ms) = (contents.pair()?, self.clock.now_ms());
        if pair.ends_ms <= now_ms && self.pair.ends_ms > now_ms {
            return Err(PairError::Ended);
        }
        self.pair = pair;
        self.tls.show(&self.pair);
        tracing::info!(days_left = self.days_left(), "another certificate is shown");
        Ok(())
    }

    /// Files are replaced one after the other, so what is wrong may be right with the next look.
    fn refuse(&mut self, error: &PairError) {
        self.metrics.refused.increment(1);
        let fault = format!("{} {error}", error.key());
        if self.fault.as_ref() != Some(&fault) {
            tracing::warn!(fault, "the certificate is not exchanged, the old one stays");
            self.fault = Some(fault);
        }
    }

    fn days_left(&self) -> f64 {
        (as_f64(self.pair.ends_ms) - as_f64(self.clock.now_ms())) / MS_PER_DAY
    }
}
