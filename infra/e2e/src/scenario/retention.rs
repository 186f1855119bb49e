//! Spans that are sealed and dropped while things go wrong.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bson::doc;
use evp_devstack::{MongoOptions, ScratchDir};
use evp_shared::clock::Clock;
use evp_shared::store::{State, spans};

use super::spans::DAY_MS;
use super::{Size, load, under_load};
use crate::{Attempt, Builder, Expected, Outcome, Post, System, Times, until};

/// A day of waiting is half a second, six hours an eighth of one.
const HURRY: &str = "172800";
const KEEP: &str = "EVP__STORAGE__KEEP";
const CLAIM_IDLE: &str = "EVP__PROCESSOR__CLAIM_IDLE";
/// What events of [`OLD_DAYS`] are kept by, and what drops them.
const LONG: &str = "35d";
const SHORT: &str = "5d";
const OLD_DAYS: u64 = 20;
/// Whole days below which everything is dropped with [`SHORT`].
const SHORT_DAYS: u64 = 5;

/// Of so many moments the first one comes while old events are being sent.
const EARLY: u64 = 8;

/// More than all clients together have under way.
const UNDER_WAY_MAX: u64 = 1_500;

/// A database that is 40 days old, whose spans end within seconds.
fn hurried(scenario: &'static str) -> Builder {
    System::of(scenario)
        .processors(2)
        .own_mongo()
        .born(Clock::system().now_ms() - 40 * DAY_MS)
        .env("EVP__STORAGE__HURRY", HURRY)
        .env(KEEP, LONG)
}

/// Events up to `recent` happened some twenty days ago, ten days long; the others today and yesterday.
fn old_then_recent(system: &mut System, recent: u32) {
    let now_ms = Clock::system().now_ms();
    let over = |days_ago, days| Times {
        first_ms: now_ms - days_ago * DAY_MS,
        step_ms: 7 * DAY_MS / 24 + 1,
        within_ms: days * DAY_MS,
    };
    system.events.happen(0, over(OLD_DAYS, 10));
    system.events.happen(recent, over(2, 2));
}

/// What everything is dropped below when `keep` is [`SHORT`].
fn gone_ms() -> u64 {
    (Clock::system().now_ms() / DAY_MS - SHORT_DAYS) * DAY_MS
}

async fn keep(system: &mut System, value: &str) -> Result<()> {
    for processor in &mut system.processors {
        processor.restart_with(KEEP, value).await?;
    }
    Ok(())
}

/// Rows of spans that end at or before `ms` and for which `holds`.
async fn spans_before(
    system: &System,
    ms: u64,
    holds: impl Fn(&evp_shared::store::Row) -> bool,
) -> Result<usize> {
    let rows = spans::rows(&system.mongo.database(), Duration::ZERO).await?;
    let before = rows.iter().filter(|row| {
        let range = row.span.range_ms();
        range.is_some_and(|range| range.end <= ms) && holds(row)
    });
    Ok(before.count())
}

async fn until_floor_rises(system: &System) -> Result<()> {
    until("the floor rises", async || {
        let marks = spans::marks(&system.mongo.database()).await;
        marks.is_ok_and(|marks| marks.floor_ms >= gone_ms())
    })
    .await
}

async fn until_dropped(system: &System) -> Result<()> {
    until("what is older is dropped", async || {
        let left = spans_before(system, gone_ms(), |_| true).await;
        left.is_ok_and(|left| left == 0)
    })
    .await
}

/// Waits until everything is committed, and has `verify --deep` say that nothing differs.
async fn verified(system: &System) -> Result<()> {
    let ledger = system.ledger();
    until("everything is committed", async || {
        ledger.is_settled().await.unwrap_or(false)
    })
    .await?;
    let processor = system.processors.first().context("a processor")?;
    processor.command(&["verify", "--deep"]).await.map(drop)
}

async fn balance(system: System, journal: &crate::Journal, faults: String) -> Result<Outcome> {
    verified(&system).await?;
    let expected = Expected {
        gone_ms: gone_ms(),
        ..Expected::default()
    };
    system.balance(journal, &expected, faults).await
}

