//! A replica is promoted before it has the newest part, under each durability.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use evp_devstack::{RedisOptions, RedisServer};

use super::redis::reported_lost;
use super::{Size, load, under_load};
use crate::servers::redis_command;
use crate::{Expected, Outcome, Proxy, System, until};

/// Nothing is acknowledged meanwhile under `replicated`, so this long is waited instead.
const APART: Duration = Duration::from_millis(500);

/// On disk of the primary, and nowhere else.
pub(super) async fn fsync(size: Size) -> Result<Outcome> {
    promoted("replica_promoted_fsync", "fsync", size).await
}

/// In the memory of the replica too: what it lacks was never acknowledged.
pub(super) async fn replicated(size: Size) -> Result<Outcome> {
    promoted("replica_promoted_replicated", "replicated", size).await
}

/// On the primary's disk within a second; ingest holds the last five.
pub(super) async fn everysec(size: Size) -> Result<Outcome> {
    promoted("replica_promoted_everysec", "everysec", size).await
}

/// In memory alone; ingest holds the last five seconds.
pub(super) async fn memory(size: Size) -> Result<Outcome> {
    promoted("replica_promoted_memory", "memory", size).await
}

async fn promoted(scenario: &'static str, durability: &str, size: Size) -> Result<Outcome> {
    let options = RedisOptions {
        appendonly: durability != "memory",
        appendfsync: if durability == "everysec" {
            "everysec"
        } else {
            "always"
        },
        // Else a primary waits five seconds for more replicas before it sends the first its data.
        extra: ["--repl-diskless-sync-delay", "0"]
            .map(str::to_owned)
            .to_vec(),
        ..RedisOptions::default()
    };
    let mut primary = RedisServer::start(options.clone()).await?;
    let mut replica = RedisServer::start(options).await?;
    let address = Proxy::start(address_of(&primary)).await?;
    follow(&replica, &primary).await?;
    let builder = System::of(scenario)
        .processors(2)
        .redis_at(address.address())
        .env("EVP__REDIS__DURABILITY", durability);
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((20_000, 1), (60_000, 4), (300_000, 30));
    let journal = under_load(&mut system, load(events), rounds, async |_, progress, _| {
        until("the replica is its own primary", async || {
            // Refused while it still loads what it was sent.
            let answer = redis_command(replica.port(), "REPLICAOF NO ONE").await;
            answer.is_ok_and(|answer| answer.starts_with("OK"))
        })
        .await?;
        // The primary goes on alone: this is the tail that will be missing.
        if durability == "replicated" {
            progress.keep_going();
            tokio::time::sleep(APART).await;
        } else {
            let before = progress.acknowledged();
            until("the primary goes on alone", async || {
                progress.step();
                progress.acknowledged() >= before + u64::from(events) / rounds / 10
            })
            .await?;
        }
        address.lead_to(address_of(&replica));
        std::mem::swap(&mut primary, &mut replica);
        follow(&replica, &primary).await
    })
    .await?;
    let reported = reported_lost(&system).await?;
    system.note("possibly lost, as ingest reports", reported.to_string());
    let expected = Expected {
        lost_max: if durability == "fsync" { reported } else { 0 },
        forgot: true,
        ..Expected::default()
    };
    let faults = format!("{rounds} promotions of a replica without the tail, {durability}");
    system.balance(&journal, &expected, faults).await
}

/// Makes `replica` follow `primary` and waits until it does.
async fn follow(replica: &RedisServer, primary: &RedisServer) -> Result<()> {
    let order = format!("REPLICAOF 127.0.0.1 {}", primary.port());
    let answer = redis_command(replica.port(), &order).await?;
    ensure!(answer.starts_with("OK"), "{order}: {answer}");
    until("the replica follows", async || {
        let role = redis_command(primary.port(), "WAIT 1 100").await;
        role.is_ok_and(|replicas| replicas == "1")
    })
    .await
}

fn address_of(server: &RedisServer) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port()))
}
