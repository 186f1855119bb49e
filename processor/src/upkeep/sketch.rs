//! Writes the sketches that bulks gathered, every second.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use tracing::debug;

use crate::bulk::pipeline::Pipeline;

const EVERY: Duration = Duration::from_secs(1);

/// Writes what is gathered every second until the shutdown; what comes after that is for
/// [`write()`] to write last of all.
///
/// # Errors
/// None: what fails is left out.
pub async fn run(pipeline: Arc<Pipeline>, shutdown: Shutdown) -> Result<(), Infallible> {
    let mut ticks = shutdown.every(EVERY);
    let mut known = None;
    while ticks.next().await.is_some() {
        let Some(sketches) = &pipeline.sketches else {
            continue;
        };
        match pipeline.committer.stream.erasures().await {
            // Whoever erases takes a name out of what is written, not out of what is held here.
            Ok(erasures) if erasures != known => {
                write(&pipeline, true).await;
                sketches.begin_top_anew();
                known = erasures;
            }
            _ => write(&pipeline, false).await,
        }
    }
    Ok(())
}

/// Writes what is gathered; all of it where this is the last time, `is_last`, that it can be.
pub async fn write(pipeline: &Pipeline, is_last: bool) {
    let Pipeline {
        sketches: Some(sketches),
        committer,
        metrics,
        clock,
        ..
    } = pipeline
    else {
        return;
    };
    let (updates, lost) = sketches.take(is_last, clock.now());
    metrics.sketches_lost.increment(lost);
    if updates.is_empty() {
        return;
    }
    let places: Vec<_> = updates.iter().map(|(place, _)| place.clone()).collect();
    // Memory is for what has to be kept; what was gathered is left out.
    let is_short = committer.memory_short.load(Ordering::Relaxed);
    if is_short {
        return sketches.forget(places);
    }
    for (bucket, update) in updates {
        if let Err(error) = committer.stream.add_to_sketches(&bucket, update).await {
            debug!(%error, "sketches not written");
            return sketches.forget(places);
        }
    }
}
