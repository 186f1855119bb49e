//! A disk that is full, under Redis and under `MongoDB`.

use anyhow::{Result, ensure};
use evp_devstack::{MongoOptions, RedisOptions};

use super::{Size, load, under_load};
use crate::servers::SmallDisk;
use crate::{Expected, Node, Outcome, Progress, System, until};

/// Which of the events for `MongoDB` are large, and how large: a disk with room for small ones
/// refuses them.
const LARGE: (u32, usize) = (500, 255 * 1_024);
/// Room that Redis' log may still take.
const REDIS_ROOM_MB: u64 = 1;
/// Room that `MongoDB` may still take; its journal is there already.
const MONGO_ROOM_MB: u64 = 2;

/// The disk under the append-only file is full. Under `always` redis-server ends itself, what it
/// acknowledged is there when space has returned and it is started again.
pub(super) async fn under_redis(size: Size) -> Result<Outcome> {
    // Besides what fills it: the log, the kept window in it, and both again while it is made anew.
    let disk = SmallDisk::mount(256)?;
    let options = RedisOptions {
        dir: Some(disk.path().to_owned()),
        extra: ["--auto-aof-rewrite-percentage", "0"]
            .map(str::to_owned)
            .to_vec(),
        ..RedisOptions::default()
    };
    let builder = System::of("disk_full_under_redis")
        .processors(2)
        .redis(options)
        .env("EVP__INGEST__FRAME__CODEC", "none");
    let mut system = builder.start().await?;
    let (events, rounds) = sizes(size);
    let mut ended = 0;
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, _| {
            disk.fill_but(REDIS_ROOM_MB)?;
            use_up(progress, &system.ingests[0], "redis").await?;
            let redis = system.own_redis()?;
            if redis.has_ended().await {
                ended += 1;
            }
            disk.make_room()?;
            redis.restart().await?;
            system.ingests[0].await_ready().await
        },
    )
    .await?;
    ensure!(
        ended == rounds,
        "redis-server ended {ended} times by itself"
    );
    let faults = format!(
        "the disk under redis-server full {rounds} times (tmpfs, appendfsync always): it ends"
    );
    system.balance(&journal, &Expected::default(), faults).await
}

/// The disk under `MongoDB` is full: nothing is acknowledged that it did not take, and it goes on
/// when space has returned and it is started again.
pub(super) async fn under_mongo(size: Size) -> Result<Outcome> {
    let disk = SmallDisk::mount(700)?;
    let options = MongoOptions {
        dir: Some(disk.path().to_owned()),
        cache_gb: 0.25,
        // A checkpoint every second, so that data and not only the journal meets the end.
        extra: ["--syncdelay", "1"].map(str::to_owned).to_vec(),
        ..MongoOptions::default()
    };
    let builder = System::of("disk_full_under_mongo").mongo(options);
    let mut system = builder.start().await?;
    system.events.enlarge(LARGE.0, LARGE.1);
    let (events, rounds) = sizes(size);
    let mut ended = 0;
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, _| {
            disk.fill_but(MONGO_ROOM_MB)?;
            use_up(progress, &system.processors[0], "mongo").await?;
            let mongo = system.own_mongo()?;
            if mongo.has_ended().await {
                ended += 1;
            }
            disk.make_room()?;
            mongo.restart().await?;
            system.processors[0].await_ready().await
        },
    )
    .await?;
    let faults = format!(
        "the disk under mongod full {rounds} times (tmpfs); it ended by itself {ended} times"
    );
    system.balance(&journal, &Expected::default(), faults).await
}

/// Lets the clients go on until `node` says that `server` is away.
async fn use_up(progress: &Progress, node: &Node, server: &str) -> Result<()> {
    until("the rest of the disk is used up", async || {
        progress.step();
        node.blames(server).await
    })
    .await
}

fn sizes(size: Size) -> (u32, u64) {
    size.of((60_000, 1), (120_000, 2), (300_000, 5))
}
