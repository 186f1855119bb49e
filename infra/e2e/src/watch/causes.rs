//! What alerts are for, made to happen: each fires by its real cause, and is over when that is mended.

mod disk;
mod events;
mod files;
mod servers;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evp_devstack::{MongoOptions, RedisOptions, ScratchDir};
use evp_shared::clock::Clock;
use evp_shared::testing::tls::Authority;
use futures::future::LocalBoxFuture;
use tokio::time::Instant;

use super::Watch;
use super::scale::{KEYS, scaled};
use super::trickle::Trickle;
use crate::System;
use crate::servers::SmallDisk;
use crate::system::say;

/// Longest that an alert may take to fire or to be over. A housekeeper looks every minute, not every other
/// second, and the longest of the short ranges of the burn rate is a minute here.
const WITHIN: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Of MongoDB: room for its journal, and for what is stored here.
const DISK_MB: u32 = 1_500;

/// A system at work that something is done to.
struct Stage {
    system: System,
    watch: Watch,
    disk: SmallDisk,
    authority: Authority,
    /// Certificate and key of the second ingest, and the file that all services read.
    files: ScratchDir,
    /// Span whose collection was dropped.
    dropped: Option<String>,
}

type Act = fn(&mut Stage) -> LocalBoxFuture<'_, Result<()>>;

/// Something that happens, and the alerts that tell of it.
struct Cause {
    name: &'static str,
    alerts: &'static [&'static str],
    make: Act,
    mend: Act,
}

macro_rules! causes {
    ($($name:literal $alerts:expr, $make:path, $mend:path;)*) => {
        const CAUSES: &[Cause] = &[$(Cause {
            name: $name,
            alerts: &$alerts,
            make: |stage| Box::pin($make(stage)),
            mend: |stage| Box::pin($mend(stage)),
        }),*];
    };
}

causes! {
    "a processor is killed" ["EvpServiceGone"], servers::kill_processor, servers::start_processor;
    "mongod is stopped" [
        "EvpNotReady", "EvpNoProgress", "EvpStorageBehind", "EvpPendingStuck", "EvpBacklogGrows",
        "EvpCanaryLate"
    ], servers::stop_mongo, servers::start_mongo;
    "redis-server is stopped" ["EvpErrorBudgetBurns", "EvpRequestsRefused"],
        servers::stop_redis, servers::start_redis;
    "Redis fills while mongod is away" ["EvpRedisMemory"], servers::fill_redis, servers::empty_redis;
    "the limit of open files is too low" ["EvpFileDescriptors"], servers::lower_limit, servers::raise_limit;
    "entries that nobody can read" ["EvpDeadLetters", "EvpDeadLettersNearlyFull"],
        events::garbage, events::purge;
    "somebody deletes the stream" ["EvpEventsLost"], events::delete_stream, events::go_on;
    "the disk under mongod fills" ["EvpDiskFills"], disk::fill, disk::make_room;
    "the collection of a span is dropped" ["EvpSpanWithoutCollection"],
        disk::drop_collection, disk::let_it_be_made;
    "a certificate ends in two days" ["EvpCertificateEnds"], files::short_certificate, files::good_certificate;
    "a renewed certificate is broken" ["EvpCertificateRefused"],
        files::broken_certificate, files::good_certificate;
    "a reload finds a broken file" ["EvpReloadFailed"], files::broken_reload, files::good_reload;
}

/// Makes each cause once; what was seen, `N of N`. `only` names alerts, all when it is empty.
///
/// # Errors
/// An alert did not fire, or was not over.
pub(crate) async fn check(only: &[String]) -> Result<String> {
    let mut stage = Stage::set().await?;
    let _trickle = Trickle::start(&stage.system);
    stage.quiet(None).await.context("before anything is done")?;
    let (mut held, mut all) = (0, 0);
    for cause in CAUSES {
        let is_wanted = |alert: &&str| only.is_empty() || only.iter().any(|one| one == alert);
        if !cause.alerts.iter().any(is_wanted) {
            continue;
        }
        all += cause.alerts.len();
        match stage.run(cause).await {
            Ok(()) => held += cause.alerts.len(),
            Err(error) => say(&format!("FAILED {}: {error:#}", cause.name))?,
        }
    }
    if held < all {
        bail!("{held} of {all} alerts fired and were over");
    }
    stage.system.pass();
    Ok(format!(
        "{held} of {all} alerts fired by their cause, and were over"
    ))
}

impl Stage {
    async fn set() -> Result<Self> {
        let disk = SmallDisk::mount(DISK_MB)?;
        let (authority, files) = (Authority::new(), ScratchDir::new()?);
        let pair = authority.issue(90).write(files.path())?;
        let config = files::config(files.path());
        std::fs::write(&config, "")?;
        let mongo = MongoOptions {
            dir: Some(disk.path().to_owned()),
            cache_gb: 0.25,
            ..MongoOptions::default()
        };
        let mut builder = System::of("alerts_check")
            .ingests(2)
            .processors(2)
            .aggregator()
            .redis(RedisOptions::default())
            .mongo(mongo)
            .soon_without_redis()
            .config(config)
            .env_of(
                "ingest-1",
                "EVP__SERVER__TLS__CERT_FILE",
                pair.cert.display().to_string(),
            )
            .env_of(
                "ingest-1",
                "EVP__SERVER__TLS__KEY_FILE",
                pair.key.display().to_string(),
            );
        for (name, value) in KEYS {
            builder = builder.env(name, value);
        }
        let system = builder.start().await?;
        let watch = Watch::start(&system, scaled).await?;
        Ok(Self {
            system,
            watch,
            disk,
            authority,
            files,
            dropped: None,
        })
    }

    /// Makes a cause, waits for its alerts, mends it, and waits until they are over.
    async fn run(&mut self, cause: &Cause) -> Result<()> {
        let clock = Clock::system();
        let since = clock.now();
        (cause.make)(self).await.context("it cannot be made")?;
        let mut left: BTreeSet<&str> = cause.alerts.iter().copied().collect();
        let deadline = Instant::now() + WITHIN;
        while !left.is_empty() && Instant::now() < deadline {
            // Alertmanager holds what fires; some of it for a second or two only.
            let firing = self.watch.firing().await?;
            left.retain(|alert| !firing.contains(*alert));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let fired = clock.now() - since;
        let since = clock.now();
        (cause.mend)(self).await.context("it cannot be mended")?;
        if !left.is_empty() {
            bail!("not fired within {WITHIN:?}: {left:?}");
        }
        self.quiet(Some(cause.alerts)).await?;
        let over = clock.now() - since;
        let alerts = cause.alerts.join(", ");
        say(&format!(
            "{}: {alerts}: fired within {:.0} s, over within {:.0} s",
            cause.name,
            fired.as_secs_f64(),
            over.as_secs_f64()
        ))
    }

    /// Waits until none of these fires; none at all without a list.
    async fn quiet(&self, alerts: Option<&[&str]>) -> Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let mut firing = self.watch.firing().await?;
            if let Some(alerts) = alerts {
                firing.retain(|alert| alerts.contains(&&**alert));
            }
            if firing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("not over within {WITHIN:?}: {firing:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
