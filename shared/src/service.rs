//! What the three `main`s have in common: from the arguments to the exit code.
//!
//! The order is fixed here: TLS provider, configuration, logs, metrics, listeners, signals, work,
//! drain. Nothing is bound before the configuration is known to be good, and nothing works before
//! everything is bound.
//!
//! ```no_run
//! # use evp_shared::config::{ProcessConfig, Source};
//! use evp_shared::service::{self, Launch, Left, RunFailure, Service, ServiceConfig};
//!
//! #[derive(Debug)]
//! struct Config {
//!     process: ProcessConfig,
//! }
//!
//! impl ServiceConfig for Config {
//!     fn read(source: &mut Source) -> Self {
//!         let process = ProcessConfig::read(source, "127.0.0.1:9180");
//!         Self { process }
//!     }
//!
//!     fn process(&self) -> &ProcessConfig {
//!         &self.process
//!     }
//! }
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("cannot run")]
//! struct RunError;
//!
//! impl RunFailure for RunError {
//!     fn is_for_operator(&self) -> bool {
//!         false
//!     }
//! }
//!
//! async fn run(config: Config, service: Service<Config>) -> Result<Left, RunError> {
//!     service.shutdown.triggered().await;
//!     Ok(Left::NOTHING)
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let launch = Launch {
//!         name: "evp-ingest",
//!         config_file: None,
//!         check_config: false,
//!     };
//!     service::main(&launch, run)
//! }
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::{
    ConfigProblems, EXIT_CODE, ProcessConfig, ServerConfig, ShutdownConfig, Source,
};
use crate::health::Health;
use crate::http::admin;
use crate::http::client::TrustedProxies;
use crate::http::server::{Exchange, Listener};
use crate::shutdown::Shutdown;
use crate::tasks::TaskSet;
use crate::telemetry::{self, Telemetry, TelemetryError};
use crate::tls::Tls;
use crate::version;

mod bind;
mod descriptors;
mod ending;
mod notify;
mod reload;

use bind::{BindErrors, bind_all};
use ending::{report, watch};

use reload::{Read, Reloader};

pub use ending::Chain;
pub use reload::Reloads;

/// What the command line asked for.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Name of the binary.
    pub name: &'static str,
    /// `--config FILE`.
    pub config_file: Option<PathBuf>,
    /// `--check-config`: judge the configuration and exit.
    pub check_config: bool,
}

/// A service's configuration, as far as starting it needs to know.
pub trait ServiceConfig: Debug + Send + Sync + 'static {
    /// Reads all keys of the service.
    fn read(source: &mut Source) -> Self;
    /// What every service has.
    fn process(&self) -> &ProcessConfig;
    /// The public port, if the service has one; its `connections` are lowered to what there are
    /// file descriptors for.
    fn server(&mut self) -> Option<&mut ServerConfig> {
        None
    }
}

/// What a service is given to run with.
#[derive(Debug)]
pub struct Service<C> {
    /// The public listener, bound, where [`ServiceConfig::server`] asks for one.
    pub listener: Option<Listener>,
    /// Where loops and conditions are registered; `/readyz` shows it.
    pub health: Health,
    /// The metrics of the process.
    pub telemetry: Telemetry,
    /// The time.
    pub clock: Clock,
    /// The order to stop, given after `shutdown.delay`; the service then drains and returns within
    /// [`grace`](Self::grace).
    pub shutdown: Shutdown,
    /// How long draining may take; who exceeds it is cut.
    pub grace: Duration,
    /// Where what can be taken over from a changed configuration is.
    pub reloads: Reloads<C>,
}

/// What a service could not finish: requests cut, frames not appended, bulks not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left(pub usize);

impl Left {
    /// Everything was finished.
    pub const NOTHING: Self = Self(0);
}

