//! What reading costs: queries over a large collection, many clients of the live stream, counters
//! among many tenants.

pub mod metrics;
pub mod queries;
pub mod streams;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use evp_shared::clock::Clock;

use crate::load::{GeneratorSpec, Load, LoadReport, millis};
use crate::run::generate;
use crate::stack::Stack;

/// How long the last answers of a load may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the first request of a load: its generator starts and connects.
const LEAD: Duration = Duration::from_millis(1_500);
/// Sent before anything is measured.
const WARMUP: Duration = Duration::from_secs(1);

/// Sends `load` for `measured`, after [`LEAD`] and [`WARMUP`].
async fn send(stack: &Stack, load: Load, measured: Duration) -> anyhow::Result<LoadReport> {
    let spec = GeneratorSpec {
        load,
        port: stack.ingest_port,
        keys: stack.keys.clone(),
        authority: stack.authority_pem(),
        start_at_ms: Clock::system().now_ms() + millis(LEAD),
        warmup_ms: millis(WARMUP),
        measured_ms: millis(measured),
        patience_ms: millis(PATIENCE),
    };
    let report = generate(&spec).await;
    let report = report.with_context(|| format!("the services wrote:\n{}", stack.logs()))?;
    ensure!(
        report.accepted == report.sent,
        "{} of {} events were accepted",
        report.accepted,
        report.sent
    );
    Ok(report)
}
