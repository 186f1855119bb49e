//! The service put together, and its way down.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use evp_shared::access::reader::Access;
use evp_shared::access::teller::Teller;
use evp_shared::clock::Clock;
use evp_shared::config::{AuthMode, Durability};
use evp_shared::event::id::Identity;
use evp_shared::health::Condition;
use evp_shared::http::server::{self, Listener, RequestBody, ServerLimits};
use evp_shared::keys::Keys;
use evp_shared::redis::connect;
use evp_shared::service::{Left, Reloads, Service};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::Stream;
use evp_shared::tasks::TaskSet;
use http::{HeaderValue, Request};
use tokio::sync::{Notify, mpsc};

use crate::admission::Load;
use crate::append::appender::Appender;
use crate::append::batcher::{Batcher, BatcherConfig};
use crate::append::greeting::Target;
use crate::canary::Canary;
use crate::config::{Http2Mode, IngestConfig};
use crate::error::RunError;
use crate::http::context::{Context, InForce};
use crate::http::door::Door;
use crate::http::route;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::quota::Leaser;

/// Requests between their decoding and the batcher; more than that many is refused.
const SUBMISSIONS: usize = 8_192;
/// The part of the grace period that answering what is under way may take; the rest is for the
/// appends of requests whose clients have gone.
const SERVING_SHARE: (u32, u32) = (4, 5);
/// How long a replica may take to have an append, before it is asked again with the next attempt.
/// A healthy one takes a round trip; more than a second behind, it is no safety.
const REPLICA_PATIENCE: Duration = Duration::from_secs(1);

/// Serves until the shutdown, then drains: no more connections, every request answered, every
/// frame appended.
///
/// # Errors
/// [`RunError`].
pub async fn run(config: IngestConfig, service: Service<IngestConfig>) -> Result<Left, RunError> {
    let listener = service.listener.ok_or(RunError::Listener)?;
    let clock = service.clock;
    let load = Load::default();
    let metrics = Arc::new(Metrics::resolve());
    let target = target(&config, &metrics, &load)?;
    let (serving_stop, keeper_stop) = (service.shutdown.child(), Shutdown::new());
    let mut tasks = TaskSet::new();
    let wants_quota = Arc::new(Notify::new());
    let door = match config.process.auth {
        AuthMode::Open => Door::open(),
        AuthMode::Keys => {
            let learning = Learning {
                stream: target.stream.clone(),
                clock: clock.clone(),
                load: load.clone(),
                metrics: Arc::clone(&metrics),
                wants_quota: Arc::clone(&wants_quota),
            };
            learning.spawn(&mut tasks, service.health.condition("access"), &keeper_stop)
        }
    };
    let appender = Arc::new(Appender::new(target, clock.clone()));
    let in_force = in_force(&config, &service.reloads);
    let keeper = Keeper::new(appender.clone(), in_force.clone(), &service.health);
    let (submissions, queue) = mpsc::channel(SUBMISSIONS);
    let batcher = Batcher::new(batching(&config), queue, appender);
    let app = Arc::new(Context {
        door,
        identity: Identity::new(config.identity),
        load: load.clone(),
        submissions,
        metrics,
        in_force,
        wants_quota,
        durability: HeaderValue::from_static(config.redis.durability.as_str()),
        started: clock.now(),
        clock,
        config,
    });

    tasks.spawn("keeper", keeper.run(keeper_stop.clone()));
    tasks.spawn("batcher", batcher.run());
    Canary::spawn(&app, &mut tasks, &serving_stop);
    // The batcher ends with the last way to submit, which ends with the serving.
    let serving_grace = service.grace * SERVING_SHARE.0 / SERVING_SHARE.1;
    let serving = serve(app, listener, serving_stop.clone(), serving_grace);
    tokio::pin!(serving);
    let (drained, failed) = tokio::select! {
        drained = &mut serving => (drained, None),
        ended = tasks.join() => {
            load.set_draining();
            serving_stop.trigger();
            (serving.await, ended.err())
        }
    };
    keeper_stop.trigger();
    let cut = tasks.join_within(service.grace - serving_grace).await;
    failed.map_or(Ok(()), Err)?;
    Ok(Left(drained + counted(&cut?)))
}

