//! A Redis that dies, stands still, is full, or forgets.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};
use evp_devstack::RedisOptions;
use fred::interfaces::{ClientLike as _, LuaInterface as _};
use fred::types::InfoKind;

use super::{BACKLOG_DRAINS_WITHIN, Size, load, load_in, under_load};
use crate::servers::{cut_append_only_file, redis_command};
use crate::{Attempt, Expected, Journal, Outcome, Post, System, until};

const PROBES: u32 = 8;
const PROBE: u32 = 40;
const POSSIBLY_LOST: &str = "evp_ingest_events_possibly_lost_total";

/// What an operator's mistake removes, in the order of the run; each answers with the backlog of
/// that moment.
const FORGETS: [(&str, &str); 3] = [
    ("DEL of the stream", "redis.call('DEL', KEYS[2])"),
    (
        "XGROUP DESTROY",
        "redis.call('XGROUP', 'DESTROY', KEYS[2], 'evp')",
    ),
    ("FLUSHALL", "redis.call('FLUSHALL')"),
];

/// Redis dies and comes back from its append-only file: what it had acknowledged is there, and
/// what was under way is sent again.
pub(super) async fn killed(size: Size) -> Result<Outcome> {
    let builder = System::of("redis_killed").processors(2).own_redis();
    let mut system = builder.start().await?;
    let (events, kills) = size.of((40_000, 4), (60_000, 8), (100_000, 30));
    let journal = under_load(&mut system, load(events), kills, kill).await?;
    let faults = format!("{kills} kills of redis-server under appendfsync always");
    system.balance(&journal, &Expected::default(), faults).await
}

/// The same with `everysec`: what the log lacks after a kill, ingest still holds.
pub(super) async fn killed_everysec(size: Size) -> Result<Outcome> {
    let options = RedisOptions {
        appendfsync: "everysec",
        ..RedisOptions::default()
    };
    let builder = System::of("redis_killed_everysec")
        .processors(2)
        .redis(options)
        .env("EVP__REDIS__DURABILITY", "everysec");
    let mut system = builder.start().await?;
    let (events, kills) = size.of((40_000, 4), (60_000, 8), (300_000, 30));
    let journal = under_load(&mut system, load(events), kills, kill).await?;
    let expected = Expected {
        forgot: true,
        // As in the cuts of the log below.
        within: Some(BACKLOG_DRAINS_WITHIN),
        ..Expected::default()
    };
    let faults = format!("{kills} kills of redis-server under appendfsync everysec");
    system.balance(&journal, &expected, faults).await
}

async fn kill(system: &mut System, _: &mut crate::Progress, _: u64) -> Result<()> {
    let redis = system.own_redis()?;
    redis.kill().await;
    Ok(redis.restart().await?)
}

