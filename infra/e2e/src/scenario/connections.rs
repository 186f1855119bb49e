//! Connections that are late, silent, or cut.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Size, load, under_load};
use crate::system::Link;
use crate::{Expected, Outcome, System, until};

const LINKS: [Link; 3] = [
    Link::IngestRedis,
    Link::ProcessorRedis,
    Link::ProcessorMongo,
];
const OF_AGGREGATOR: [Link; 2] = [Link::AggregatorRedis, Link::AggregatorMongo];

/// All connections are as slow as between continents.
pub(super) async fn late(size: Size) -> Result<Outcome> {
    let mut builder = System::of("connections_late");
    for link in LINKS {
        builder = builder.proxied(link);
    }
    let mut system = builder.start().await?;
    let (least, jitter) = size.of((20, 30), (50, 100), (100, 200));
    for link in LINKS {
        let proxy = system.proxy(link)?;
        proxy.delay(Duration::from_millis(least), Duration::from_millis(jitter));
    }
    let events = size.of(10_000, 60_000, 300_000);
    let journal = under_load(&mut system, load(events), 0, async |_, _, _| Ok(())).await?;
    let faults = format!(
        "{least} to {} ms each way on every connection",
        least + jitter
    );
    system.balance(&journal, &Expected::default(), faults).await
}

/// Each connection goes silent in turn, as behind a dead switch: nothing comes and nothing ends.
pub(super) async fn stalled(size: Size) -> Result<Outcome> {
    let mut builder = System::of("connections_stalled")
        .ingests(1)
        .processors(2)
        .soon_without_redis();
    for link in LINKS {
        builder = builder.proxied(link);
    }
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((6_000, 3), (30_000, 9), (100_000, 60));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, round| {
            let link = link_of(round)?;
            progress.keep_going();
            system.proxy(link)?.stall();
            let noticed = notices(system, link).await;
            system.proxy(link)?.flow();
            noticed?;
            recovers(system).await
        },
    )
    .await?;
    let faults = format!("{rounds} stalls, of each connection in turn");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Each connection is cut in turn, and now and then refused for a while.
pub(super) async fn cut(size: Size) -> Result<Outcome> {
    let mut builder = System::of("connections_cut").processors(2).aggregator();
    for link in LINKS.into_iter().chain(OF_AGGREGATOR) {
        builder = builder.proxied(link);
    }
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((12_000, 8), (60_000, 45), (300_000, 300));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| {
            let link = link_of(round)?;
            if round % 4 == 3 {
                system.proxy(link)?.refuse();
                let noticed = notices(system, link).await;
                system.proxy(link)?.flow();
                noticed?;
                return recovers(system).await;
            }
            for link in OF_AGGREGATOR.into_iter().chain([link]) {
                system.proxy(link)?.cut();
            }
            Ok(())
        },
    )
    .await?;
    let aggregator = system.aggregator.as_mut().context("an aggregator")?;
    aggregator.await_ready().await?;
    let faults = format!("{rounds} cuts, of each connection in turn, a quarter of them lasting");
    system.balance(&journal, &Expected::default(), faults).await
}

fn link_of(round: u64) -> Result<Link> {
    let index = usize::try_from(round)? % LINKS.len();
    LINKS.get(index).copied().context("a link")
}

/// Waits until readiness says who is away.
async fn notices(system: &System, link: Link) -> Result<()> {
    let (nodes, name) = match link {
        Link::IngestRedis => (&system.ingests, "redis"),
        Link::ProcessorMongo | Link::AggregatorMongo => (&system.processors, "mongo"),
        Link::ProcessorRedis | Link::AggregatorRedis => (&system.processors, "redis"),
    };
    until("readiness says who is away", async || {
        for node in nodes {
            if node.blames(name).await {
                return true;
            }
        }
        false
    })
    .await
}

async fn recovers(system: &mut System) -> Result<()> {
    for node in system.ingests.iter_mut().chain(&mut system.processors) {
        node.await_ready().await?;
    }
    Ok(())
}
