//! Watches a run: what every process uses, what is on the stream, how long events take.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use evp_shared::redis::Memory;
use evp_shared::stream::{Stream, Totals};
use futures::TryFutureExt as _;

use super::host::HostCpu;
use super::latency::{Sampler, Since};
use super::process::Usage;
use crate::load::Quantiles;

/// Between two looks at the backlog.
const BACKLOG_EVERY: Duration = Duration::from_millis(100);
/// Between two samples of latencies.
const LATENCY_EVERY: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);

/// A process that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// evp-ingest.
    Ingest,
    /// evp-processor.
    Processor,
    /// redis-server.
    Redis,
    /// mongod.
    Mongod,
    /// This process: what measuring costs.
    Harness,
}

impl Role {
    /// Its name in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Processor => "processor",
            Self::Redis => "redis",
            Self::Mongod => "mongod",
            Self::Harness => "harness",
        }
    }
}

/// When to measure.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The first request is due.
    pub start: Instant,
    /// Measuring begins.
    pub measured: Instant,
    /// The last request was due.
    pub end: Instant,
    /// Looks go on after that until no more events than these are in the backlog.
    pub until_below: Option<f64>,
}

impl Window {
    /// How long is measured.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.end - self.measured
    }
}

/// One look, once a second.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since measuring began.
    pub at: Duration,
    /// Of the stream.
    pub totals: Totals,
    /// Of the watched processes, in their order.
    pub usage: Vec<Usage>,
    /// Memory Redis uses, bytes.
    pub redis_bytes: u64,
    /// Of the machine.
    pub host: HostCpu,
}

/// What was seen of a run.
#[derive(Debug)]
pub struct Timeline {
    /// Who was watched.
    pub roles: Vec<Role>,
    /// Once a second, from the beginning of the measured part to its end, or until all but a little
    /// is stored.
    pub snapshots: Vec<Snapshot>,
    /// Time since measuring began, and events appended and not committed.
    pub backlog: Vec<(Duration, i64)>,
    /// From the time a request was due to the commit of its events.
    pub stored: Option<Quantiles>,
}

/// Watches `processes` and partition 0 of `stream` until the end of `window`.
///
/// # Errors
/// Redis does not answer, or a process has ended.
pub async fn watch(
    stream: &Stream,
    processes: &[(Role, u32)],
    window: Window,
    since: Option<Since>,
) -> anyhow::Result<Timeline> {
    let (snapshots, backlog, stored) = futures::try_join!(
        snapshots(stream, processes, window),
        backlog(stream, window),
        latencies(stream, window, since),
    )?;
    Ok(Timeline {
        roles: processes.iter().map(|(role, _)| *role).collect(),
        snapshots,
        backlog,
        stored,
    })
}

async fn snapshots(
    stream: &Stream,
    processes: &[(Role, u32)],
    window: Window,
) -> anyhow::Result<Vec<Snapshot>> {
    let mut snapshots = Vec::new();
    let mut at = Duration::ZERO;
    while at <= window.length() || is_behind(&snapshots, window) {
        tokio::time::sleep_until((window.measured + at).into()).await;
        let usage = processes
            .iter()
            .map(|(role, pid)| {
                let usage = match role {
                    Role::Harness => Usage::of_self(),
                    _ => Usage::of(*pid),
                };
                usage.with_context(|| format!("{} has ended", role.as_str()))
            })
            .collect::<anyhow::Result<_>>()?;
        let host = HostCpu::read()?;
        let (totals, memory) = futures::try_join!(
            stream.totals(0).map_err(anyhow::Error::from),
            Memory::ask(stream.client()).map_err(anyhow::Error::from),
        )?;
        snapshots.push(Snapshot {
            at,
            totals,
            usage,
            redis_bytes: memory.used,
            host,
        });
        at += SECOND;
    }
    Ok(snapshots)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a backlog has far fewer than 52 bits"
)]
fn is_behind(snapshots: &[Snapshot], window: Window) -> bool {
    let backlog = snapshots.last().map(|last| last.totals.backlog_events());
    let both = backlog.zip(window.until_below);
    both.is_some_and(|(backlog, most)| backlog as f64 > most)
}

async fn backlog(stream: &Stream, window: Window) -> anyhow::Result<Vec<(Duration, i64)>> {
    let mut backlog = Vec::new();
    let mut at = Duration::ZERO;
    while at <= window.length() {
        tokio::time::sleep_until((window.measured + at).into()).await;
        backlog.push((at, stream.totals(0).await?.backlog_events()));
        at += BACKLOG_EVERY;
    }
    Ok(backlog)
}

async fn latencies(
    stream: &Stream,
    window: Window,
    since: Option<Since>,
) -> anyhow::Result<Option<Quantiles>> {
    let Some(since) = since else {
        return Ok(None);
    };
    let mut sampler = Sampler::new(stream.clone(), since)?;
    let mut at = window.start;
    while at <= window.end {
        tokio::time::sleep_until(at.into()).await;
        sampler.sample(at > window.measured).await?;
        at += LATENCY_EVERY;
    }
    Ok(Some(Quantiles::of_ms(&sampler.histogram)))
}
