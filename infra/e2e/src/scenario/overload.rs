//! More than the system can take: it refuses, and loses nothing of what it accepted.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use evp_shared::clock::Clock;
use evp_shared::redis::Memory;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Size, load_in, under_load};
use crate::servers::redis_command;
use crate::{Attempt, Expected, Journal, Node, Outcome, Post, System, until};

const CLIENTS: u32 = 32;
const BATCH: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The processors stand still while clients send one and a half times what the system can
/// store.
pub(super) async fn processors_stopped(size: Size) -> Result<Outcome> {
    let builder = System::of("overload").processors(2).own_redis();
    let mut system = builder.start().await?;
    let events = size.of(10_000, 60_000, 200_000);
    let clock = Clock::system();
    let since = clock.now();
    let load = load_in(events, BATCH..=BATCH);
    let mut journal = under_load(&mut system, load, 0, async |_, _, _| Ok(())).await?;
    let ledger = system.ledger();
    until("it is stored", async || {
        ledger.is_settled().await.unwrap_or(false)
    })
    .await?;
    let capacity = f64::from(events) / (clock.now() - since).as_secs_f64();

    let flooded = Duration::from_secs(size.of(4, 15, 60));
    let limit = limit_memory(&mut system, capacity * flooded.as_secs_f64()).await?;
    system.processors.iter().for_each(Node::pause);
    let flood = Flood {
        system: &system,
        next: AtomicU32::new(events),
        every: Duration::from_secs_f64(f64::from(CLIENTS * BATCH) / (capacity * 1.5)),
        until: Instant::now() + flooded,
        seen: Mutex::default(),
    };
    let (sent, watched) = tokio::join!(flood.run(), watch(&system, flood.until));
    sent?;
    let watched = watched?;
    let seen = flood.seen.into_inner().unwrap_or_default();
    journal.merge(&seen.journal)?;
    system.processors.iter().for_each(Node::resume);
    system.ingests[0].await_ready().await?;

    ensure!(seen.refused > 0, "nothing was refused: it was no overload");
    ensure!(watched.memory_share < 1.0, "Redis reached its limit");
    ensure!(watched.was_unready, "readiness never said so");
    let p99 = percentile(seen.answers_ms, 99);
    system.note("capacity", format!("{capacity:.0} events/s"));
    system.note(
        "answers",
        format!("{} accepted, {} refused", seen.accepted, seen.refused),
    );
    system.note("p99 of answers", format!("{p99:.1} ms"));
    let (least, most) = seen.retry_after.unwrap_or_default();
    system.note("Retry-After", format!("{least} to {most} s"));
    let share = watched.memory_share * 100.0;
    let most = format!("{share:.0} % of {} MB", limit >> 20);
    system.note("most memory of Redis", most);
    let faults = "processors stopped, clients at 1.5 times the capacity";
    system.balance(&journal, &Expected::default(), faults).await
}

/// Leaves Redis room for about half of `events` events more. Returns the limit in bytes.
async fn limit_memory(system: &mut System, events: f64) -> Result<u64> {
    const BYTES: f64 = 120.0;
    let used = Memory::ask(system.redis.client()).await?.used;
    let room: u64 = format!("{:.0}", events * BYTES / 2.0).parse()?;
    let limit = used + room;
    let order = format!("CONFIG SET maxmemory {limit}");
    redis_command(system.own_redis()?.port(), &order).await?;
    Ok(limit)
}

#[derive(Debug, Default)]
struct Seen {
    journal: Journal,
    answers_ms: Vec<f64>,
    accepted: u64,
    refused: u64,
    /// Least and most.
    retry_after: Option<(u64, u64)>,
}

/// Requests at a pace that no answer changes.
struct Flood<'a> {
    system: &'a System,
    next: AtomicU32,
    every: Duration,
    until: Instant,
    seen: Mutex<Seen>,
}

impl Flood<'_> {
    async fn run(&self) -> Result<()> {
        let clients = (0..CLIENTS).map(|client| self.client(client));
        futures::future::try_join_all(clients).await.map(drop)
    }

    async fn client(&self, index: u32) -> Result<()> {
        let mut due = Instant::now() + self.every * index / CLIENTS;
        while due < self.until {
            tokio::time::sleep_until(due).await;
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            self.send(first..first + BATCH, due).await?;
            due += self.every;
        }
        Ok(())
    }

    /// Sends once. The time counts from when it was due, so that a wait for the answer before is
    /// not left out.
    async fn send(&self, numbers: Range<u32>, due: Instant) -> Result<()> {
        let system = self.system;
        self.note(|seen| seen.journal.sending(numbers.clone()));
        let body = system.events.array(numbers.clone());
        let answer = Post::json(&system.http, &system.ingests[0].url(), body)
            .send()
            .await?;
        let took_ms = due.elapsed().as_secs_f64() * 1e3;
        self.note(|seen| seen.answers_ms.push(took_ms));
        match answer {
            Attempt::Accepted { ids, .. } => {
                let ids: Option<Vec<Uuid>> = ids.into_iter().collect();
                let ids = ids.context("an id is null")?;
                self.note(|seen| {
                    seen.accepted += 1;
                    seen.journal.acknowledged(numbers, &ids)
                })
            }
            Attempt::Later { retry_after, code } => {
                let after = retry_after.with_context(|| format!("{code} without Retry-After"))?;
                self.note(|seen| {
                    seen.refused += 1;
                    let (least, most) = seen.retry_after.unwrap_or((after, after));
                    seen.retry_after = Some((least.min(after), most.max(after)));
                });
                Ok(())
            }
            other => bail!("{numbers:?}: {other:?}"),
        }
    }

    fn note<T>(&self, note: impl FnOnce(&mut Seen) -> T) -> T {
        let seen = self.seen.lock();
        note(&mut seen.unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

struct Watched {
    memory_share: f64,
    was_unready: bool,
}

/// Looks at Redis' memory and ingest's readiness.
async fn watch(system: &System, until: Instant) -> Result<Watched> {
    let mut watched = Watched {
        memory_share: 0.0,
        was_unready: false,
    };
    while Instant::now() < until {
        let memory = Memory::ask(system.redis.client()).await?;
        watched.memory_share = watched.memory_share.max(memory.share());
        let readiness = system.ingests[0].readiness().await;
        watched.was_unready |= readiness.is_some_and(|readiness| !readiness.ready);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(watched)
}

/// The value that `percent` of `values` do not exceed.
pub(super) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or(0.0)
}
