//! The housekeeper: makes spans ahead, seals those that have ended, and drops those that are gone.
//!
//! What only rises or is harmless to do twice (the floor, the marks in Redis, spans made ahead) every
//! processor does in every round. The rest, where an order counts, is done under the lease of
//! [`lease`], by one processor or command at a time; it is given back after each round, but for the
//! time an index is built. What a round remembers lies in MongoDB ([`memory`]), so that any processor
//! goes on with it.

pub mod building;
pub mod disk;
pub mod dropping;
pub mod ending;
pub mod memory;
pub mod sealing;
pub mod waits;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::dead_letters::DeadLetterError;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::{Calendar, SPANS};
use evp_shared::redis::ServerFacts;
use evp_shared::service::Chain;
use evp_shared::store::{Index, Marks, Row, State, StoreError, lease, spans};
use evp_shared::stream::{Stream, StreamError};
use evp_shared::telemetry::as_f64;
use mongodb::Database;
use mongodb::error::Error as MongoError;
use tracing::{info, warn};

use self::building::Job;
use self::disk::{Disk, FULL_LIFE};
use self::ending::{Next, Sight, Tide};
use self::memory::Memory;
use self::waits::{Waits, ms};
use crate::config::ProcessorConfig;
use crate::deliver::lives::Lives;
use crate::metrics::Metrics;

