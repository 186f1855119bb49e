//! Writes the sketches that bulks gathered, every second.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use tracing::{debug, info};

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
        let erasures = match pipeline.committer.stream.erasures().await {
            Ok(erasures) => erasures,
            // Nobody knows whether there was one.
            Err(error) => {
                debug!(%error, "sketches wait");
                continue;
            }
        };
        // Whoever erases takes a name out of what is written, not out of what is held here; and where
        // this comes late, that was done already. So what is held goes, and is not written first.
        if erasures.is_some() && erasures != known {
            let left_out = sketches.begin_top_anew();
            info!(left_out, "top users begun anew: a person was erased");
        }
        known = erasures;
        write(&pipeline, false).await;
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