/// Spans are sealed under load and then dropped under load, while processors and mongod are killed,
/// mongod also in the middle of building an index.
pub(super) async fn sealed_and_dropped(size: Size) -> Result<Outcome> {
    let options = MongoOptions {
        extra: ["--setParameter", "enableTestCommands=1"]
            .map(str::to_owned)
            .to_vec(),
        ..MongoOptions::default()
    };
    let mut system = hurried("spans_sealed_and_dropped")
        .mongo(options)
        .start()
        .await?;
    let (old, recent, kills) = size.of(
        (6_000, 10_000, 4),
        (20_000, 40_000, 10),
        (100_000, 200_000, 40),
    );
    old_then_recent(&mut system, old);
    let journal = under_load(
        &mut system,
        load(old + recent),
        kills,
        async |system, progress, round| {
            match round {
                0 => {
                    // All that is old has been sent by then.
                    progress.reached(u64::from(old) + 2_000).await?;
                    kill_in_the_middle_of_an_index(system).await
                }
                1 => {
                    until("what is old is sealed", async || {
                        let hot = spans_before(system, gone_ms(), |row| row.state == State::Hot);
                        hot.await.is_ok_and(|hot| hot == 0)
                    })
                    .await?;
                    keep(system, SHORT).await
                }
                round if round % 2 == 0 => {
                    system.own_mongo()?.kill().await;
                    system.own_mongo()?.restart().await?;
                    system.processors[0].await_ready().await
                }
                _ => {
                    system.processors[0].kill().await;
                    system.processors[0].restart().await
                }
            }
        },
    )
    .await?;
    until_dropped(&system).await?;
    let faults =
        format!("{kills} kills of mongod and of a processor, one while an index was being built");
    balance(system, &journal, faults).await
}

/// Kills mongod while a span is being sealed.
async fn kill_in_the_middle_of_an_index(system: &mut System) -> Result<()> {
    let admin = system.mongo.database().client().database("admin");
    let hang = doc! { "configureFailPoint": "hangAfterStartingIndexBuild", "mode": "alwaysOn" };
    admin.run_command(hang).await?;
    until("an index is being built", async || {
        let builds = doc! {
            "currentOp": true,
            "command.createIndexes": { "$exists": true },
        };
        let found = admin.run_command(builds).await;
        found.is_ok_and(|found| {
            found
                .get_array("inprog")
                .is_ok_and(|builds| !builds.is_empty())
        })
    })
    .await?;
    system.own_mongo()?.kill().await;
    system.own_mongo()?.restart().await?;
    system.processors[0].await_ready().await
}

/// A processor is stopped with entries in hand that it has not inserted yet. Others store them, their
/// span is dropped, and only then does it go on.
pub(super) async fn paused_until_dropped(size: Size) -> Result<Outcome> {
    let mut system = hurried("paused_until_its_span_is_dropped").start().await?;
    let (old, recent) = size.of((6_000, 6_000), (20_000, 20_000), (100_000, 100_000));
    old_then_recent(&mut system, old);
    let journal = under_load(
        &mut system,
        load(old + recent),
        EARLY,
        async |system, progress, round| {
            if round > 0 {
                return Ok(());
            }
            system.pause_at_work(1, progress).await?;
            progress.reached(u64::from(old) + 2_000).await?;
            system.processors[0].restart_with(KEEP, SHORT).await?;
            until_dropped(system).await?;
            system.processors[1].resume();
            Ok(())
        },
    )
    .await?;
    let faults = "a processor stopped before its insert, until the span was dropped".to_owned();
    until_dropped(&system).await?;
    balance(system, &journal, faults).await
}

/// `storage.keep` is lowered and raised while a backlog waits: nothing is dropped that the backlog
/// still has events of, and nothing comes back.
pub(super) async fn keep_lowered_and_raised(size: Size) -> Result<Outcome> {
    // Nobody takes what the stopped processor holds, however slow the machine is.
    let builder = hurried("keep_lowered_and_raised").claims_after("10m", "4s");
    let mut system = builder.start().await?;
    let (old, recent) = size.of((18_000, 6_000), (60_000, 20_000), (300_000, 100_000));
    old_then_recent(&mut system, old);
    let journal = under_load(
        &mut system,
        load(old + recent),
        EARLY,
        async |system, progress, round| {
            if round > 0 {
                return Ok(());
            }
            // One holds entries of old events, the other one keeps house.
            system.pause_at_work(1, progress).await?;
            let sent = progress.acknowledged();
            ensure!(
                sent + UNDER_WAY_MAX < u64::from(old),
                "what waits may be recent: {sent} events were sent before it was caught"
            );
            progress.reached(u64::from(old) + 2_000).await?;
            until("old events have spans", async || {
                let there = spans_before(system, gone_ms(), |_| true).await;
                there.is_ok_and(|there| there > 0)
            })
            .await?;
            for value in [SHORT, LONG, SHORT, LONG] {
                system.processors[0].restart_with(KEEP, value).await?;
                system.processors[0].await_ready().await?;
                until_floor_rises(system).await?;
            }
            ensure!(system.pending_of(1).await? > 0, "nothing waits");
            let there = spans_before(system, gone_ms(), |_| true).await?;
            ensure!(there > 0, "what waits has no span any more");
            for processor in &mut system.processors {
                processor.restart_with(CLAIM_IDLE, "5s").await?;
            }
            keep(system, SHORT).await
        },
    )
    .await?;
    until_dropped(&system).await?;
    let faults = "storage.keep lowered and raised twice while a backlog waited".to_owned();
    balance(system, &journal, faults).await
}

