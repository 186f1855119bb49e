//! Processes that die, stand still, or are asked to end.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};

use super::{BACKLOG_DRAINS_WITHIN, Size, load, load_in, under_load};
use crate::system::Link;
use crate::{Expected, Journal, Node, Outcome, Post, Producer, System, until};

/// Events of a request that is sent again across a restart.
const REPEATED: u32 = 100;

/// No fault: two ingests, four partitions, two processors.
pub(super) async fn no_fault(size: Size) -> Result<Outcome> {
    let builder = System::of("no_fault")
        .ingests(2)
        .processors(2)
        .partitions(4);
    let mut system = builder.start().await?;
    let events = size.of(20_000, 200_000, 1_000_000);
    let journal = under_load(&mut system, load(events), 0, async |_, _, _| Ok(())).await?;
    let faults = "no fault, 4 partitions";
    // Each event took its time once.
    for name in ["stored", "counted"] {
        let name = format!("evp_processor_{name}_seconds_count");
        let timed = async || {
            let nodes = system.processors.iter().map(|one| one.metric(&name));
            let counts = futures::future::try_join_all(nodes).await?;
            anyhow::Ok(counts.iter().sum::<f64>())
        };
        until(&name, async || {
            timed().await.is_ok_and(|timed| timed == f64::from(events))
        })
        .await?;
    }
    system.balance(&journal, &Expected::default(), faults).await
}

/// A processor dies at any point of its work; two others and its successor finish what it had.
pub(super) async fn processor_killed(size: Size) -> Result<Outcome> {
    let builder = System::of("processor_killed").processors(3).own_mongo();
    let mut system = builder.start().await?;
    let (events, kills) = size.of((60_000, 8), (200_000, 22), (300_000, 100));
    let load = load_in(events, 50..=500);
    let journal = under_load(&mut system, load, kills, async |system, progress, kill| {
        // Half of the kills hit whatever it does, half of them surely hit work in hand.
        if kill % 2 == 0 {
            system.pause_at_work(0, progress).await?;
        }
        start_anew(system.processors.get_mut(0)).await
    })
    .await?;
    let faults = format!("{kills} kills of a processor, half of them at work, two others running");
    system.balance(&journal, &Expected::default(), faults).await
}

/// An ingest dies with requests in hand; its clients send them again with the same ids, to it or
/// to its neighbour, and what was appended before is a duplicate.
pub(super) async fn ingest_killed(size: Size) -> Result<Outcome> {
    let builder = System::of("ingest_killed").ingests(2).processors(2);
    let mut system = builder.start().await?;
    let (events, kills) = size.of((40_000, 8), (60_000, 12), (200_000, 50));
    let mut load = load(events);
    load.clients = 6;
    let journal = under_load(&mut system, load, kills, async |system, _, _| {
        start_anew(system.ingests.get_mut(0)).await
    })
    .await?;
    let faults = format!("{kills} kills of an ingest");
    let outcome = system
        .balance(&journal, &Expected::default(), faults)
        .await?;
    let stored = outcome.verdict.as_ref().map(|verdict| verdict.stored);
    ensure!(stored == Some(u64::from(events)), "{stored:?} stored");
    Ok(outcome)
}

/// The aggregator is killed and stands still: nothing of what is stored depends on it, and its
/// numbers are right when it is back.
pub(super) async fn aggregator_killed_and_paused(size: Size) -> Result<Outcome> {
    let builder = System::of("aggregator_killed_and_paused").aggregator();
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((10_000, 4), (40_000, 12), (100_000, 40));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, round| {
            let events = u64::from(events) / rounds / 4;
            if round % 2 == 0 {
                start_anew(system.aggregator.as_mut()).await?;
            } else {
                let aggregator = system.aggregator.as_ref().context("an aggregator")?;
                aggregator.pause();
                let on = progress.goes_on(events).await;
                aggregator.resume();
                on?;
            }
            Ok(())
        },
    )
    .await?;
    shows(&system, u64::from(events)).await?;
    let faults = format!("{rounds} kills and pauses of the aggregator");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Waits until the aggregator counts `events`.
