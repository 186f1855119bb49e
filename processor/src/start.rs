//! Starting and ending a processor: what is asked of Redis and MongoDB first, which loops run,
//! and in which order they end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evp_shared::backoff::Backoff;
use evp_shared::clock::Clock;
use evp_shared::config::Durability;
use evp_shared::event::span::Calendar;
use evp_shared::health::{Beat, Condition, Health};
use evp_shared::keys::Keys;
use evp_shared::redis::{ServerPromise, connect, connected, reader_pool};
use evp_shared::service::{Left, RunFailure, Service};
use evp_shared::shutdown::Shutdown;
use evp_shared::store::{self, StoreError, spans};
use evp_shared::stream::Stream;
use evp_shared::tasks::{TaskError, TaskSet};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::bulk::commit::Committer;
use crate::bulk::pipeline::Pipeline;
use crate::bulk::sketch::Sketches;
use crate::bulk::worker::WorkLoop;
use crate::config::{ProcessorConfig, SketchMode};
use crate::deliver::claimer::ClaimLoop;
use crate::deliver::consumer::{Consumer, default_name};
use crate::deliver::lives::Lives;
use crate::deliver::member::MemberLoop;
use crate::deliver::reader::ReadLoop;
use crate::doctor::{self, Level};
use crate::metrics::Metrics;
use crate::store::breaker::Breaker;
use crate::store::events::{COMMANDS_AT_ONCE, Events};
use crate::store::insert::Inserter;
use crate::store::room::Room;
use crate::store::spans::Layout;
use crate::upkeep::dead_letters::DeadLetterLoop;
use crate::upkeep::house_loop::HouseLoop;
use crate::upkeep::housekeeper::House;
use crate::upkeep::reconcile::ReconcileLoop;
use crate::upkeep::sketch;
use crate::upkeep::tenants::TenantLoop;
use crate::upkeep::ticker::TickLoop;
use crate::verify::verifier::Verifier;

/// Batches of deliveries between the readers and the worker. One is being joined to bulks, one
/// waits; more would only grow idle here.
const DELIVERIES: usize = 2;

/// Commands to MongoDB that may be without an answer: those of the bulks in flight at once, and as
/// many again whose deadline is over.
const UNANSWERED_FACTOR: usize = 2;

/// Connections to MongoDB besides those of the bulks: look-ups, reconcile.
const CONNECTIONS_BESIDES: usize = 4;

/// Readers block at most for a read and its slack; claims and reconciles wait in between.
const LOOP_AGE_MAX: Duration = Duration::from_secs(30);
const MINUTES_LOOP_AGE_MAX: Duration = Duration::from_secs(300);

