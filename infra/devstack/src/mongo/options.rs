use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::{Output, ServiceSpec};

/// Name of every replica set started here.
pub(super) const REPLICA_SET: &str = "evp";

/// What mongod takes by itself.
const EVICTION_THREADS_MAX: usize = 4;

/// Changed pages in its cache from which on it writes them without a checkpoint.
const DIRTY_MB: f32 = 100.0;

/// Seconds between checkpoints. mongod's own minute gathers so many pages that inserts wait for it.
const CHECKPOINT_SECONDS: &str = "15";

/// How to run `mongod`.
#[derive(Debug, Clone)]
pub struct MongoOptions {
    /// Port on 127.0.0.1 (of the first member); `None` takes a free one.
    pub port: Option<u16>,
    /// Data directory, created if missing; `None` uses a temporary one, removed on drop.
    pub dir: Option<PathBuf>,
    /// WiredTiger's cache per member, GB; mongod's own minimum is 0.25.
    pub cache_gb: f32,
    /// `None` runs it standalone; `Some(n)` a replica set of `n` members.
    pub replica_set: Option<u8>,
    /// More options, as on the command line of `mongod`; they override the ones above.
    pub extra: Vec<String>,
}

impl Default for MongoOptions {
    /// Standalone, journaled (mongod's default), 1 GB of cache.
    fn default() -> Self {
        Self {
            port: None,
            dir: None,
            cache_gb: 1.0,
            replica_set: None,
            extra: Vec::new(),
        }
    }
}

impl MongoOptions {
    /// Describes the process of one member; the log is `mongod.log` in `dir`.
    pub(crate) fn spec(&self, binary: &Path, port: u16, dir: &Path) -> ServiceSpec {
        let port = port.to_string();
        let cache = self.cache_gb.to_string();
        let data = dir.display().to_string();
        let set = self.replica_set.map(|_| ["--replSet", REPLICA_SET]);
        ServiceSpec::new("mongod", binary)
            .options(["--bind_ip", "127.0.0.1", "--port", &port, "--dbpath", &data])
            .options(["--wiredTigerCacheSizeGB", &cache, "--nounixsocket"])
            .options(["--wiredTigerEngineConfigString", &eviction(self.cache_gb)])
            .options(["--syncdelay", CHECKPOINT_SECONDS])
            // It costs CPU and disk every second, and nobody reads it here.
            .options(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            // On SIGTERM a member would otherwise serve its clients for another 15 s.
            .options([
                "--setParameter",
                "shutdownTimeoutMillisForSignaledShutdown=100",
            ])
            .options(set.into_iter().flatten())
            .options(self.extra.iter().cloned())
            .output(Output::File(dir.join("mongod.log")))
    }
}

/// When WiredTiger writes pages out of its cache by itself, and with how many threads.
///
/// Half of the cores may do it: mongod's own four threads take both cores of a small machine in
/// bursts, and every insert waits for a tenth of a second and more. They start at so many bytes, not at a
/// share of the cache: what has gathered there is written by the checkpoint at once, while inserts wait.
fn eviction(cache_gb: f32) -> String {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = (cores / 2).clamp(1, EVICTION_THREADS_MAX);
    // Of a small cache a tenth.
    let dirty_mb = DIRTY_MB.min(cache_gb * 100.0);
    format!(
        "eviction=(threads_min={threads},threads_max={threads}),\
         eviction_dirty_target={dirty_mb:.0}MB,eviction_dirty_trigger=20,\
         eviction_updates_target={dirty_mb:.0}MB,eviction_updates_trigger=18"
    )
}
