//! The ticker: every second, whatever else happens, it frees what left the kept window, notices a
//! new life, and measures backlog, lag and delay.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use evp_shared::config::Durability;
use evp_shared::health::{Beat, Condition};
use evp_shared::redis::{LogState, Memory, ServerPromise, renew_log};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{Commit, Life, StreamError, Totals};
use evp_shared::telemetry::as_f64;
use futures::StreamExt as _;
use tracing::{debug, error, info, warn};

use crate::bulk::commit::Committer;
use crate::deliver::consumer::Consumer;
use crate::metrics::Books;
use crate::upkeep::renewal::Renewal;

const EVERY: Duration = Duration::from_secs(1);

/// How often Redis is asked what it promises, besides after every fault.
const PROMISE_EVERY: Duration = Duration::from_secs(10);

/// Share of maxmemory above which acknowledged entries are not kept for live readers.
const MEMORY_SHORT: f64 = 0.8;

/// What Redis promised when it was last asked.
#[derive(Debug, Default)]
struct Promise {
    checked: Option<Instant>,
    /// The lives at that time: another one may be that of another server.
    lives: Vec<Life>,
    /// What of it is missing; empty where nothing is.
    shortfalls: String,
    renewal: Renewal,
}

/// Ticks for one processor until the shutdown.
#[derive(Debug)]
pub struct TickLoop {
    /// Whose backlog.
    pub consumer: Arc<Consumer>,
    /// What is told when memory is short.
    pub committer: Arc<Committer>,
    /// Where the totals are shown.
    pub books: OnceLock<Books>,
    /// What Redis is declared to keep.
    pub durability: Durability,
    /// Whether Redis answers, and keeps what is declared.
    pub redis: Condition,
    /// Whether all frames were made under this service's identity.
    pub identity: Condition,
    /// Sign of life.
    pub beat: Beat,
}