/// Redis stands still for longer than any command may take.
pub(super) async fn paused(size: Size) -> Result<Outcome> {
    let builder = System::of("redis_paused").own_redis().soon_without_redis();
    let mut system = builder.start().await?;
    let (events, pauses) = size.of((10_000, 2), (40_000, 4), (80_000, 10));
    let journal = under_load(
        &mut system,
        load(events),
        pauses,
        async |system, progress, _| {
            progress.keep_going();
            system.own_redis()?.pause();
            let noticed = system.ingests[0].await_blame("redis").await;
            system.own_redis()?.resume();
            noticed?;
            system.ingests[0].await_ready().await
        },
    )
    .await?;
    let faults = format!("{pauses} pauses of redis-server");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Redis is away: requests are refused with a reason and a time to come back, nothing of them is
/// half stored, and sent again with the same ids they are stored once.
pub(super) async fn away(size: Size) -> Result<Outcome> {
    let mut system = System::of("redis_away").own_redis().start().await?;
    let events = size.of(3_000, 10_000, 30_000);
    let load = load_in(events, 20..=100);
    let mut journal = under_load(&mut system, load, 0, async |_, _, _| Ok(())).await?;

    system.own_redis()?.kill().await;
    let refused = probe(&system, &mut journal, events).await?;
    for node in system.processors.iter().chain(&system.ingests) {
        node.await_blame("redis").await?;
    }
    system.own_redis()?.restart().await?;
    system.ingests[0].await_ready().await?;
    system.processors[0].await_ready().await?;
    let ledger = system.ledger();
    until("what is left is stored", async || {
        ledger.is_settled().await.unwrap_or(false)
    })
    .await?;
    let stored = ledger.read().await?.stored;
    for (code, numbers) in &refused {
        let of_probe = |(number, _): &&(u32, String)| numbers.contains(number);
        let found = stored.values().filter(of_probe).count();
        let is_whole = code == "not_confirmed" && found == numbers.len();
        ensure!(
            found == 0 || is_whole,
            "{found} of {numbers:?} after {code}"
        );
    }
    for (_, numbers) in &refused {
        let body = system.events.array(numbers.clone());
        let post = Post::json(&system.http, &system.ingests[0].url(), body);
        post.acknowledged(&mut journal, numbers.clone()).await?;
    }
    let faults = format!("{PROBES} requests while redis-server was away");
    system.balance(&journal, &Expected::default(), faults).await
}

/// Sends requests of their own, once each, and returns those with the codes they were refused
/// with.
async fn probe(
    system: &System,
    journal: &mut Journal,
    first: u32,
) -> Result<Vec<(String, Range<u32>)>> {
    let url = system.ingests[0].url();
    let mut refused = Vec::new();
    for probe in 0..PROBES {
        let numbers = first + probe * PROBE..first + (probe + 1) * PROBE;
        journal.sending(numbers.clone());
        let body = system.events.array(numbers.clone());
        match Post::json(&system.http, &url, body).send().await? {
            Attempt::Later { code, retry_after } => {
                let is_known = ["not_accepted", "not_confirmed"].contains(&code.as_str());
                ensure!(is_known, "{code}");
                let is_sane = retry_after.is_some_and(|seconds| (1..=75).contains(&seconds));
                ensure!(is_sane, "Retry-After: {retry_after:?}");
                refused.push((code, numbers));
            }
            other => bail!("redis is away, and the answer is {other:?}"),
        }
    }
    Ok(refused)
}

/// Redis forgets the stream, the group, everything. What it alone had is lost, and no more; the
/// counters equal what is stored again, and nothing is counted twice.
pub(super) async fn forgets(size: Size) -> Result<Outcome> {
    let builder = System::of("redis_forgets").processors(2).own_redis();
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((40_000, 3), (60_000, 6), (200_000, 21));
    let mut backlog = 0;
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| {
            let (_, forget) = FORGETS[usize::try_from(round)? % FORGETS.len()];
            backlog += forget_at_once(system, forget).await?;
            Ok(())
        },
    )
    .await?;
    let expected = Expected {
        lost_max: backlog,
        forgot: true,
        ..Expected::default()
    };
    let names = FORGETS.map(|(name, _)| name).join(", ");
    let faults = format!("{rounds} of {names}, with {backlog} events in redis alone at most");
    system.balance(&journal, &expected, faults).await
}

/// Runs `forget` and returns the events that were appended and not committed at that moment.
async fn forget_at_once(system: &System, forget: &str) -> Result<u64> {
    let script = format!(
        "local t = redis.call('HMGET', KEYS[1], 'appended_events', 'acknowledged_events', \
         'lost_events') \
         {forget} \
         return (tonumber(t[1]) or 0) - (tonumber(t[2]) or 0) - (tonumber(t[3]) or 0)"
    );
    let keys = system.redis.keys().partition(0);
    let backlog: i64 = system
        .redis
        .client()
        .eval(script, vec![keys.totals, keys.events], Vec::<String>::new())
        .await?;
    Ok(u64::try_from(backlog).unwrap_or(0))
}

/// The script cache is emptied and the group destroyed, again and again: NOSCRIPT and NOGROUP.
pub(super) async fn scripts_and_group_gone(size: Size) -> Result<Outcome> {
    let builder = System::of("scripts_and_group_gone")
        .processors(2)
        .own_redis();
    let mut system = builder.start().await?;
    let (events, rounds) = size.of((20_000, 6), (60_000, 20), (200_000, 40));
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| {
            let port = system.own_redis()?.port();
            let stream = system.redis.keys().partition(0).events;
            let command = match round % 2 {
                0 => "SCRIPT FLUSH".to_owned(),
                _ => format!("XGROUP DESTROY {stream} evp"),
            };
            redis_command(port, &command).await.map(drop)
        },
    )
    .await?;
    let expected = Expected {
        forgot: true,
        ..Expected::default()
    };
    let faults = format!("{rounds} of SCRIPT FLUSH and XGROUP DESTROY");
    system.balance(&journal, &expected, faults).await
}

