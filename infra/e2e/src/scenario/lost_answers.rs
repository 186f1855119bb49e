//! The one answer that matters is lost: what was asked for is done, and its asker does not know.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Size, load_in, under_load};
use crate::system::Link;
use crate::{Expected, Marker, Outcome, Progress, Proxy, System};

/// Requests go on one by one and are small, so that the load is not over before its faults.
const STEP_EVERY: Duration = Duration::from_millis(150);
const BATCH: RangeInclusive<u32> = 5..=40;

/// Ingest does not hear that its frame is appended, and appends it again.
pub(super) async fn after_append(size: Size) -> Result<Outcome> {
    let builder = System::of("answer_lost_after_append").proxied(Link::IngestRedis);
    let mut system = builder.start().await?;
    let (events, rounds) = sizes(size);
    let journal = under_load(
        &mut system,
        load_in(events, BATCH),
        rounds,
        async |system, progress, _| {
            let nth = 1 + system.chance.below(3) as u64;
            let proxy = system.proxy(Link::IngestRedis)?;
            let before = proxy.losses();
            proxy.lose_answer(Marker::APPEND, nth);
            until_lost(proxy, before, progress).await
        },
    )
    .await?;
    let faults = format!("{rounds} answers lost after the append");
    system.balance(&journal, &Expected::default(), faults).await
}

/// The processor does not hear that its bulk is inserted.
pub(super) async fn after_insert(size: Size) -> Result<Outcome> {
    of_processor(
        "answer_lost_after_insert",
        Marker::INSERT,
        Link::ProcessorMongo,
        size,
    )
    .await
}

/// The processor does not hear that its receipts are written.
pub(super) async fn after_receipt(size: Size) -> Result<Outcome> {
    of_processor(
        "answer_lost_after_receipt",
        Marker::RECEIPT,
        Link::ProcessorMongo,
        size,
    )
    .await
}

/// The processor does not hear that its bulk is committed.
pub(super) async fn after_commit(size: Size) -> Result<Outcome> {
    of_processor(
        "answer_lost_after_commit",
        Marker::COMMIT,
        Link::ProcessorRedis,
        size,
    )
    .await
}

/// The processor does not hear that its dead letters are kept.
pub(super) async fn after_dead_letter(size: Size) -> Result<Outcome> {
    let name = "answer_lost_after_dead_letter";
    of_processor(name, Marker::DEAD_LETTER, Link::ProcessorMongo, size).await
}

/// Half of the times the processor goes on, half of the times it is killed at that very point.
async fn of_processor(
    scenario: &'static str,
    marker: Marker,
    link: Link,
    size: Size,
) -> Result<Outcome> {
    let builder = System::of(scenario)
        .processors(2)
        .proxied(link)
        // Many bulks: there must be some left for the last answer to be lost.
        .env("EVP__PROCESSOR__BULK_EVENTS", "100")
        .claims_after("1500ms", "1200ms");
    let mut system = builder.start().await?;
    let (events, rounds) = sizes(size);
    let poisons = scenario == "answer_lost_after_dead_letter";
    let mut poison = 0;
    let journal = under_load(
        &mut system,
        load_in(events, BATCH),
        rounds,
        async |system, progress, round| {
            let nth = 1 + system.chance.below(3) as u64;
            let proxy = system.proxy(link)?;
            let before = proxy.losses();
            proxy.lose_answer(marker, if poisons { 1 } else { nth });
            if poisons {
                super::poison::append_garbage(system, "an answer is lost").await?;
                poison += 1;
            }
            until_lost(system.proxy(link)?, before, progress).await?;
            if round % 2 == 1 {
                // Which of the two it was cannot be told, so it is both.
                for node in &mut system.processors {
                    node.kill().await;
                    node.restart().await?;
                }
                for node in &mut system.processors {
                    node.await_ready().await?;
                }
            }
            Ok(())
        },
    )
    .await?;
    let losses = system.proxy(link)?.losses();
    ensure!(losses >= rounds, "{losses} answers lost");
    let mut expected = Expected::default();
    if poison > 0 {
        expected.dead_letters.insert("undecodable", poison);
    }
    let point = scenario.strip_prefix("answer_lost_").context("a name")?;
    let point = point.replace('_', " ");
    let faults =
        format!("{rounds} answers lost {point}, after half of them both processors killed");
    system.balance(&journal, &expected, faults).await
}

/// Lets the clients go on until one answer more than `before` is lost.
async fn until_lost(proxy: &Proxy, before: u64, progress: &Progress) -> Result<()> {
    let going_on = async {
        loop {
            progress.step();
            tokio::time::sleep(STEP_EVERY).await;
        }
    };
    tokio::select! {
        lost = proxy.lost_more_than(before) => lost,
        () = going_on => Ok(()),
    }
}

fn sizes(size: Size) -> (u32, u64) {
    size.of((10_000, 4), (40_000, 20), (200_000, 200))
}