/// Why a processor ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The connection to Redis cannot be made as configured.
    #[error("redis.url cannot be used")]
    Redis(#[from] fred::error::Error),
    /// The pool of readers cannot be made.
    #[error("no pool of redis connections")]
    Pool(#[from] deadpool::managed::BuildError),
    /// Redis promises less than `redis.durability` declares.
    #[error("redis keeps less than redis.durability declares: {0}")]
    Durability(String),
    /// Redis or MongoDB is not what EVP needs.
    #[error("not fit to run: {0}; see evp-processor doctor")]
    NotFit(String),
    /// MongoDB is not what EVP needs.
    #[error("mongodb cannot be used")]
    Store(#[from] StoreError),
    /// A loop ended that must not.
    #[error("a loop failed")]
    Task(#[from] TaskError),
}

impl RunFailure for RunError {
    fn is_for_operator(&self) -> bool {
        match self {
            Self::Redis(_) | Self::Durability(_) | Self::Store(_) | Self::NotFit(_) => true,
            Self::Pool(_) | Self::Task(_) => false,
        }
    }
}

/// What the rooms share, put together.
#[derive(Debug)]
pub struct Parts {
    /// Whom entries are given to.
    pub consumer: Arc<Consumer>,
    /// What is done with a bulk.
    pub pipeline: Arc<Pipeline>,
}

impl Parts {
    /// Nothing is known, read or stored yet.
    pub fn new(config: &ProcessorConfig, stream: &Stream, events: Events, clock: &Clock) -> Self {
        let metrics = Arc::new(Metrics::resolve(stream.partitions()));
        let lives = Arc::new(Lives::new(stream.clone()));
        let committer = Committer::new(config, stream.clone(), lives.clone(), metrics.clone());
        let consumer = Consumer {
            name: config.name.clone().unwrap_or_else(default_name),
            stream: stream.clone(),
            lives,
            in_flight: Mutex::default(),
            apart: Mutex::default(),
            breaker: Breaker::default(),
            left_overs: false.into(),
            unfinished: 0.into(),
            foreign: 0.into(),
            claim_idle: config.claim_idle,
            metrics: metrics.clone(),
            clock: clock.clone(),
            patience: config.redis.command_timeout,
        };
        let pipeline = Pipeline {
            fingerprint: config.fingerprint(),
            inserter: events.inserter().clone(),
            events: Arc::new(events),
            committer: Arc::new(committer),
            room: Arc::new(Room::new(config.dead_letters)),
            sketches: (config.sketches == SketchMode::On).then(Sketches::default),
            metrics,
            clock: clock.clone(),
        };
        Self {
            consumer: Arc::new(consumer),
            pipeline: Arc::new(pipeline),
        }
    }

    /// Starts the loops that no event waits for.
    fn keep_house(&self, tasks: &mut TaskSet, health: &Health, shutdown: &Shutdown) {
        let pipeline = &self.pipeline;
        let letters = DeadLetterLoop {
            pipeline: pipeline.clone(),
            has_room: health.condition("dead_letters"),
            beat: health.loop_beat("dead_letters", LOOP_AGE_MAX),
        };
        let reconcile = ReconcileLoop {
            verifier: Verifier {
                stream: pipeline.committer.stream.clone(),
                inserter: pipeline.inserter.clone(),
                committer: pipeline.committer.clone(),
                clock: pipeline.clock.clone(),
            },
            metrics: pipeline.metrics.clone(),
            beat: health.loop_beat("reconcile", MINUTES_LOOP_AGE_MAX),
        };
        let member = MemberLoop {
            consumer: self.consumer.clone(),
            beat: health.loop_beat("member", LOOP_AGE_MAX),
        };
        tasks.spawn("dead-letters", letters.run(shutdown.clone()));
        tasks.spawn("reconcile", reconcile.run(shutdown.clone()));
        tasks.spawn("member", member.run(shutdown.clone()));
        tasks.spawn("sketches", sketch::run(pipeline.clone(), shutdown.clone()));
    }
}

/// Runs a processor until the shutdown; what it has read by then is stored and committed.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    config: ProcessorConfig,
    service: Service<ProcessorConfig>,
) -> Result<Left, RunError> {
    let [redis, mongo, identity] =
        ["redis", "mongo", "identity"].map(|name| service.health.condition(name));
    let shutdown = service.shutdown.clone();
    let Some(parts) = prepare(&config, &service).await? else {
        return Ok(Left::NOTHING);
    };
    let Parts { consumer, pipeline } = &parts;
    let room = pipeline.room.clone();
    service
        .reloads
        .on(move |config| room.bound(config.dead_letters));
    let tenants = TenantLoop::begin(pipeline.clone()).await;
    mongo.ok();
    info!(consumer = consumer.name, "processing");

    let (sender, deliveries) = mpsc::channel(DELIVERIES);
    let beat = |name, age| service.health.loop_beat(name, age);
    let reader = ReadLoop {
        consumer: consumer.clone(),
        events: pipeline.events.clone(),
        limits: config.bulk(),
        block: config.read_block,
        fingerprint: config.fingerprint(),
        pool: reader_pool(config.redis.clone(), 1)?,
        deliveries: sender.clone(),
        mongo: mongo.clone(),
        beat: beat("reader", LOOP_AGE_MAX),
    };
    let claimer = ClaimLoop {
        consumer: consumer.clone(),
        interval: config.claim_interval,
        deliveries: sender,
        beat: beat("claimer", LOOP_AGE_MAX + config.claim_interval),
    };
    let worker = WorkLoop {
        consumer: consumer.clone(),
        pipeline: pipeline.clone(),
        limits: config.bulk(),
        deliveries,
        mongo,
        shutdown: shutdown.clone(),
    };
    let beat = beat("ticker", LOOP_AGE_MAX);
    let ticker = ticker(&parts, config.redis.durability, (redis, identity), beat);

    // The worker ends by itself when both senders of deliveries have ended and all is committed.
    let mut tasks = TaskSet::new();
    tasks.spawn("reader", reader.run(shutdown.clone()));
    tasks.spawn("claimer", claimer.run(shutdown.clone()));
    tasks.spawn("worker", worker.run());
    tasks.spawn("ticker", ticker.run(shutdown.clone()));
    tasks.spawn("tenants", tenants.run(shutdown.clone()));
    parts.keep_house(&mut tasks, &service.health, &shutdown);
    let house = housekeeper(&config, &parts, &service.health);
    tasks.spawn("housekeeper", house.run(shutdown.clone()));
    tasks.join().await?;
    sketch::write(pipeline, true).await;
    Ok(Left(leave_group(consumer).await))
}

fn ticker(
    parts: &Parts,
    durability: Durability,
    (redis, identity): (Condition, Condition),
    beat: Beat,
) -> TickLoop {
    let Parts { consumer, pipeline } = parts;
    TickLoop {
        consumer: consumer.clone(),
        committer: pipeline.committer.clone(),
        books: OnceLock::new(),
        durability,
        redis,
        identity,
        beat,
    }
}

/// What keeps the spans.
fn housekeeper(config: &ProcessorConfig, parts: &Parts, health: &Health) -> HouseLoop {
    let Parts { consumer, pipeline } = parts;
    let servers = (
        pipeline.inserter.database().clone(),
        consumer.stream.clone(),
    );
    let (lives, metrics) = (consumer.lives.clone(), pipeline.metrics.clone());
    HouseLoop {
        house: House::new(config, &consumer.name, servers, lives, metrics),
        beat: health.loop_beat("housekeeper", MINUTES_LOOP_AGE_MAX),
    }
}

/// Connects and asks until Redis and MongoDB are there; `None` when the shutdown comes first.
async fn prepare(
    config: &ProcessorConfig,
    service: &Service<ProcessorConfig>,
) -> Result<Option<Parts>, RunError> {
    let client = connect(&config.redis)?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    let partitions = config.redis.partitions.get();
    let stream = Stream::new(client.clone(), &keys, partitions);
    let at_once = config.bulks_in_flight * COMMANDS_AT_ONCE;
    let unanswered = at_once * UNANSWERED_FACTOR + CONNECTIONS_BESIDES;
    let connections = u32::try_from(unanswered).unwrap_or(u32::MAX);
    let database = store::connect(&config.mongo, connections).await;
    let database = database.map_err(StoreError::from)?;

    // Or the first question would find a connection that is only being made, and warn of it.
    drop(connected(&client, config.redis.connect_timeout).await);
    let mut backoff = Backoff::new(Duration::from_millis(100), 2, Duration::from_secs(5));
    let calendar = loop {
        match ready(config, &stream, &database).await {
            Ok(calendar) => break calendar,
            Err(NotReady::Never(error)) => return Err(error),
            Err(NotReady::Yet(reason)) => warn!(reason, "waiting"),
        }
        let delay = backoff.next_delay();
        if timeout(delay, service.shutdown.triggered()).await.is_ok() {
            return Ok(None);
        }
    };
    examine(config, &stream, &database).await?;
    let inserter = Inserter::new(database, config.insert_deadline, unanswered);
    let layout = Layout {
        calendar,
        identity: config.identity,
        indexes: config.indexes.clone(),
    };
    let events = Events::new(inserter, layout, service.clock.clone());
    // What a crash left. Nobody sees it, and the next one is as good.
    drop(events.remove_left_probes().await);
    Ok(Some(Parts::new(config, &stream, events, &service.clock)))
}

enum NotReady {
    Yet(String),
    Never(RunError),
}

fn not_yet(reason: impl std::fmt::Display) -> NotReady {
    NotReady::Yet(reason.to_string())
}

async fn ready(
    config: &ProcessorConfig,
    stream: &Stream,
    database: &mongodb::Database,
) -> Result<Calendar, NotReady> {
    if !evp_shared::redis::is_connected(stream.client()) {
        return Err(not_yet("redis is not connected"));
    }
    let promise = ServerPromise::ask(stream.client()).await;
    let promise = promise.map_err(not_yet)?;
    let shortfalls = promise.shortfalls(config.redis.durability);
    if !shortfalls.is_empty() {
        return Err(NotReady::Never(RunError::Durability(shortfalls.join("; "))));
    }
    // Before anything is written: a database of another layout says more than another identity does.
    spans::checked_calendar(database)
        .await
        .map_err(for_ever_or_not)?;
    let own = config.fingerprint();
    let stored = stream.claim_identity(own).await.map_err(not_yet)?;
    if stored != own {
        return Err(NotReady::Never(StoreError::Identity { stored, own }.into()));
    }
    let prepared = store::prepare(database, config.span, own).await;
    prepared.map_err(for_ever_or_not)
}

fn for_ever_or_not(error: StoreError) -> NotReady {
    match error {
        StoreError::Mongo(_) => not_yet(error),
        _ => NotReady::Never(error.into()),
    }
}

/// What `doctor` finds, as far as it is cheap: logged, and what the service must not run with
/// refuses the start.
async fn examine(
    config: &ProcessorConfig,
    stream: &Stream,
    database: &mongodb::Database,
) -> Result<(), RunError> {
    let findings = doctor::at_start(config, stream, database).await;
    let mut refused = Vec::new();
    for one in findings.iter().filter(|one| one.level >= Level::Warn) {
        let (check, found, fix) = (one.check, &one.found, &one.fix);
        if one.level == Level::Fail && check.refuses_start() {
            refused.push(format!("{found}: {fix}"));
        } else {
            warn!(check = check.as_str(), found, fix, "doctor");
        }
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(RunError::NotFit(refused.join("; ")))
    }
}

/// Takes this consumer out of the group, unless entries are pending under it. Returns how many
/// are; where Redis cannot be asked, at least those the last bulks left.
async fn leave_group(consumer: &Consumer) -> usize {
    let mut pending = 0;
    let mut at_least = 0;
    for partition in 0..consumer.stream.partitions() {
        match consumer.stream.leave(partition, &consumer.name).await {
            Ok(entries) => pending += usize::try_from(entries).unwrap_or(usize::MAX),
            Err(error) => {
                info!(partition, %error, "consumer stays in the group");
                at_least = consumer.unfinished.load(Ordering::SeqCst);
            }
        }
    }
    let left = pending.max(at_least);
    if left > 0 {
        warn!(
            entries = left,
            "entries stay pending: another processor takes them, or this one at its next start"
        );
    }
    left
}