/// Why a part of a round was not done. All of it is tried again in the next one.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// MongoDB.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
    /// What is stored in it.
    #[error("mongodb holds something else")]
    Store(#[from] StoreError),
    /// Redis.
    #[error("redis failed")]
    Redis(#[from] StreamError),
    /// The dead letters.
    #[error("dead letters were not purged")]
    Letters(#[from] DeadLetterError),
    /// Clocks.
    #[error("the clocks of mongodb and redis are {0:?} apart: nothing ends until they agree")]
    Clocks(Duration),
}

/// What keeps house, and for what.
#[derive(Debug)]
pub struct House {
    /// Where the spans are.
    pub database: Database,
    /// Where entries wait.
    pub stream: Stream,
    /// The stream's lives.
    pub lives: Arc<Lives>,
    /// What every span is indexed by.
    pub indexes: Vec<Index>,
    /// How long events are kept.
    pub keep: Option<Duration>,
    /// Where the time lies in an id.
    pub identity: IdentityConfig,
    /// How long to wait for what.
    pub waits: Waits,
    /// Who takes the lease.
    pub holder: String,
    /// The metric handles.
    pub metrics: Arc<Metrics>,
    /// Collections without a row, as of the last round: one is made before its row is.
    strangers: BTreeSet<String>,
}

/// What a round sees first.
#[derive(Debug)]
struct Seen {
    calendar: Calendar,
    rows: Vec<Row>,
    disk: Option<Disk>,
}

impl House {
    /// As configured; `name` is this processor's.
    pub fn new(
        config: &ProcessorConfig,
        name: &str,
        (database, stream): (Database, Stream),
        lives: Arc<Lives>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            database,
            stream,
            lives,
            indexes: config.indexes.clone(),
            keep: config.storage.keep,
            identity: config.identity,
            waits: Waits::new(config.storage.hurry),
            holder: format!("{name}, pid {}", std::process::id()),
            metrics,
            strangers: BTreeSet::new(),
        }
    }

    /// One round. What it returns is to be done, under the lease that this house then still has; with
    /// `busy` nothing more is begun.
    ///
    /// # Errors
    /// [`HouseError`]: nothing could be seen. What else fails is logged, and the rest is done.
    pub async fn round(&mut self, busy: bool) -> Result<Vec<Job>, HouseError> {
        let database = self.database.clone();
        let Some(calendar) = spans::stored_calendar(&database, Duration::ZERO).await? else {
            return Ok(Vec::new());
        };
        let seen = Seen {
            calendar,
            rows: spans::rows(&database, Duration::ZERO).await?,
            disk: Disk::ask(&database).await?,
        };
        let memory = Memory::read(&database).await?;
        self.metrics.backup.set(as_f64(memory.backup_ms / 1_000));
        let now_ms = memory::now_ms(&database).await?;
        self.see(&seen, now_ms);
        tell("disk", self.tell_disk(seen.disk).await);
        let goal = ending::goal(&calendar, now_ms, self.keep, memory.asked_ms);
        let marks = tell("floor", self.raise_floor(goal, now_ms).await);
        if let Some(marks) = marks {
            let gone = seen.rows.iter().filter(|row| marks.is_gone(&row.span));
            self.metrics.spans_gone.set(as_f64(gone.count()));
        }
        tell("ahead", self.make_ahead(&seen, now_ms).await);
        tell("collections", self.compare(&seen.rows).await);

        if lease::take(&database, &self.holder, self.waits.lease()).await? != self.holder {
            return Ok(Vec::new());
        }
        let jobs = self.under_lease(&seen, marks, busy).await;
        if !busy && jobs.as_ref().map_or(true, Vec::is_empty) {
            lease::release(&database, &self.holder).await?;
        }
        jobs
    }

    /// What one at a time does.
    async fn under_lease(
        &self,
        seen: &Seen,
        marks: Option<Marks>,
        busy: bool,
    ) -> Result<Vec<Job>, HouseError> {
        // Read under the lease: another one may have written it since.
        let mut memory = Memory::read(&self.database).await?;
        let now_ms = memory::now_ms(&self.database).await?;
        let tides = tell("stream", self.tides().await);
        if let Some((marks, tides)) = marks.zip(tides.as_ref()) {
            let sight = Sight {
                now: now_ms,
                floor: marks.floor_ms,
                gone: marks.gone_ms,
                goal: ending::goal(&seen.calendar, now_ms, self.keep, memory.asked_ms),
            };
            let gone = self.raise_gone(&mut memory, sight, tides).await;
            if let Some(gone) = tell("gone", gone) {
                let dropped = dropping::drop_gone(self, &seen.rows, gone).await;
                tell("drop", dropped);
            }
        }
        if busy {
            return Ok(Vec::new());
        }
        let backlog = tides.iter().flatten().map(Tide::backlog).max();
        let site = building::Site {
            database: &self.database,
            indexes: &self.indexes,
            waits: &self.waits,
            now_ms,
            free: seen.disk.map(|disk| disk.free()),
            is_calm: backlog.is_some_and(|backlog| backlog < self.waits.backlog),
        };
        // What was dropped a moment ago is not looked for.
        let rows = spans::rows(&self.database, Duration::ZERO).await?;
        let (jobs, missing) = building::next(&site, &rows, &mut memory.sizes).await?;
        self.metrics.spans_missing.set(as_f64(missing));
        memory.write(&self.database).await?;
        Ok(jobs)
    }

    /// Raises the floor to what may end, and tells it to Redis.
    async fn raise_floor(&self, goal: u64, now_ms: u64) -> Result<Marks, HouseError> {
        let mut marks = spans::marks(&self.database).await?;
        if goal > marks.floor_ms {
            let redis_ms = ServerFacts::ask(self.stream.client()).await;
            let redis_ms = redis_ms.map_err(StreamError::from)?.now_ms;
            if let Some(apart) = ending::too_far_apart(redis_ms, now_ms) {
                return Err(HouseError::Clocks(apart));
            }
            let to = Marks {
                floor_ms: goal,
                gone_ms: 0,
            };
            marks = spans::raise_marks(&self.database, to).await?;
            info!(floor_ms = marks.floor_ms, "the floor rises");
        }
        if marks.floor_ms > 0 {
            self.stream.say_floor(marks.floor_ms).await?;
        }
        self.metrics.floor.set(as_f64(marks.floor_ms / 1_000));
        self.metrics.gone.set(as_f64(marks.gone_ms / 1_000));
        Ok(marks)
    }

    /// Raises the mark below which spans are dropped, as far as that may be.
    async fn raise_gone(
        &self,
        memory: &mut Memory,
        sight: Sight,
        tides: &[Tide],
    ) -> Result<Marks, HouseError> {
        let marks = Marks {
            floor_ms: sight.floor,
            gone_ms: sight.gone,
        };
        let next = memory.ending.look(sight, tides, self.waits.hold);
        memory.write(&self.database).await?;
        match next {
            Next::Nothing | Next::Stand(_) => Ok(marks),
            Next::Pending { partition, entry } => {
                info!(partition, %entry, "spans are not dropped before this entry is acknowledged");
                Ok(marks)
            }
            Next::Gone(gone_ms) => {
                info!(gone_ms, "spans below are dropped");
                let to = Marks {
                    floor_ms: 0,
                    gone_ms,
                };
                Ok(spans::raise_marks(&self.database, to).await?)
            }
        }
    }

    /// Where every partition stands, in one life of each.
    async fn tides(&self) -> Result<Vec<Tide>, HouseError> {
        let mut tides = Vec::new();
        for partition in 0..self.stream.partitions() {
            self.lives.greet(partition).await?;
            let life = self.lives.known(partition);
            let last = self.stream.last_entry(partition).await?;
            let oldest = self.stream.oldest_uncommitted(partition).await?;
            // Or the answers may be those of two servers.
            self.lives.greet(partition).await?;
            if self.lives.known(partition) != life {
                return Err(StreamError::NewLife.into());
            }
            let oldest = oldest.map(|oldest| oldest.id);
            tides.push(Tide { life, last, oldest });
        }
        Ok(tides)
    }

    async fn make_ahead(&self, seen: &Seen, now_ms: u64) -> Result<(), HouseError> {
        let times_ms = now_ms..now_ms + ms(self.waits.ahead).max(1);
        for span in seen.calendar.spans(times_ms) {
            if !seen.rows.iter().any(|row| row.span == span) {
                spans::make(&self.database, &span, &self.indexes).await?;
                info!(%span, "span made");
            }
        }
        Ok(())
    }

    /// Names collections that look like spans and are none.
    async fn compare(&mut self, rows: &[Row]) -> Result<(), HouseError> {
        let names = self.database.list_collection_names().await?;
        let is_row = |name: &String| rows.iter().any(|row| row.name() == *name);
        let found = names.into_iter().filter(|name| name.starts_with(SPANS.0));
        let found: BTreeSet<String> = found.filter(|name| !is_row(name)).collect();
        let known = std::mem::replace(&mut self.strangers, found);
        let strangers: Vec<&String> = self.strangers.intersection(&known).collect();
        if !strangers.is_empty() {
            let first = strangers.iter().take(5);
            warn!(names = ?first.collect::<Vec<_>>(), "collections without a row are left alone");
        }
        self.metrics.strangers.set(as_f64(strangers.len()));
        Ok(())
    }

    /// Tells Redis, which ingest asks, that the disk is full, as long as it is.
    async fn tell_disk(&self, disk: Option<Disk>) -> Result<(), HouseError> {
        let Some(disk) = disk else { return Ok(()) };
        let full = disk.is_full().then(|| disk.used_permille());
        if let Some(permille) = full {
            warn!(
                permille,
                "the disk of mongodb is full: ingest refuses events"
            );
        }
        Ok(self.stream.say_full(full, FULL_LIFE).await?)
    }

    fn see(&self, seen: &Seen, now_ms: u64) {
        let until_ms = ending::made_until(seen.rows.iter().map(|row| &row.span), now_ms);
        self.metrics.spans_until.set(as_f64(until_ms / 1_000));
        for state in State::ALL {
            let spans = seen.rows.iter().filter(|row| row.state == state);
            self.metrics.spans[state as usize].set(as_f64(spans.count()));
        }
        if let Some(disk) = seen.disk {
            let used = as_f64(disk.used_permille()) / 1_000.0;
            self.metrics.disk_ratio.set(used);
            self.metrics.storage_bytes.set(as_f64(disk.stored));
        }
    }
}

/// Logs what failed; the next round tries again.
fn tell<T>(part: &'static str, result: Result<T, HouseError>) -> Option<T> {
    result
        .inspect_err(|error| {
            let error = Chain(error);
            warn!(part, %error, "a part of keeping house failed, and is tried again");
        })
        .ok()
}