pub(super) async fn shows(system: &System, events: u64) -> Result<()> {
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let url = format!("{}/metrics?window=all", aggregator.url());
    let asks = async || {
        let answer = system.reader.get(&url).send().await?.text().await?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        anyhow::Ok(answer["totals"]["events"].as_u64())
    };
    until("the aggregator has all of it", async || {
        asks().await.is_ok_and(|found| found == Some(events))
    })
    .await
}

/// A processor stands still in the middle of its work for longer than the claim idle time. Others
/// finish what it had; when it goes on where it stood, it counts nothing again.
pub(super) async fn processor_paused(size: Size) -> Result<Outcome> {
    let builder = System::of("processor_paused")
        .processors(2)
        .own_mongo()
        .claims_after("1500ms", "1200ms");
    let mut system = builder.start().await?;
    let (events, pauses) = size.of((40_000, 3), (60_000, 6), (100_000, 20));
    let journal = under_load(
        &mut system,
        load(events),
        pauses,
        async |system, progress, _| {
            system.pause_at_work(0, progress).await?;
            until("the other has taken over what it had", async || {
                system.pending_of(0).await.is_ok_and(|entries| entries == 0)
            })
            .await?;
            let processor = system.processors.get_mut(0).context("a processor")?;
            processor.resume();
            processor.await_ready().await
        },
    )
    .await?;
    let faults = format!("{pauses} pauses of a processor beyond the claim idle time");
    system.balance(&journal, &Expected::default(), faults).await
}

/// An ingest stands still with requests in hand; their clients go to its neighbour. When it goes
/// on it may append what they have sent again: duplicates, and no more.
pub(super) async fn ingest_paused(size: Size) -> Result<Outcome> {
    let builder = System::of("ingest_paused").ingests(2);
    let mut system = builder.start().await?;
    let (events, pauses) = size.of((20_000, 2), (40_000, 4), (80_000, 10));
    let mut load = load(events);
    // A client of the paused one waits for its own deadline; the others make up for it.
    load.clients = 12;
    let journal = under_load(&mut system, load, pauses, async |system, progress, _| {
        let ingest = system.ingests.first().context("an ingest")?;
        ingest.pause();
        let on = progress.goes_on(u64::from(events) / 40).await;
        ingest.resume();
        on
    })
    .await?;
    let faults = format!("{pauses} pauses of an ingest");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Two processors under one name, an operator's mistake, share their pending entries: each time
/// their connections to `MongoDB` are cut, both take up everything and work on it at once.
pub(super) async fn two_consumers_of_one_entry(size: Size) -> Result<Outcome> {
    let builder = System::of("two_consumers_of_one_entry")
        .processors(2)
        .env("EVP__PROCESSOR__NAME", "twin")
        .proxied(Link::ProcessorMongo);
    let mut system = builder.start().await?;
    let (events, cuts) = size.of((20_000, 6), (60_000, 20), (200_000, 60));
    let journal = under_load(&mut system, load(events), cuts, async |system, _, _| {
        system.proxy(Link::ProcessorMongo)?.cut();
        Ok(())
    })
    .await?;
    let faults = format!("two processors share a pending list, {cuts} cuts");
    system.balance(&journal, &Expected::default(), faults).await
}

/// A rolling restart under load: each service finishes what it has, says so with exit code 0, and
/// no client has to do more than to connect again. One that did not hear the answer of an ingest
/// that ended sends the same events again, to its successor and to its neighbour: duplicates.
pub(super) async fn drain(size: Size) -> Result<Outcome> {
    let mut system = System::of("drain").ingests(2).processors(2).start().await?;
    let (events, rounds) = size.of((40_000, 4), (80_000, 10), (300_000, 40));
    let mut repeated = Journal::default();
    let mut journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| {
            let index = usize::from(round % 2 == 1);
            let first = events + u32::try_from(round)? * REPEATED;
            let numbers = first..first + REPEATED;
            post(system, index, &mut repeated, numbers.clone()).await?;
            let nodes = [
                system.ingests.get_mut(index),
                system.processors.get_mut(index),
            ];
            for node in nodes.into_iter().flatten() {
                let status = node.term().await?;
                ensure!(status.code() == Some(0), "{}: {status}", node.name());
                node.restart().await?;
                node.await_ready().await?;
            }
            for again in [index, 1 - index] {
                post(system, again, &mut repeated, numbers.clone()).await?;
            }
            Ok(())
        },
    )
    .await?;
    let expected = repeated.accepted() - repeated.acknowledged_count();
    journal.merge(&repeated)?;
    let faults = format!(
        "{rounds} ingests and processors ended with SIGTERM, {expected} events sent again across it"
    );
    let outcome = system
        .balance(&journal, &Expected::default(), faults)
        .await?;
    let found = outcome.verdict.as_ref().map(|books| books.duplicates);
    // And what a client of the load may have sent again without an answer.
    let found = found.and_then(|found| u64::try_from(found).ok());
    let is_enough = found.is_some_and(|found| found >= expected);
    ensure!(is_enough, "{found:?} duplicates, not {expected}");
    Ok(outcome)
}

