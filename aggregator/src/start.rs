//! Starts the aggregator, and ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::access::projector::{COMPARE_MAX, Projector};
use evp_shared::access::reader::Access;
use evp_shared::access::store::AccessStore;
use evp_shared::access::teller::Teller;
use evp_shared::audit::Audit;
use evp_shared::clock::Clock;
use evp_shared::config::AuthMode;
use evp_shared::event::id::Identity;
use evp_shared::health::Health;
use evp_shared::http::server::{self, Listener, RequestBody, ServerLimits};
use evp_shared::keys::Keys;
use evp_shared::redis::connect;
use evp_shared::service::{Chain, Left, Reloads, RunFailure, Service};
use evp_shared::shutdown::Shutdown;
use evp_shared::store;
use evp_shared::stream::Stream;
use evp_shared::tasks::{TaskError, TaskSet};
use http::Request;
use mongodb::Database;
use mongodb::error::Error as MongoError;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::admin::Admin;
use crate::admin::keys::Keys as AccessKeys;
use crate::analytics::Analytics;
use crate::auth::{Door, Lock, Tenant};
use crate::canary::Canaries;
use crate::changes::{CHANGES_AT_ONCE, Changes};
use crate::config::AggregatorConfig;
use crate::counters::{Counters, SERIES_AT_ONCE};
use crate::events::Events;
use crate::feed::{Feed, minute, reader};
use crate::guard::Site;
use crate::metrics::AccessMetrics;
use crate::notices::courier::{self, Channels};
use crate::notices::{Notices, Settings, Sight};
use crate::openapi;
use crate::probe::Probe;
use crate::routes;
use crate::sign_in::codes::Post;
use crate::sign_in::members::Members;
use crate::sign_in::{self, SignIn};
use crate::slots::Slots;
use crate::state::{App, EXPORTS_AT_ONCE};

/// How soon indexes that could not be made are tried again.
const INDEXES_EVERY: Duration = Duration::from_secs(5);

/// The code of mongod for a user who may not do that.
const UNAUTHORIZED: i32 = 13;

/// Configurations that are handed on faster than anybody reloads.
const RELOADS_AT_ONCE: usize = 4;

