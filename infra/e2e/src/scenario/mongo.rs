//! A `MongoDB` that dies, steps down, stands still, or is slow.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bson::doc;
use evp_devstack::MongoOptions;

use super::{Size, load, under_load};
use crate::system::Link;
use crate::{Expected, Outcome, System, until};

/// Seconds a primary that steps down does not stand again.
const STEP_DOWN_S: i32 = 10;

/// `MongoDB` is away, killed and stopped in turn: ingest goes on with 202, the backlog grows,
/// nothing becomes a dead letter, and all of it is stored when `MongoDB` is back.
pub(super) async fn away(size: Size) -> Result<Outcome> {
    let mut system = System::of("mongo_away").own_mongo().start().await?;
    let (events, rounds) = size.of((20_000, 2), (60_000, 6), (200_000, 20));
    let while_away = u64::from(events) / rounds / 8;
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, round| {
            match round % 2 {
                0 => system.own_mongo()?.kill().await,
                _ => system.own_mongo()?.stop().await,
            }
            progress.goes_on(while_away).await?;
            system.processors[0].await_blame("mongo").await?;
            ensure!(system.ledger().backlog().await? > 0, "a backlog");
            let ingest = system.ingests[0].readiness().await;
            ensure!(
                ingest.is_some_and(|readiness| readiness.ready),
                "ingest is not ready"
            );
            system.own_mongo()?.restart().await?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("mongod killed and stopped {rounds} times");
    system.balance(&journal, &Expected::default(), faults).await
}

/// The primary of three dies under load; another is elected, and what only the dead one had is
/// not counted on.
pub(super) async fn primary_killed(size: Size) -> Result<Outcome> {
    let mut system = of_three("mongo_primary_killed").start().await?;
    let (events, kills) = size.of((10_000, 1), (40_000, 2), (300_000, 20));
    let journal = under_load(
        &mut system,
        load(events),
        kills,
        async |system, progress, _| {
            let mongo = system.own_mongo()?;
            let primary = mongo.primary().await.context("a primary")?;
            mongo.kill_member(primary).await;
            progress.keep_going();
            until("another is elected", async || {
                mongo.primary().await.is_some()
            })
            .await?;
            mongo.restart_member(primary).await?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("{kills} kills of the primary of three mongods");
    system.balance(&journal, &Expected::default(), faults).await
}

/// The primary of three steps down in the middle of inserts.
pub(super) async fn step_down(size: Size) -> Result<Outcome> {
    let mut system = of_three("mongo_step_down").start().await?;
    let (events, rounds) = size.of((10_000, 1), (40_000, 2), (300_000, 20));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, _| {
            progress.keep_going();
            let order = doc! { "replSetStepDown": STEP_DOWN_S, "secondaryCatchUpPeriodSecs": 5 };
            let admin = system.mongo.database().client().database("admin");
            // The answer may be lost with the connections that a step-down closes.
            admin.run_command(order).await.ok();
            let mongo = system.own_mongo()?;
            until("one is elected", async || mongo.primary().await.is_some()).await?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("{rounds} step-downs of the primary of three mongods");
    system.balance(&journal, &Expected::default(), faults).await
}

fn of_three(scenario: &'static str) -> crate::Builder {
    let three = MongoOptions {
        replica_set: Some(3),
        cache_gb: 0.25,
        ..MongoOptions::default()
    };
    System::of(scenario).mongo(three)
}

/// Both secondaries stand still: writes reach the primary and no majority, so nothing of them is
/// acknowledged.
pub(super) async fn secondaries_paused(size: Size) -> Result<Outcome> {
    let mut system = of_three("mongo_secondaries_paused").start().await?;
    let (events, rounds) = size.of((10_000, 1), (20_000, 2), (100_000, 10));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, _| {
            let mongo = system.own_mongo()?;
            let primary = mongo.primary().await.context("a primary")?;
            let secondaries: Vec<usize> = (0..3).filter(|index| *index != primary).collect();
            secondaries
                .iter()
                .for_each(|index| mongo.pause_member(*index));
            progress.keep_going();
            let noticed = system.processors[0].await_blame("mongo").await;
            let mongo = system.own_mongo()?;
            secondaries
                .iter()
                .for_each(|index| mongo.resume_member(*index));
            noticed?;
            until("there is a primary", async || {
                mongo.primary().await.is_some()
            })
            .await?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("{rounds} pauses of both secondaries");
    system.balance(&journal, &Expected::default(), faults).await
}

/// `MongoDB` stands still for longer than the insert deadline.
pub(super) async fn paused(size: Size) -> Result<Outcome> {
    let builder = System::of("mongo_paused")
        .own_mongo()
        .claims_after("2s", "1s");
    let mut system = builder.start().await?;
    let (events, pauses) = size.of((10_000, 2), (40_000, 4), (80_000, 10));
    let journal = under_load(
        &mut system,
        load(events),
        pauses,
        async |system, progress, _| {
            system.own_mongo()?.pause();
            progress.keep_going();
            let noticed = system.processors[0].await_blame("mongo").await;
            system.own_mongo()?.resume();
            noticed?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("{pauses} pauses of mongod");
    system.balance(&journal, &Expected::default(), faults).await
}

/// `MongoDB` is slow, now and then slower than the insert deadline: entries stay with the
/// processor that works on them, and what is unknown is tried again.
pub(super) async fn slow(size: Size) -> Result<Outcome> {
    let builder = System::of("mongo_slow")
        .processors(2)
        .proxied(Link::ProcessorMongo)
        .claims_after("2s", "1s");
    let mut system = builder.start().await?;
    let events = size.of(10_000, 40_000, 200_000);
    let proxy = system.proxy(Link::ProcessorMongo)?;
    // Twice per command: there and back.
    proxy.delay(Duration::from_millis(100), Duration::from_millis(450));
    let journal = under_load(&mut system, load(events), 0, async |_, _, _| Ok(())).await?;
    until("some of it is stored all the same", async || {
        let backlog = system.ledger().backlog().await;
        backlog.is_ok_and(|backlog| backlog < i64::from(events) * 9 / 10)
    })
    .await?;
    system
        .proxy(Link::ProcessorMongo)?
        .delay(Duration::ZERO, Duration::ZERO);
    let faults = "every command to mongod takes 0.2 to 1.1 s, a tenth beyond the deadline";
    system.balance(&journal, &Expected::default(), faults).await
}