/// Why a service ended otherwise than by its drain.
pub trait RunFailure: Error + Send + Sync + 'static {
    /// Whether the operator has to mend something before a restart makes sense: the exit code is
    /// then 64, and the error says what to mend.
    fn is_for_operator(&self) -> bool;
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigProblems),
    #[error(transparent)]
    Bind(#[from] BindErrors),
    #[error("telemetry cannot be started")]
    Telemetry(#[from] TelemetryError),
    #[error("the operating system refuses what every service needs")]
    System(#[from] std::io::Error),
}

/// Makes ring the process's one TLS provider; [`main`] does so for a service, a command that
/// connects by itself has to.
pub fn install_tls() {
    // Fails only when a provider is installed already, and there is none but ring in the tree.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Runs a service and returns its exit code: 0 when all was finished, 1 when something failed or
/// was left, 64 when it cannot run as configured ([`RunFailure::is_for_operator`]).
pub fn main<C, R, E>(launch: &Launch, run: impl FnOnce(C, Service<C>) -> R) -> ExitCode
where
    C: ServiceConfig,
    R: Future<Output = Result<Left, E>>,
    E: RunFailure,
{
    install_tls();
    let name = launch.name;
    match start(launch, run) {
        Ok(code) => code,
        Err(error) => {
            // Not by tracing: it may not be there yet, and a person is waiting for the answer.
            drop(writeln!(std::io::stderr(), "{name}: {}", Chain(&error)));
            match error {
                StartError::Config(_) | StartError::Bind(_) => ExitCode::from(EXIT_CODE),
                StartError::Telemetry(_) | StartError::System(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn start<C, R, E>(
    launch: &Launch,
    run: impl FnOnce(C, Service<C>) -> R,
) -> Result<ExitCode, StartError>
where
    C: ServiceConfig,
    R: Future<Output = Result<Left, E>>,
    E: RunFailure,
{
    let name = launch.name;
    let Read {
        mut config,
        settings,
    } = reload::read::<C>(launch.config_file.as_deref())?;
    if launch.check_config {
        writeln!(std::io::stdout(), "{name}: the configuration is good")?;
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init_tracing(&config.process().log);
    tracing::info!(
        service = name,
        version = version::NUMBER,
        commit = version::COMMIT,
        "starting"
    );
    tracing::info!(target: "evp_shared::config", ?config, "configuration");
    descriptors::share(config.server().map(|server| &mut server.connections));
    let telemetry = Telemetry::install()?;
    let runtime = runtime(config.process().worker_threads)?;
    let reloader = Reloader {
        file: launch.config_file.clone(),
        settings,
        reloads: Reloads::default(),
    };
    let code = runtime.block_on(serve(config, telemetry, reloader, run));
    leave(runtime);
    code
}

/// One thread needs nobody to wake another: with single events 1.12 of what the runtime for many
/// threads takes on two cores, for 0.9 of the CPU (docs/BENCHMARKS.md).
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    if threads == 1 {
        return Builder::new_current_thread().enable_all().build();
    }
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all().build()
}

/// Leaves `runtime` to the end of the process. A blocking call that hangs (name resolution) must not
/// hold it; and of a runtime that ends, MongoDB's driver asks for a connection from a pool that may
/// be gone already, and panics (mongodb 3.9, `end_all_sessions` in the client's drop).
pub(crate) fn leave(runtime: Runtime) {
    std::mem::forget(runtime);
}

async fn serve<C, R, E>(
    mut config: C,
    telemetry: Telemetry,
    reloader: Reloader<C>,
    run: impl FnOnce(C, Service<C>) -> R,
) -> Result<ExitCode, StartError>
where
    C: ServiceConfig,
    R: Future<Output = Result<Left, E>>,
    E: RunFailure,
{
    let hangups = signal(SignalKind::hangup())?;
    let admin = config.process().admin;
    let (admin_listener, listener) = bind_all(admin, config.server().as_deref()).await?;
    let clock = Clock::system();
    let health = Health::new(clock.clone());
    let signals = Shutdown::on_signals()?;
    let (drain, closing) = (Shutdown::new(), Shutdown::new());
    let ShutdownConfig { grace, delay } = config.process().shutdown;

    let mut tasks = TaskSet::new();
    let admin = admin::serve(
        admin_listener,
        config.process().admin_token.clone(),
        health.clone(),
        telemetry.clone(),
        closing.clone(),
    );
    tasks.spawn("admin", admin);
    tasks.spawn("upkeep", telemetry.clone().run_upkeep(closing.clone()));
    tasks.spawn("notify", notify::keep(health.clone(), closing.clone()));
    tasks.spawn(
        "shutdown",
        pass_on(signals, health.clone(), delay, drain.clone()),
    );

    let mut listener = listener.map(Listener::from);
    if let Some(server) = config.server() {
        let trusted = TrustedProxies::from(server.trusted_proxies.clone());
        listener = listener.map(|listener| listener.trusting(trusted));
    }
    if let Some(tls) = config.server().and_then(|server| server.tls.take()) {
        let shown = Tls::new(&tls.pair);
        let exchange = Exchange::new(tls.files, tls.pair, shown.clone(), clock.clone());
        tasks.spawn("certificate", exchange.run(closing.clone()));
        listener = listener.map(|listener| listener.with_tls(shown));
    }
    let service = Service {
        listener,
        health: health.clone(),
        telemetry,
        clock,
        shutdown: drain.clone(),
        grace,
        reloads: reloader.reloads.clone(),
    };
    tasks.spawn("reloader", reloader.run(hangups, closing.clone()));
    let ending = watch(run(config, service), &mut tasks, &drain, grace).await;
    health.set_draining();
    drain.trigger();
    closing.trigger();
    Ok(report(ending))
}

/// Readiness ends first, so that the load balancer stops sending before connections are refused.
async fn pass_on(
    signals: Shutdown,
    health: Health,
    delay: Duration,
    drain: Shutdown,
) -> Result<(), Infallible> {
    signals.triggered().await;
    health.set_draining();
    notify::stopping();
    tokio::time::sleep(delay).await;
    drain.trigger();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readiness_ends_before_the_drain_begins() {
        let (signals, drain) = (Shutdown::new(), Shutdown::new());
        let health = Health::new(Clock::manual(0));
        let delay = Duration::from_secs(5);
        let mut passing = std::pin::pin!(pass_on(
            signals.clone(),
            health.clone(),
            delay,
            drain.clone()
        ));
        signals.trigger();
        let early = tokio::time::timeout(Duration::from_secs(4), passing.as_mut()).await;
        assert!(early.is_err());
        assert!(!health.readiness().ready && !drain.is_triggered());
        passing.await.unwrap();
        assert!(drain.is_triggered());
    }
}