/// What reloads, and is kept up to date.
fn in_force(config: &IngestConfig, reloads: &Reloads<IngestConfig>) -> Arc<ArcSwap<InForce>> {
    let in_force = Arc::new(ArcSwap::from_pointee(InForce::of(config)));
    let reloaded = Arc::clone(&in_force);
    reloads.on(move |config| reloaded.store(Arc::new(InForce::of(config))));
    in_force
}

/// How many tasks were cut, which is said.
fn counted(cut: &[&str]) -> usize {
    if !cut.is_empty() {
        tracing::warn!(tasks = cut.join(", "), "cut by the end of the grace period");
    }
    cut.len()
}

fn batching(config: &IngestConfig) -> BatcherConfig {
    BatcherConfig {
        limits: config.frame,
        appends_in_flight: config.append.in_flight,
        deadline: config.append.deadline,
    }
}

/// What learns who may come in, and how much of it.
struct Learning {
    stream: Stream,
    clock: Clock,
    load: Load,
    metrics: Arc<Metrics>,
    wants_quota: Arc<Notify>,
}

impl Learning {
    /// Starts its tasks; the door they keep.
    fn spawn(self, tasks: &mut TaskSet, condition: Condition, stop: &Shutdown) -> Door {
        let access = Access::new(self.stream.clone(), self.clock.clone());
        let leaser = Leaser {
            access: access.clone(),
            stream: self.stream.clone(),
            clock: self.clock.clone(),
            wanted: self.wants_quota,
        };
        tasks.spawn("quota-leaser", leaser.run(stop.clone()));
        let teller = Teller::new(access.clone(), self.stream, self.clock.clone());
        tasks.spawn("usage-teller", teller.run(stop.clone()));
        // Each time it was looked at, its age is measured and the tenants' shares of the load are
        // added up.
        let (held, clock, load, metrics) = (access.clone(), self.clock, self.load, self.metrics);
        let tell = move |age_s| {
            metrics.access_age.set(age_s);
            if let Some(map) = held.map().as_ref() {
                load.set_even_share(map.even_share(clock.now_ms() / 1_000));
            }
        };
        let kept = access.clone().keep(condition, tell, stop.clone());
        tasks.spawn("access-reader", kept);
        Door::Keys(access)
    }
}

fn target(config: &IngestConfig, metrics: &Arc<Metrics>, load: &Load) -> Result<Target, RunError> {
    let new_client = || connect(&config.redis).map_err(|error| RunError::Redis(error.into()));
    let client = new_client()?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    let mut stream = Stream::new(client, &keys, config.redis.partitions.get());
    if config.redis.durability == Durability::Replicated {
        stream = stream.replicated(new_client()?, REPLICA_PATIENCE);
    }
    Ok(Target {
        stream,
        codec: config.append.codec,
        fingerprint: config.identity.fingerprint(),
        durability: config.redis.durability,
        held: config.held(),
        metrics: Arc::clone(metrics),
        load: load.clone(),
    })
}

async fn serve(app: Arc<Context>, listener: Listener, stop: Shutdown, grace: Duration) -> usize {
    let config = &app.config;
    let limits = ServerLimits {
        http2: config.http2 == Http2Mode::On,
        // Bodies are read in pieces of up to this. A connection that is idle keeps a piece.
        buffer_bytes: 64 * 1024,
        half_close: true,
        ..ServerLimits::public(&config.server, config.process.auth)
    };
    let handler = move |request: Request<RequestBody>| route::handle(Arc::clone(&app), request);
    server::serve(listener, limits, handler, stop, grace).await
}
