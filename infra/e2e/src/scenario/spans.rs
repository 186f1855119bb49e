//! Events that lie in many spans, and the end of a day between two attempts.

use anyhow::{Context as _, Result, ensure};
use evp_devstack::{ScratchDir, find};
use evp_shared::clock::Clock;
use evp_shared::event::span::SPANS;

use super::{Size, load, under_load};
use crate::{Expected, Journal, Outcome, Post, System, Times, until};

pub(super) const DAY_MS: u64 = 86_400_000;
/// Events of a request that is sent again on the next day.
const REPEATED: u32 = 200;

/// The same bodies are sent before midnight and after it, with and without times of their own.
pub(super) async fn across_midnight(size: Size) -> Result<Outcome> {
    let library = find::libfaketime().await?.display().to_string();
    let scratch = ScratchDir::new()?;
    let file = scratch.path().join("now");
    let now_ms = Clock::system().now_ms();
    let midnight_ms = now_ms / DAY_MS * DAY_MS;
    let before_midnight = format!("-{}s", (now_ms - midnight_ms) / 1_000 + 60);
    std::fs::write(&file, &before_midnight)?;
    let mut system = System::of("same_body_across_midnight")
        .born(now_ms - 40 * DAY_MS)
        .env_of("ingest-0", "LD_PRELOAD", library)
        .env_of(
            "ingest-0",
            "FAKETIME_TIMESTAMP_FILE",
            file.display().to_string(),
        )
        .env_of("ingest-0", "FAKETIME_NO_CACHE", "1")
        .env_of("ingest-0", "FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
        .await?;
    let bodies = size.of(20, 100, 1_000);
    let events = bodies * REPEATED;
    // Around that midnight.
    let times = Times {
        first_ms: midnight_ms - DAY_MS / 2,
        step_ms: DAY_MS / u64::from(events),
        within_ms: DAY_MS,
    };
    system.events.happen(0, times);
    system.events.leave_undated(7);
    let mut journal = Journal::default();
    for shift in [before_midnight.as_str(), "+0"] {
        std::fs::write(&file, shift)?;
        for first in (0..events).step_by(REPEATED as usize) {
            let numbers = first..first + REPEATED;
            let body = system.events.array(numbers.clone());
            let post = Post::json(&system.http, &system.ingests[0].url(), body);
            post.acknowledged(&mut journal, numbers).await?;
        }
    }
    let faults = format!("{bodies} bodies sent before a midnight and after it");
    let expected = Expected::default();
    let outcome = system.balance(&journal, &expected, faults).await?;
    let verdict = outcome.verdict.as_ref().context("a verdict")?;
    ensure!(verdict.duplicates == i64::from(events), "{verdict}");
    Ok(outcome)
}

/// Each frame holds events of many days, while processors are killed: all spans a frame needs are
/// there before it is acknowledged.
pub(super) async fn many_days_in_a_frame(size: Size) -> Result<Outcome> {
    let now_ms = Clock::system().now_ms();
    let builder = System::of("many_days_in_a_frame").processors(2).own_mongo();
    let mut system = builder.born(now_ms - 40 * DAY_MS).start().await?;
    let times = Times {
        first_ms: now_ms - 30 * DAY_MS,
        step_ms: 7 * DAY_MS / 24 + 1,
        within_ms: 30 * DAY_MS,
    };
    system.events.happen(0, times);
    let (events, kills) = size.of((10_000, 10), (40_000, 20), (200_000, 50));
    let journal = under_load(&mut system, load(events), kills, async |system, _, _| {
        let processor = system.processors.first_mut().context("a processor")?;
        processor.kill().await;
        processor.restart().await
    })
    .await?;
    until("each of the 30 days has its span", async || {
        let names = system.mongo.database().list_collection_names().await;
        names.is_ok_and(|names| {
            let spans = names.iter().filter(|name| name.starts_with(SPANS.0));
            spans.count() >= 30
        })
    })
    .await?;
    let faults = format!("{kills} kills of a processor, 30 spans");
    system.balance(&journal, &Expected::default(), faults).await
}
