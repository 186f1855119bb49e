//! What the servers and the HTTP library can do without EVP: every figure is told as a ratio to
//! one of these, measured directly before and after its row, because the machine drifts.

pub mod append;
pub mod http;
pub mod insert;
mod samples;

use std::time::Duration;

use evp_shared::store::{EVENTS, Index, SpanIndex, State, spans};
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::load::millis;
use crate::measure::watch::Role;
use crate::row::Row;
use crate::run::child;
use crate::stack::{Environment, Layout, Servers};

/// Before measuring begins.
const WARMUP: Duration = Duration::from_secs(1);
/// Beyond what a ceiling measures: starting, connecting.
const SLACK: Duration = Duration::from_secs(30);

/// Longest that those are measured which do the same from the first second on. mongod does not: it
/// gets slower when its cache is dirty, and again at a checkpoint, so it is measured as long as rows
/// are.
const STEADY: Duration = Duration::from_secs(5);

/// The ceilings of which the rate of `row` is a share.
#[must_use]
pub fn of(row: &Row) -> Vec<&'static str> {
    // A ceiling has mongod's whole cache and events of now.
    if !row.layout.processor || row.layout.cache_gb.is_some() {
        return Vec::new();
    }
    let mongo = match row.layout.indexes {
        [] => "mongo-none",
        ["type"] => "mongo-type",
        _ => "mongo-default",
    };
    match row.load.request_events {
        1 => vec!["http-null"],
        100 => vec![mongo, "redis-100"],
        500 => vec![mongo, "redis-500"],
        _ => vec![mongo],
    }
}

/// A ceiling to measure in a process of its own. It travels there as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawSpec {
    /// URL of the server.
    pub url: String,
    /// Database, or prefix of the keys.
    pub name: String,
    /// Its process id, if it is ours.
    pub server_pid: Option<u32>,
    /// Documents per command, or events per frame.
    pub events: u16,
    /// Commands at once.
    pub in_flight: u16,
    /// How long to go on before measuring begins.
    pub warmup_ms: u64,
    /// How long is measured.
    pub measured_ms: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RawReport {
    /// Events written in the measured part.
    pub events: u64,
    /// How long that took.
    pub seconds: f64,
    /// CPU seconds of the process that wrote.
    pub client_cpu_s: f64,
    /// CPU seconds of the server.
    pub server_cpu_s: f64,
}

impl RawReport {
    fn figures(&self) -> Figures {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 52 bits")]
        let events = self.events as f64;
        let cost = |cpu_s: f64| cpu_s * 1e6 / events.max(1.0);
        Figures::from([
            ("events_per_s".to_owned(), events / self.seconds),
            ("cpu_client".to_owned(), cost(self.client_cpu_s)),
            ("cpu_server".to_owned(), cost(self.server_cpu_s)),
        ])
    }
}

/// Measures the ceiling called `name` for `measured`.
///
/// # Errors
/// A server could not be started, or failed.
pub async fn measure(
    environment: &Environment,
    name: &str,
    measured: Duration,
) -> anyhow::Result<Figures> {
    let steady = measured.min(STEADY);
    match name {
        "mongo-none" => inserts(environment, &[], measured).await,
        "mongo-type" => inserts(environment, &[Index::Type], measured).await,
        "mongo-default" => inserts(environment, &[Index::Type, Index::User], measured).await,
        "redis-100" => appends(environment, 100, steady).await,
        "redis-500" => appends(environment, 500, steady).await,
        "http-null" => http::measure(steady).await,
        other => anyhow::bail!("there is no ceiling {other}"),
    }
}

async fn inserts(
    environment: &Environment,
    indexes: &[Index],
    measured: Duration,
) -> anyhow::Result<Figures> {
    let servers = Servers::start(environment, Layout::new(&[])).await?;
    let wanted = SpanIndex::wanted(indexes, State::Hot);
    spans::create_indexes(&servers.database().await?, EVENTS, &wanted).await?;
    let spec = RawSpec {
        url: servers.mongo_uri.clone(),
        events: 1_500,
        in_flight: 4,
        ..spec(&servers, Role::Mongod, measured)
    };
    let report: RawReport = raw("raw-inserts", &spec).await?;
    servers.clean().await?;
    Ok(report.figures())
}

async fn appends(
    environment: &Environment,
    events: u16,
    measured: Duration,
) -> anyhow::Result<Figures> {
    let servers = Servers::start(environment, Layout::new(&[])).await?;
    let spec = RawSpec {
        url: servers.redis_url.clone(),
        events,
        in_flight: 8,
        ..spec(&servers, Role::Redis, measured)
    };
    let report: RawReport = raw("raw-appends", &spec).await?;
    servers.clean().await?;
    Ok(report.figures())
}

fn spec(servers: &Servers, role: Role, measured: Duration) -> RawSpec {
    let processes = servers.processes();
    let server = processes.iter().find(|(each, _)| *each == role);
    RawSpec {
        url: String::new(),
        name: servers.name.clone(),
        server_pid: server.map(|(_, pid)| *pid),
        events: 1,
        in_flight: 1,
        warmup_ms: millis(WARMUP),
        measured_ms: millis(measured),
    }
}

async fn raw(command: &str, spec: &RawSpec) -> anyhow::Result<RawReport> {
    let arguments = [command.to_owned(), serde_json::to_string(spec)?];
    let deadline = Duration::from_millis(spec.warmup_ms + spec.measured_ms) + SLACK;
    child(std::env::current_exe()?, arguments, deadline).await
}
