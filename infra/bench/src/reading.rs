//! What reading costs: queries over a large collection, and many clients of the live stream.

pub mod queries;
pub mod streams;

use std::time::Duration;

use anyhow::Context as _;

use crate::load::{GeneratorSpec, Load, LoadReport};
use crate::run::generate;
use crate::stack::Stack;

/// How long the last answers of a load may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `load` for `measured`, after a second that is not measured.
async fn send(stack: &Stack, load: Load, measured: Duration) -> anyhow::Result<LoadReport> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let spec = GeneratorSpec {
        load,
        port: stack.ingest_port,
        start_at_ms: 0,
        warmup_ms: 1_000,
        measured_ms: millis(measured),
        patience_ms: millis(PATIENCE),
    };
    let report = generate(&spec).await;
    report.with_context(|| format!("the services wrote:\n{}", stack.logs()))
}