/// Redis comes back with the data of before the floor rose, in which entries wait that were stored
/// since: they count once, and an ingest that starts with it takes nothing that was dropped.
pub(super) async fn old_redis(size: Size) -> Result<Outcome> {
    let builder = hurried("old_redis_newer_mongodb").own_redis();
    let mut system = builder.start().await?;
    let saved = ScratchDir::new()?;
    let (old, recent) = size.of((3_000, 3_000), (10_000, 10_000), (100_000, 100_000));
    old_then_recent(&mut system, old);
    let journal = under_load(
        &mut system,
        load(old + recent),
        EARLY,
        async |system, progress, round| {
            if round > 0 {
                return Ok(());
            }
            // Until all that is old is appended, and waits.
            system.processors.iter().for_each(crate::Node::pause);
            progress.reached(u64::from(old) + 2_000).await?;
            system.own_redis()?.stop().await;
            copy_folder(system.own_redis()?.dir(), saved.path())?;
            system.own_redis()?.restart().await?;
            system.processors.iter().for_each(crate::Node::resume);
            Ok(())
        },
    )
    .await?;
    verified(&system).await?;
    keep(&mut system, SHORT).await?;
    until_dropped(&system).await?;
    system.ingests[0].kill().await;
    let redis = system.own_redis()?;
    redis.stop().await;
    copy_folder(saved.path(), redis.dir())?;
    redis.restart().await?;
    system.ingests[0].restart().await?;
    for node in system.processors.iter_mut().chain(&mut system.ingests) {
        node.await_ready().await?;
    }
    until("an old event is refused", async || {
        let url = system.ingests[0].url();
        let post = Post::json(&system.http, &url, system.events.array(0..1));
        let refused = |text: &str| text.contains("too_old");
        matches!(post.send().await, Ok(Attempt::Refused(_, text)) if refused(&text))
    })
    .await?;
    let faults = "Redis back with its data of before the floor rose, and an ingest new".to_owned();
    balance(system, &journal, faults).await
}

/// `MongoDB` comes back with the spans that were dropped since: they are dropped again.
pub(super) async fn old_mongo(size: Size) -> Result<Outcome> {
    let mut system = hurried("old_mongodb_newer_redis").start().await?;
    let journal = sent(&mut system, size).await?;
    verified(&system).await?;
    let saved = ScratchDir::new()?;
    system.own_mongo()?.stop().await;
    copy_folder(system.own_mongo()?.dir(), saved.path())?;
    system.own_mongo()?.restart().await?;
    keep(&mut system, SHORT).await?;
    until_dropped(&system).await?;
    let mongo = system.own_mongo()?;
    mongo.stop().await;
    copy_folder(saved.path(), mongo.dir())?;
    mongo.restart().await?;
    let back = spans_before(&system, gone_ms(), |_| true).await?;
    ensure!(back > 0, "no span is back");
    until_dropped(&system).await?;
    let faults = format!("MongoDB back with {back} spans that were dropped");
    balance(system, &journal, faults).await
}

/// Sends old and recent events without a fault.
async fn sent(system: &mut System, size: Size) -> Result<crate::Journal> {
    let (old, recent) = size.of((3_000, 3_000), (10_000, 10_000), (100_000, 100_000));
    old_then_recent(system, old);
    under_load(system, load(old + recent), 0, async |_, _, _| Ok(())).await
}

/// Makes `to` hold what `from` does, and nothing else.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            match std::fs::copy(entry.path(), target) {
                // What a server that has ended takes away behind itself is none of its data.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}
