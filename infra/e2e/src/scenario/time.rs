//! The clock of one instance jumps.

use anyhow::{Context as _, Result};
use evp_devstack::{ScratchDir, find};

use super::{Size, load, under_load};
use crate::{Expected, Outcome, System};

/// Where the clocks go, one after the other.
const JUMPS: [&str; 4] = ["+1h", "-1h", "+10m", "+0"];

/// One of two ingests and one of two processors live in times that jump by up to an hour, forth and
/// back, under load.
pub(super) async fn jumps(size: Size) -> Result<Outcome> {
    let library = find::libfaketime().await?.display().to_string();
    let scratch = ScratchDir::new()?;
    let file = scratch.path().join("now");
    std::fs::write(&file, "+0")?;
    let mut builder = System::of("clock_jumps").ingests(2).processors(2);
    for node in ["ingest-0", "processor-0"] {
        builder = builder
            .env_of(node, "LD_PRELOAD", &library)
            .env_of(node, "FAKETIME_TIMESTAMP_FILE", file.display().to_string())
            .env_of(node, "FAKETIME_NO_CACHE", "1")
            .env_of(node, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((10_000, 4), (40_000, 8), (100_000, 20));
    let journal = under_load(&mut system, load(events), rounds, async |_, _, round| {
        let jump = usize::try_from(round)? % JUMPS.len();
        let to = JUMPS.get(jump).context("a jump")?;
        Ok(std::fs::write(&file, to)?)
    })
    .await?;
    let faults = format!(
        "{rounds} jumps of the clock of one ingest and one processor, to an hour ahead and behind"
    );
    system.balance(&journal, &Expected::default(), faults).await
}