/// Why the aggregator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address of Redis cannot be used.
    #[error("redis.url cannot be used")]
    Redis(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection string of MongoDB cannot be used.
    #[error("mongo.uri cannot be used")]
    Mongo(#[source] MongoError),
    /// The service was started without its public port.
    #[error("there is no public listener")]
    Listener,
    /// A task failed.
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl RunFailure for RunError {
    fn is_for_operator(&self) -> bool {
        matches!(self, Self::Redis(_) | Self::Mongo(_))
    }
}

/// Serves queries until the shutdown, then finishes those under way.
///
/// Redis and MongoDB may be away when it starts: it is then not ready, and says which.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    config: AggregatorConfig,
    service: Service<AggregatorConfig>,
) -> Result<Left, RunError> {
    let listener = service.listener.ok_or(RunError::Listener)?;
    let redis = connect(&config.redis).map_err(|error| RunError::Redis(error.into()))?;
    let keys = Keys::new(config.redis.key_prefix.as_str());
    let stream = Stream::new(redis, &keys, config.redis.partitions.get());
    let database = store::connect(&config.mongo, config.query.connections.get())
        .await
        .map_err(RunError::Mongo)?;

    let health = &service.health;
    let shutdown = || service.shutdown.clone();
    let mut tasks = TaskSet::new();
    let probe = Probe::new(health, stream.clone(), database.clone());
    let store = AccessStore::new(&database);
    let projector = Projector::new(store.clone(), stream.clone());
    let door = match config.process.auth {
        AuthMode::Open => Door::Open,
        AuthMode::Keys => {
            let access = access(
                &mut tasks,
                health,
                (&stream, projector.clone()),
                &service.shutdown,
            );
            let (door, post) = door(&config, &database, access, &service.clock);
            if let Some(post) = post {
                tasks.spawn("post", post.run(shutdown()));
            }
            door
        }
    };
    tasks.spawn("indexes", indexes(database.clone(), shutdown()));
    let keys = AccessKeys::new(
        store,
        projector,
        stream.clone(),
        service.clock.clone(),
        config.query.time_limit,
    );
    let told_of = stream.clone();
    let app = app(
        &config,
        (door, keys),
        (stream, database),
        &service.clock,
        shutdown(),
    );
    tasks.spawn("probe", probe.run(shutdown()));
    feed(&mut tasks, &app);
    let told_by = (health, &service.reloads);
    notices(&mut tasks, &config, &app, told_of, told_by);
    let serving = serve(listener, &config, app, service.grace);
    end(tasks, serving).await
}

/// Waits for the last request, and for what tasks have to do yet.
async fn end(
    mut tasks: TaskSet,
    serving: impl Future<Output = (Left, Duration)>,
) -> Result<Left, RunError> {
    tokio::pin!(serving);
    tokio::select! {
        (left, rest) = &mut serving => {
            // Couriers have notices yet, which nobody else would tell.
            let cut = tasks.join_within(rest).await?;
            Ok(Left(left.0 + cut.len()))
        }
        ended = tasks.join() => {
            ended?;
            Ok(serving.await.0)
        }
    }
}

fn app(
    config: &AggregatorConfig,
    (door, keys): (Door, AccessKeys),
    (stream, database): (Stream, Database),
    clock: &Clock,
    shutdown: Shutdown,
) -> App {
    let (query, identity, clock) = (config.query, config.identity, clock.clone());
    let slots = |all: usize| Slots::new(all, door.part_of(all));
    let feed = Feed::new(
        stream.clone(),
        clock.clone(),
        shutdown.clone(),
        slots(config.stream.clients),
        config.stream.buffer_bytes,
    );
    let counters = Counters::new(
        stream.clone(),
        clock.clone(),
        query.cache_ttl,
        slots(SERIES_AT_ONCE),
    );
    let events = Events::new(&database, identity, clock.clone(), query.time_limit);
    let connections = usize::try_from(query.connections.get()).unwrap_or(usize::MAX);
    let connections = slots(connections);
    let events = events.among(connections.clone());
    App {
        analytics: Analytics::new(stream.clone(), clock.clone()),
        feed: Arc::new(feed),
        counters: Arc::new(counters),
        events: Arc::new(events),
        keys: Arc::new(keys),
        members: Members::new(&database, clock.clone(), query.time_limit),
        admin: Arc::new(Admin::new(stream, database, clock.clone(), config)),
        changes: Changes::new(slots(CHANGES_AT_ONCE), query.time_limit),
        exports: slots(EXPORTS_AT_ONCE),
        connections,
        patience: query.time_limit,
        shutdown,
        site: Arc::new(site(config)),
        description: openapi::render(&config.ingest_url).into(),
        ingest_url: config.ingest_url.as_str().into(),
        identity: Arc::new(Identity::new(identity)),
        clock,
        door,
    }
}

fn site(config: &AggregatorConfig) -> Site {
    let public = config.public_url.as_ref();
    let public = public.map(|url| url.origin().to_owned());
    Site::new(config.hosts.clone(), public)
}

/// The door of keys and sessions.
fn door(
    config: &AggregatorConfig,
    database: &Database,
    access: Access,
    clock: &Clock,
) -> (Door, Option<Post>) {
    let (sign_in, post) = SignIn::new(config, database, access.clone(), clock);
    let door = Door::Keys(Arc::new(Lock {
        access,
        clock: clock.clone(),
        sign_in,
    }));
    (door, post)
}

/// Who may come in, with the tasks that keep it.
fn access(
    tasks: &mut TaskSet,
    health: &Health,
    (stream, projector): (&Stream, Projector),
    shutdown: &Shutdown,
) -> Access {
    let clock = health.clock();
    let access = Access::new(stream.clone(), clock.clone());
    let metrics = AccessMetrics::resolve();
    let tell = move |age_s| metrics.age.set(age_s);
    let kept = access.clone();
    let kept = kept.keep(health.condition("access"), tell, shutdown.clone());
    tasks.spawn("access-reader", kept);
    let teller = Teller::new(access.clone(), stream.clone(), clock.clone());
    tasks.spawn("usage-teller", teller.run(shutdown.clone()));
    let beat = health.success_beat("access-projector", 3 * COMPARE_MAX);
    tasks.spawn("access-projector", projector.keep(beat, shutdown.clone()));
    access
}

/// Starts what reads for the live stream.
fn feed(tasks: &mut TaskSet, app: &App) {
    let (feed, counters) = (Arc::clone(&app.feed), Arc::clone(&app.counters));
    let shutdown = || app.shutdown.clone();
    tasks.spawn("feed", reader::run(Arc::clone(&feed), shutdown()));
    // Not out of the cache: what lives as long as a tick would be seen twice.
    let read_minute = async move |tenant: &Tenant| counters.read_last_minute(tenant).await;
    tasks.spawn("feed-minute", minute::run(feed, read_minute, shutdown()));
}

/// Starts what tells people that something is wrong.
fn notices(
    tasks: &mut TaskSet,
    config: &AggregatorConfig,
    app: &App,
    stream: Stream,
    (health, reloads): (&Health, &Reloads<AggregatorConfig>),
) {
    let settings = notice_settings(tasks, config, app, reloads);
    let canary = config.canary.interval.map(|interval| {
        let events = Arc::clone(&app.events);
        let (canaries, sight) = Canaries::new(events, interval, app.clock.clone());
        tasks.spawn("canaries", canaries.run(app.shutdown.clone()));
        sight
    });
    let sight = Sight {
        admin: Arc::clone(&app.admin),
        counters: Arc::clone(&app.counters),
        stream,
        canary,
        clock: app.clock.clone(),
    };
    let notices = Notices::new(sight, settings, health);
    tasks.spawn("notices", notices.run(app.shutdown.clone()));
}

/// What notices go by, kept up to date; who takes them to people is started.
fn notice_settings(
    tasks: &mut TaskSet,
    config: &AggregatorConfig,
    app: &App,
    reloads: &Reloads<AggregatorConfig>,
) -> Arc<Mutex<Settings>> {
    let read = |config: &AggregatorConfig| {
        let (channels, couriers) = Channels::new(&config.notices, &config.mail);
        let settings = Settings {
            channels,
            repeat: config.notices.repeat,
            dead_letters: config.dead_letters,
        };
        (settings, couriers)
    };
    let (settings, first) = read(config);
    let settings = Arc::new(Mutex::new(settings));
    let (hand_over, more) = mpsc::channel(RELOADS_AT_ONCE);
    let reloaded = Arc::clone(&settings);
    reloads.on(move |config| {
        let (settings, couriers) = read(config);
        match hand_over.try_send(couriers) {
            Ok(()) => *reloaded.lock() = settings,
            Err(_) => tracing::warn!("notices stay as they were: reload again"),
        }
    });
    let couriers = courier::serve(first, more, app.shutdown.clone());
    tasks.spawn("notices-couriers", couriers);
    settings
}

/// Makes the indexes of what the aggregator writes, once MongoDB answers.
async fn indexes(database: Database, shutdown: Shutdown) -> Result<(), Infallible> {
    let audit = Audit::new(&database);
    let of_audit = || async {
        match audit.prepare(&database).await {
            Err(error) if store::code_of(&error) == Some(UNAUTHORIZED) => {
                tracing::info!("whoever made the users of MongoDB makes the indexes of audit");
                Ok(())
            }
            other => other,
        }
    };
    let of_sign_in = || sign_in::prepare(&database);
    // Apart: what is refused to one keeps the other from nothing.
    let made = async { tokio::join!(make("audit", of_audit), make("sign-in", of_sign_in)) };
    tokio::select! {
        _ = made => Ok(()),
        () = shutdown.triggered() => Ok(()),
    }
}

/// Makes the indexes of `what` as soon as it can.
async fn make<F>(what: &str, prepare: impl Fn() -> F)
where
    F: Future<Output = Result<(), MongoError>>,
{
    let mut is_told = false;
    while let Err(error) = prepare().await {
        // A MongoDB that is away is told of by the probe.
        if store::code_of(&error).is_some() && !is_told {
            is_told = true;
            tracing::warn!(what, error = %Chain(&error), "mongodb refuses indexes: what is over stays");
        }
        tokio::time::sleep(INDEXES_EVERY).await;
    }
}

/// Serves until the shutdown, then lets requests end, and what they began for clients that have
/// left. Returns what was cut, and what is left of the grace period.
async fn serve(
    listener: Listener,
    config: &AggregatorConfig,
    app: App,
    grace: Duration,
) -> (Left, Duration) {
    let (admin, changes) = (Arc::clone(&app.admin), app.changes.clone());
    let shutdown = app.shutdown.clone();
    let limits = ServerLimits::public(&config.server, config.process.auth);
    let clock = app.clock.clone();
    let router = routes::router(app);
    let handler = move |mut request: Request<RequestBody>| {
        let router = router.clone();
        let connection = request.body().connection().clone();
        let client = connection.client(request.headers());
        request.extensions_mut().insert(connection);
        request.extensions_mut().insert(client);
        async move {
            let Ok(response) = router.oneshot(request).await;
            response
        }
    };
    let began = async {
        shutdown.triggered().await;
        clock.now()
    };
    let serving = server::serve(listener, limits, handler, shutdown.clone(), grace);
    let (cut, began) = tokio::join!(serving, began);
    let rest = || grace.saturating_sub(clock.now() - began);
    // What is cut has no end in the audit.
    let (operations, changes) = tokio::join!(admin.operations.drain(rest()), changes.drain(rest()));
    (Left(cut + operations + changes), rest())
}
