mod auth;
mod plan;
mod table;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ports::{Listener, Ports};
use super::signals::Signals;
use crate::supervisor::GaveUp;
use crate::{Error, Result, Supervisor, console, find, http, mongo, redis};
use auth::{Auth, Entry};
use plan::Plan;

/// What a service may take to write out what it holds: its default `shutdown.grace`.
const SERVICE_GRACE: Duration = Duration::from_secs(15);
const SERVER_GRACE: Duration = Duration::from_secs(30);
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs redis-server, mongod, ingest, processor and aggregator until a signal comes.
///
/// # Errors
/// What the user can mend, before anything is started: a missing binary, taken ports, another
/// `make run` on the same data. Later [`Error::NotReady`] and [`Error::Misconfigured`].
pub async fn run(ports: &Ports, bin_dir: Option<PathBuf>) -> Result<()> {
    let plan = Plan::new(ports.clone(), bin_dir)?;
    let _lock = lock(&plan.data)?;
    ports.check_free(&Listener::RUN)?;
    let (redis, mongod) = (find::redis_server().await?, find::mongod().await?);
    let mut signals = Signals::new()?;
    let mut servers = Supervisor::new();
    let mut services = Supervisor::new();
    for spec in plan.servers(&redis, &mongod)? {
        servers.keep(spec);
    }
    let ended = tokio::select! {
        ended = serve(&plan, &mut servers, &mut services) => ended,
        () = signals.any() => Ok(()),
    };
    console::say("devstack", "stopping; a second Ctrl-C stops at once");
    let in_order = async {
        services.stop(SERVICE_GRACE).await;
        servers.stop(SERVER_GRACE).await;
    };
    tokio::select! {
        () = in_order => console::say("devstack", "stopped; the data is kept"),
        () = signals.any() => console::say("devstack", "stopped at once"),
    }
    ended
}

/// Starts the services once the servers answer, and stays until one is given up.
async fn serve(plan: &Plan, servers: &mut Supervisor, services: &mut Supervisor) -> Result<()> {
    let (redis, mongo) = (
        plan.ports.get(Listener::Redis),
        plan.ports.get(Listener::Mongo),
    );
    within("redis-server", servers, async || {
        redis::answers_ping(redis).await
    })
    .await?;
    within("mongod", servers, async || {
        mongo::answers_hello(mongo).await
    })
    .await?;
    for spec in plan.services() {
        services.keep(spec);
    }
    let client = http::client()?;
    for (name, admin) in plan::ADMIN_PORTS {
        let url = format!("{}/readyz", plan.ports.url(admin));
        within(name, services, async || answers_ok(&client, &url).await).await?;
    }
    let entry = match plan.auth {
        Auth::Open => None,
        Auth::Keys => Some(Entry::make(plan).await?),
    };
    table::print(plan, entry.as_ref(), &servers.pids(), &services.pids());
    let gave_up = tokio::select! {
        gave_up = servers.gave_up() => gave_up,
        gave_up = services.gave_up() => gave_up,
    };
    Err(misconfigured(gave_up))
}

/// Waits until `probe` holds, as long as the process is not given up.
pub(super) async fn within<P: AsyncFn() -> bool>(
    name: &str,
    tier: &mut Supervisor,
    probe: P,
) -> Result<()> {
    let polling = async {
        while !probe().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = polling => Ok(()),
        gave_up = tier.gave_up() => Err(misconfigured(gave_up)),
        () = tokio::time::sleep(READY_WITHIN) => Err(Error::NotReady {
            name: name.to_owned(),
            waited: READY_WITHIN,
            log: crate::error::LogTail::default(),
        }),
    }
}

pub(super) async fn answers_ok(client: &reqwest::Client, url: &str) -> bool {
    let request = client.get(url).timeout(PROBE_TIMEOUT).send().await;
    request.is_ok_and(|response| response.status().is_success())
}

fn misconfigured(gave_up: GaveUp) -> Error {
    Error::Misconfigured {
        name: gave_up.name,
        status: gave_up.status,
    }
}

/// Makes sure that nobody else runs servers on this data: redis-server itself would not notice.
pub(super) fn lock(data: &Path) -> Result<File> {
    let failed = || Error::io(format!("lock {}", data.display()));
    std::fs::create_dir_all(data).map_err(failed())?;
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(data.join("lock"))
        .map_err(failed())?;
    if file.try_lock().is_err() {
        let mut pid = String::new();
        file.read_to_string(&mut pid).map_err(failed())?;
        return Err(Error::AlreadyRunning {
            data: data.to_path_buf(),
            pid: pid.trim().to_owned(),
        });
    }
    file.set_len(0).map_err(failed())?;
    writeln!(file, "{}", std::process::id()).map_err(failed())?;
    Ok(file)
}
