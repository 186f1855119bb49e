//! Writes the sketches that bulks gathered, every second.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{SketchBucket, SketchUpdate, StreamError};
use tracing::debug;

use crate::context::Context;

const EVERY: Duration = Duration::from_secs(1);

/// Writes what is gathered, for the last time when `is_last`.
pub async fn write(context: &Context, is_last: bool) {
    let (updates, lost) = context.sketches.take(is_last, context.clock.now());
    context.metrics.sketches_lost.increment(lost);
    if updates.is_empty() {
        return;
    }
    let places: Vec<_> = updates.iter().map(|(place, _)| place.clone()).collect();
    // Memory is for what has to be kept; what was gathered is left out.
    if context.memory_short.load(Ordering::Relaxed) {
        return context.sketches.forget(places);
    }
    if let Err(error) = write_all(context, updates).await {
        debug!(%error, "sketches not written");
        context.sketches.forget(places);
    }
}

async fn write_all(
    context: &Context,
    updates: Vec<(SketchBucket, SketchUpdate)>,
) -> Result<(), StreamError> {
    for (bucket, update) in updates {
        context.stream.add_to_sketches(&bucket, update).await?;
    }
    Ok(())
}

/// Writes every second until the shutdown; what comes after that is written last of all.
///
/// # Errors
/// None: what fails is left out.
pub async fn run(context: Arc<Context>, shutdown: Shutdown) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return Ok(()),
            _ = ticks.tick() => write(&context, false).await,
        }
    }
}
