//! The service put together, and its way down.

use std::net::SocketAddr;
use std::sync::Arc;

use evp_shared::clock::Clock;
use evp_shared::event::EventRules;
use evp_shared::event::id::Identity;
use evp_shared::health::Health;
use evp_shared::http::admin;
use evp_shared::http::body::BodyLimits as WireLimits;
use evp_shared::http::server::{self, Http2, Http2Limits, ServerLimits};
use evp_shared::keys::Keys;
use evp_shared::redis::{Connect, connect};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::Stream;
use evp_shared::tasks::{TaskError, TaskSet};
use evp_shared::telemetry::Telemetry;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::admission::{AdmissionLimits, Load};
use crate::appender::{Appender, AppenderConfig};
use crate::batcher::{Batcher, BatcherConfig, Submission};
use crate::body::BodyLimits;
use crate::config::{ADMIN_LISTEN, Http2Mode, IngestConfig, SERVER_LISTEN};
use crate::cors::Cors;
use crate::error::RunError;
use crate::keeper::Keeper;
use crate::metrics::{self, AppendMetrics, RequestMetrics};
use crate::route;

/// Requests between their decoding and the batcher; more than that many is refused.
const SUBMISSIONS: usize = 8_192;
/// Whose events these are while nobody is asked who they are.
const DEFAULT_TENANT: &str = "default";

/// The bound sockets of the service.
#[derive(Debug)]
pub struct Listeners {
    /// The public port.
    pub public: TcpListener,
    /// The admin port.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what is configured.
    ///
    /// # Errors
    /// [`RunError::Bind`] names the key to change.
    pub async fn bind(config: &IngestConfig) -> Result<Self, RunError> {
        Ok(Self {
            public: bind(SERVER_LISTEN.name, config.server.listen).await?,
            admin: bind(ADMIN_LISTEN.name, config.admin.listen).await?,
        })
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Bind {
            key,
            address,
            source,
        })?;
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(listener = key, address = %bound, "listening");
    Ok(listener)
}

/// What the request path needs; one for the service.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) tenant: Arc<str>,
    pub(crate) identity: Identity,
    pub(crate) wire: WireLimits,
    pub(crate) body_limits: BodyLimits,
    pub(crate) rules: EventRules,
    pub(crate) limits: AdmissionLimits,
    pub(crate) load: Load,
    pub(crate) submissions: mpsc::Sender<Submission>,
    pub(crate) metrics: RequestMetrics,
    pub(crate) cors: Cors,
    pub(crate) durability: HeaderValue,
    pub(crate) clock: Clock,
}

/// Serves until the shutdown, then drains: readiness false, no more connections, every request
/// answered, every frame appended.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    config: IngestConfig,
    listeners: Listeners,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let clock = Clock::system();
    let telemetry = Telemetry::install(env!("CARGO_PKG_VERSION"))?;
    metrics::describe();
    let health = Health::new(clock.clone());
    let load = Load::new();
    let append_metrics = AppendMetrics::resolve();
    let appender = appender(&config, &load, &clock, append_metrics.clone())?;
    let keeper = Keeper::new(
        appender.clone(),
        load.clone(),
        append_metrics,
        &health,
        clock.clone(),
    );
    let (submissions, queue) = mpsc::channel(SUBMISSIONS);
    let batcher_config = BatcherConfig {
        limits: config.frame,
        appends_in_flight: config.appends_in_flight,
        deadline: config.append_deadline,
    };
    let batcher = Batcher::new(batcher_config, queue, appender, load.clone(), clock.clone());
    let app = Arc::new(app(&config, load.clone(), submissions, clock));

    // The order to stop reaches the tasks one after another.
    let stop = Stop {
        serving: Shutdown::new(),
        rest: Shutdown::new(),
    };
    let mut tasks = TaskSet::new();
    tasks.spawn("keeper", keeper.run(stop.rest.clone()));
    tasks.spawn("batcher", batcher.run());
    tasks.spawn("upkeep", telemetry.clone().run_upkeep(stop.rest.clone()));
    tasks.spawn(
        "admin",
        admin::serve(
            listeners.admin,
            health.clone(),
            telemetry,
            stop.rest.clone(),
        ),
    );
    tasks.spawn(
        "public",
        serve(app, listeners.public, config.clone(), stop.clone()),
    );

    let failed = tokio::select! {
        ended = tasks.join() => ended.err(),
        () = shutdown.triggered() => None,
    };
    health.set_draining();
    drain(&config, &load, &stop, &mut tasks, failed).await
}

/// The orders of the drain, in their order.
#[derive(Clone, Debug)]
struct Stop {
    serving: Shutdown,
    rest: Shutdown,
}

async fn drain(
    config: &IngestConfig,
    load: &Load,
    stop: &Stop,
    tasks: &mut TaskSet,
    failed: Option<TaskError>,
) -> Result<(), RunError> {
    if let Some(error) = failed {
        load.set_draining();
        stop.serving.trigger();
        stop.rest.trigger();
        drop(tasks.join_within(config.shutdown.grace).await);
        return Err(error.into());
    }
    tokio::time::sleep(config.shutdown.delay).await;
    stop.serving.trigger();
    // The public task gives the last order when it has answered everybody.
    let left = tasks.join_within(config.shutdown.grace).await?;
    if left.is_empty() {
        tracing::info!("drained");
        Ok(())
    } else {
        Err(RunError::Overstayed { tasks: left })
    }
}

fn appender(
    config: &IngestConfig,
    load: &Load,
    clock: &Clock,
    metrics: AppendMetrics,
) -> Result<Appender, RunError> {
    let client = connect(&Connect::from(&config.redis)).map_err(|_| RunError::RedisUrl)?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    let stream = Stream::new(client, &keys, config.redis.partitions.get());
    let appender_config = AppenderConfig {
        codec: config.codec,
        fingerprint: config.identity.fingerprint(),
        held: config.held,
        durability: config.redis.durability,
    };
    Ok(Appender::new(
        stream,
        appender_config,
        load.clone(),
        clock.clone(),
        metrics,
    ))
}

fn app(
    config: &IngestConfig,
    load: Load,
    submissions: mpsc::Sender<Submission>,
    clock: Clock,
) -> App {
    App {
        tenant: DEFAULT_TENANT.into(),
        identity: Identity::new(config.identity),
        wire: config.wire,
        body_limits: config.body,
        rules: config.rules,
        limits: config.admission,
        load,
        submissions,
        metrics: RequestMetrics::resolve(),
        cors: Cors::new(&config.cors_origins),
        durability: HeaderValue::from_static(config.redis.durability.as_str()),
        clock,
    }
}

/// Serves the public port, and leaves the last fifth of the grace period to the rest; then lets the batcher end, by dropping the last way to submit.
async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    config: IngestConfig,
    stop: Stop,
) -> Result<(), RunError> {
    let limits = ServerLimits {
        connections: usize::try_from(config.server.connections.get()).unwrap_or(usize::MAX),
        header_timeout: config.server.header_timeout,
        keep_alive_idle: config.server.keep_alive_idle,
        http2: match config.http2 {
            Http2Mode::Off => Http2::Off,
            Http2Mode::On => Http2::On(Http2Limits::default()),
        },
        ..ServerLimits::named("public")
    };
    let handler = move |request: Request<Incoming>| route::handle(Arc::clone(&app), request);
    let grace = config.shutdown.grace * 4 / 5;
    let drained = server::serve(listener, limits, handler, stop.serving, grace).await;
    stop.rest.trigger();
    if drained.cut > 0 {
        return Err(RunError::Unfinished {
            requests: drained.cut,
        });
    }
    Ok(())
}