/// Redis is at its memory limit: it takes no frame more, ingest says so, nothing accepted is lost,
/// and all of it drains when the processors are there again.
pub(super) async fn full(size: Size) -> Result<Outcome> {
    let options = RedisOptions {
        maxmemory: size.of("12mb", "24mb", "64mb").to_owned(),
        ..RedisOptions::default()
    };
    let builder = System::of("redis_full")
        .processors(2)
        .redis(options)
        .env("EVP__INGEST__ADMISSION__MEMORY_SHARE", "1")
        .env("EVP__INGEST__FRAME__CODEC", "none");
    let mut system = builder.start().await?;
    let events = size.of(60_000, 200_000, 800_000);
    let journal = under_load(
        &mut system,
        load(events),
        4,
        async |system, progress, round| {
            // Early in the load: the rest of it must be enough to fill Redis.
            if round > 0 {
                return Ok(());
            }
            system.processors.iter().for_each(crate::Node::pause);
            progress.release();
            let full = until("ingest says that redis is full", async || {
                let refused = system.ingests[0].readiness().await;
                refused.is_some_and(|readiness| !readiness.ready)
            })
            .await;
            system.processors.iter().for_each(crate::Node::resume);
            full?;
            system.ingests[0].await_ready().await
        },
    )
    .await?;
    let faults = "maxmemory reached, noeviction";
    system.balance(&journal, &Expected::default(), faults).await
}

/// The end of the log is gone after a kill, as when the machine loses its power: what ingest has
/// acknowledged since is sent again.
pub(super) async fn log_cut(size: Size) -> Result<Outcome> {
    cut_log("redis_log_cut", "30s", size).await
}

/// The same without a replay window, which is the default under `fsync`: what is lost is at most
/// what ingest reports.
pub(super) async fn log_cut_unheld(size: Size) -> Result<Outcome> {
    cut_log("redis_log_cut_without_replay", "0s", size).await
}

async fn cut_log(scenario: &'static str, replay_window: &str, size: Size) -> Result<Outcome> {
    let builder = System::of(scenario)
        .processors(2)
        .own_redis()
        .env("EVP__INGEST__APPEND__REPLAY_WINDOW", replay_window);
    let mut system = builder.start().await?;
    let (events, cuts) = size.of((30_000, 2), (60_000, 6), (200_000, 50));
    let mut bytes = 0;
    let journal = under_load(&mut system, load(events), cuts, async |system, _, _| {
        let cut = 1_000 + system.chance.below(1_000_000) as u64;
        let redis = system.own_redis()?;
        redis.kill().await;
        bytes += cut_append_only_file(redis.dir(), cut)?;
        redis.restart().await?;
        // Until then another start might run what is left of the last script (docs/RELIABILITY.md).
        has_new_log(system).await
    })
    .await?;
    let held = replay_window != "0s";
    let reported = reported_lost(&system).await?;
    system.note("possibly lost, as ingest reports", reported.to_string());
    let expected = Expected {
        lost_max: if held { 0 } else { reported },
        forgot: true,
        // Lives in quick succession have everything that is held appended again, each time.
        within: Some(BACKLOG_DRAINS_WITHIN),
        ..Expected::default()
    };
    let faults = format!("{cuts} cuts of the log, {bytes} bytes, replay window {replay_window}");
    system.balance(&journal, &expected, faults).await
}

/// Waits until redis-server has made its log anew.
async fn has_new_log(system: &System) -> Result<()> {
    until("the append-only file is made anew", async || {
        let info: Result<String, _> = system
            .redis
            .client()
            .info(Some(InfoKind::Persistence))
            .await;
        info.is_ok_and(|info| {
            let never = info.contains("aof_last_rewrite_time_sec:-1");
            let ended = info.contains("aof_rewrite_in_progress:0");
            !never && ended && info.contains("aof_last_bgrewrite_status:ok")
        })
    })
    .await
}

/// What the ingests say may be lost.
pub(super) async fn reported_lost(system: &System) -> Result<u64> {
    let mut sum = 0.0;
    for ingest in &system.ingests {
        sum += ingest.metric(POSSIBLY_LOST).await?;
    }
    format!("{sum:.0}").parse().context("a number of events")
}

/// Dead letters by reason, for [`Expected`].
pub(super) fn dead(reasons: &[(&'static str, u64)]) -> BTreeMap<&'static str, u64> {
    reasons.iter().copied().collect()
}