impl TickLoop {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), std::convert::Infallible> {
        let mut promise = Promise::default();
        let mut foreign_told = 0;
        self.identity.ok();
        let mut ticks = shutdown.every(EVERY);
        while ticks.next().await.is_some() {
            // Before the pending entries are counted: one that is met by now is among them.
            let foreign = self.consumer.foreign.load(Ordering::SeqCst);
            match self.tick_all(&mut promise).await {
                Ok(pending) => {
                    // What is on the stream is stored and committed in any case; a weak promise is
                    // ingest's to refuse by, and the operator's to mend.
                    if promise.shortfalls.is_empty() {
                        self.redis.ok();
                    } else {
                        self.redis.fail(&*promise.shortfalls);
                    }
                    if foreign > foreign_told {
                        self.identity.fail("frames of another identity are pending");
                    } else if pending == 0 {
                        self.identity.ok();
                    }
                    foreign_told = foreign;
                }
                Err(error) => {
                    debug!(%error, "tick failed");
                    self.redis.fail(error.to_string());
                    // Whoever answers next may be another server.
                    promise.checked = None;
                }
            }
            let is_open = u8::from(self.consumer.breaker.is_open());
            self.consumer.metrics.breaker_open.set(is_open);
            self.beat.beat();
        }
        Ok(())
    }

    async fn check_promise(&self, promise: &mut Promise) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let now = consumer.clock.now();
        let is_fresh = |checked| now - checked < PROMISE_EVERY;
        let lives = consumer.lives_now();
        if promise.checked.is_some_and(is_fresh) && promise.lives == lives {
            return Ok(());
        }
        let asked = ServerPromise::ask(consumer.stream.client());
        let found = consumer.in_time(asked).await?;
        let shortfalls = found.shortfalls(self.durability).join("; ");
        if shortfalls != promise.shortfalls && !shortfalls.is_empty() {
            error!(
                shortfalls,
                "redis keeps less than redis.durability declares"
            );
        }
        promise.checked = Some(now);
        promise.lives = lives;
        promise.shortfalls = shortfalls;
        // Where it is not allowed, it is the operator's.
        if let Err(error) = self.renew_log(&mut promise.renewal).await {
            debug!(%error, "append-only file not made anew");
        }
        Ok(())
    }

    /// A server may have been started over a log without its end: see [`LogState`].
    async fn renew_log(&self, renewal: &mut Renewal) -> Result<(), StreamError> {
        let consumer = &*self.consumer;
        let client = consumer.stream.client();
        let state = consumer.in_time(LogState::ask(client)).await?;
        if !renewal.is_due(state, consumer.clock.now()) {
            return Ok(());
        }
        if state == LogState::Failed {
            warn!("redis could not make its append-only file anew, see its log: it is asked again");
        }
        consumer.in_time(renew_log(client)).await?;
        info!("redis makes its append-only file anew");
        Ok(())
    }

    /// Returns how many entries are pending.
    async fn tick_all(&self, promise: &mut Promise) -> Result<u64, StreamError> {
        let consumer = &*self.consumer;
        self.check_promise(promise).await?;
        let memory = Memory::ask(consumer.stream.client());
        let is_short = consumer.in_time(memory).await?.share() >= MEMORY_SHORT;
        let memory_short = &self.committer.memory_short;
        memory_short.store(is_short, Ordering::Relaxed);
        let mut pending = 0;
        let mut all = Vec::new();
        for partition in 0..consumer.stream.partitions() {
            match consumer.in_time(self.tick(partition)).await {
                Err(error) if error.wants_hello() => {
                    info!(
                        partition,
                        "redis does not live the life it was known to live"
                    );
                    consumer.lives.greet(partition).await?;
                    // What was read before is pending, and comes again.
                    consumer.left_overs.store(true, Ordering::SeqCst);
                    pending += 1;
                }
                other => {
                    let (entries, totals) = other?;
                    pending += entries;
                    all.push(totals);
                }
            }
        }
        // Not before all are known: a zero would look like a loss of all events.
        if all.len() == usize::from(consumer.stream.partitions()) {
            let books = self
                .books
                .get_or_init(|| Books::resolve(consumer.stream.partitions()));
            books.show(&all);
        }
        Ok(pending)
    }

    /// Returns how many entries of the partition are pending, and its totals.
    async fn tick(&self, partition: u16) -> Result<(u64, Totals), StreamError> {
        let consumer = &*self.consumer;
        let metrics = &consumer.metrics;
        let tick = Commit {
            life: consumer.lives.known(partition),
            entries: &[],
            settles: &[],
            kept: self.committer.kept(),
        };
        let done = consumer.stream.commit(partition, &tick).await?;
        let events = done.lost_events;
        let lost = u64::try_from(events).unwrap_or(0) + consumer.lives.take_lost_events();
        metrics.backlog_lost.increment(lost);
        if events != 0 {
            error!(partition, events, "backlog was not there any more");
        }
        for failure in &done.failures {
            error!(partition, failure, "tick could not write");
        }
        let totals = consumer.stream.totals(partition).await?;
        let pending = consumer.stream.pending(partition).await?;
        let now_ms = consumer.clock.now_ms();
        let oldest = consumer.stream.oldest_uncommitted(partition).await?;
        let received = oldest.map_or(now_ms, |oldest| oldest.received_at_ms);
        let delay = Duration::from_millis(now_ms.saturating_sub(received));
        // The oldest uncommitted entry is a pending one where there is any.
        let of_pending = (pending.entries > 0).then_some(delay);
        let at = usize::from(partition);
        metrics.backlog_events[at].set(as_f64(done.backlog_events));
        metrics.backlog_bytes[at].set(as_f64(done.backlog_bytes));
        metrics.pending_entries[at].set(as_f64(pending.entries));
        metrics.oldest_pending[at].set(of_pending.unwrap_or_default());
        metrics.delay[at].set(delay);
        Ok((pending.entries, totals))
    }
}