/// Sends events to the ingest `index`, which must acknowledge them.
pub(super) async fn post(
    system: &System,
    index: usize,
    journal: &mut Journal,
    numbers: Range<u32>,
) -> Result<()> {
    let ingest = system.ingests.get(index).context("an ingest")?;
    let body = system.events.array(numbers.clone());
    let post = Post::json(&system.http, &ingest.url(), body);
    post.acknowledged(journal, numbers).await
}

/// Several clients send the same events at once: each is stored and counted once, and the rest
/// are duplicates, all of them counted as such.
pub(super) async fn same_ids_at_once(size: Size) -> Result<Outcome> {
    let builder = System::of("same_ids_at_once").ingests(2).processors(2);
    let system = builder.start().await?;
    let (events, producers) = size.of((5_000, 4), (20_000, 8), (100_000, 24));
    let mut load = load_in(events, 10..=200);
    load.clients = 2;
    let producers: Vec<Producer> = (0..producers)
        .map(|_| Producer::new(&system, load.clone()))
        .collect();
    futures::future::try_join_all(producers.iter().map(Producer::run)).await?;
    let mut journal = Journal::default();
    for producer in &producers {
        journal.merge(&producer.journal())?;
    }
    let expected = i64::try_from(journal.accepted())? - i64::from(events);
    let faults = format!("{} clients with the same ids", producers.len());
    let in_time = Expected {
        within: Some(BACKLOG_DRAINS_WITHIN),
        ..Expected::default()
    };
    let outcome = system.balance(&journal, &in_time, faults).await?;
    let found = outcome.verdict.as_ref().map(|books| books.duplicates);
    ensure!(
        found == Some(expected),
        "{found:?} duplicates, not {expected}"
    );
    Ok(outcome)
}

/// Kills every service and both servers in turn, again and again.
pub(super) async fn soak(size: Size) -> Result<Outcome> {
    let builder = System::of("soak")
        .ingests(2)
        .processors(2)
        .aggregator()
        .own_redis()
        .own_mongo();
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((10_000, 5), (150_000, 15), (20_000_000, 180));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| match round % 5 {
            0 => start_anew(system.ingests.get_mut(0)).await,
            1 => start_anew(system.processors.get_mut(1)).await,
            2 => {
                system.own_redis()?.kill().await;
                Ok(system.own_redis()?.restart().await?)
            }
            3 => start_anew(system.aggregator.as_mut()).await,
            _ => {
                system.own_mongo()?.kill().await;
                Ok(system.own_mongo()?.restart().await?)
            }
        },
    )
    .await?;
    for node in system.ingests.iter().chain(&system.processors) {
        let name = format!("memory of {}", node.name());
        let bytes = node.metric("process_resident_memory_bytes").await?;
        let megabytes = format!("{:.0} MB", bytes / 1e6);
        system.figures.push((name, megabytes));
    }
    let faults = format!("{rounds} kills, of every service and server in turn");
    let in_time = Expected {
        within: Some(BACKLOG_DRAINS_WITHIN),
        ..Expected::default()
    };
    system.balance(&journal, &in_time, faults).await
}

/// Kills a process and starts it again.
pub(super) async fn start_anew(node: Option<&mut Node>) -> Result<()> {
    let node = node.context("no such process")?;
    node.kill().await;
    node.restart().await?;
    node.await_ready().await
}
