//! Making a backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use bson::{Document, doc};
use evp_shared::clock::Clock;
use evp_shared::redis::{Files, Save};
use evp_shared::store::META;
use fred::clients::Client;
use futures::TryStreamExt as _;
use mongodb::Database;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::lock::Lock;
use super::manifest::{MONGO, Manifest, REDIS};
use super::mirror::{Mirror, private_folder};

/// Where mongod has its files when nobody told it.
const MONGO_DIR: &str = "/data/db";

/// By how much the time of a file may lie behind the clock.
const FILE_TICK: Duration = Duration::from_secs(1);

/// Of what, from where and to where.
#[derive(Debug)]
pub struct Backup<'a> {
    /// The connection to Redis.
    pub redis: &'a Client,
    /// The way to `MongoDB`.
    pub database: &'a Database,
    /// The configuration, for the process that holds the lock.
    pub config_file: Option<&'a Path>,
    /// Where Redis' directory lies here, if not where Redis says.
    pub redis_dir: Option<PathBuf>,
    /// Where mongod's directory lies here, if not where mongod says.
    pub mongo_dir: Option<PathBuf>,
    /// How long mongod may be locked.
    pub lock_limit: Duration,
    /// Percent of the disk of `to` that have to stay free.
    pub min_free: u8,
    /// The backup before.
    pub base: Option<PathBuf>,
    /// The folder, which is not there.
    pub to: PathBuf,
}

impl Backup<'_> {
    /// Makes it. Returns what it says of itself, and how long mongod was locked.
    ///
    /// # Errors
    /// There is none then, and mongod takes writes again unless the error says otherwise.
    pub async fn make(&self) -> anyhow::Result<(Manifest, Duration)> {
        let made = self.copy_both().await;
        if made.is_err() {
            // Or each failure would take its room for ever.
            drop(tokio::fs::remove_dir_all(&self.to).await);
        }
        made
    }

    async fn copy_both(&self) -> anyhow::Result<(Manifest, Duration)> {
        let (mongo_dir, redis) = (self.mongo_dir().await?, self.redis_files().await?);
        let mirror = Mirror {
            from: mongo_dir.clone(),
            to: self.to.join(MONGO),
            base: self.base.as_ref().map(|base| base.join(MONGO)),
        };
        private_folder(&self.to)?;
        ensure_room(&mirror, self.min_free)?;
        copy(&mirror).await.context("mongod's files")?;
        Save::possible(self.redis).await?;

        let (since, at_ms) = (Instant::now(), Clock::system().now_ms());
        let mut lock = None;
        let under_lock = timeout(self.lock_limit, async {
            let lock = lock.insert(Lock::take(self.config_file).await?);
            let save = Save::begin(self.redis)
                .await
                .context("redis does not save")?;
            let files = copy(&mirror).await.context("mongod's files")?;
            anyhow::Ok((lock, save, files))
        })
        .await;
        let under_lock = under_lock.map(|done| done.map(|(_, save, files)| (save, files)));
        if let Some(lock) = lock {
            lock.release(self.database).await?;
        }
        let was_locked = since.elapsed();
        let (save, mongo_files) = under_lock.with_context(|| {
            let limit = self.lock_limit;
            format!("mongod was locked for {limit:?}, which is as long as it may")
        })??;

        let redis_bytes = self.copy_saved(&redis, &save, at_ms).await?;
        let manifest = Manifest::new(at_ms, (mongo_dir, mongo_files), (redis, redis_bytes));
        manifest.write(&self.to)?;
        Ok((manifest, was_locked))
    }

    /// Where mongod's files are, and that they are those of this mongod.
    async fn mongo_dir(&self) -> anyhow::Result<PathBuf> {
        let admin = self.database.client().database("admin");
        let hello = admin.run_command(doc! { "hello": 1 }).await?;
        let members = hello.get_array("hosts").map_or(1, Vec::len);
        if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") || members > 1 {
            bail!(
                "mongodb is more than one mongod, whose files are not of one moment: use mongodump --oplog or \
                 snapshots, see docs/OPERATIONS.md"
            );
        }
        let dir = if let Some(dir) = &self.mongo_dir {
            dir.clone()
        } else {
            let said = admin.run_command(doc! { "getCmdLineOpts": 1 }).await?;
            let parsed = said.get_document("parsed");
            let storage = parsed.and_then(|parsed| parsed.get_document("storage"));
            storage
                .and_then(|storage| storage.get_str("dbPath"))
                .unwrap_or(MONGO_DIR)
                .into()
        };
        let meta = self.database.collection::<Document>(META);
        let stats = meta.aggregate([doc! { "$collStats": { "storageStats": {} } }]);
        let mut stats = stats.await.context("there is no database of EVP")?;
        let stats = stats.try_next().await?;
        let file = stats.as_ref().and_then(|stats| {
            let engine = stats
                .get_document("storageStats")
                .ok()?
                .get_document("wiredTiger")
                .ok()?;
            engine
                .get_str("uri")
                .ok()?
                .strip_prefix("statistics:table:")
        });
        let file = file.context("mongod does not say how it names its files")?;
        ensure!(
            dir.join(format!("{file}.wt")).is_file(),
            "{} does not hold the files of this mongod: run this where they are, with rights to read them, or say \
             --mongo-dir",
            dir.display()
        );
        Ok(dir)
    }

    async fn redis_files(&self) -> anyhow::Result<Files> {
        let mut files = Files::ask(self.redis).await?;
        if let Some(dir) = &self.redis_dir {
            files.dir.clone_from(dir);
        }
        ensure!(
            files.dir.is_dir(),
            "redis' directory {:?} cannot be read: run this where it is, or say --redis-dir",
            files.dir
        );
        Ok(files)
    }

    /// Copies what Redis saved, which is a file of after `at_ms`, Unix ms. Returns its bytes.
    async fn copy_saved(&self, redis: &Files, save: &Save, at_ms: u64) -> anyhow::Result<u64> {
        let (from, to) = (redis.dir.join(&redis.saved), self.to.join(REDIS));
        let is_whole = save.ended(self.redis).await?;
        ensure!(
            is_whole,
            "redis could not save, and its log says why; or it saved once more meanwhile"
        );
        let saved = from.metadata().and_then(|saved| saved.modified());
        let saved = saved.with_context(|| format!("{} cannot be read", from.display()))?;
        ensure!(
            saved >= UNIX_EPOCH + Duration::from_millis(at_ms) - FILE_TICK,
            "{} is not what redis has saved: say --redis-dir",
            from.display()
        );
        private_folder(to.parent().context("a folder")?)?;
        let bytes = tokio::fs::copy(from, to).await?;
        let is_last = save.is_last(self.redis).await?;
        ensure!(
            is_last,
            "redis saved once more while what it saved was copied"
        );
        Ok(bytes)
    }
}

/// Whether what is to be copied leaves `min_free` percent of the disk.
fn ensure_room(mirror: &Mirror, min_free: u8) -> anyhow::Result<()> {
    let bytes = mirror.bytes_to_copy()?;
    let disk = rustix::fs::statvfs(mirror.to.parent().context("a folder")?)?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    ensure!(
        bytes + all / 100 * u64::from(min_free) <= free,
        "there is no room: {} MB are to be copied, {} MB are free, and {min_free} percent of the disk stay free: \
         say --min-free for less",
        bytes / 1_000_000,
        free / 1_000_000
    );
    Ok(())
}

/// Copies in a thread; dropped, the thread ends after a piece.
async fn copy(mirror: &Mirror) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    struct Stop(Arc<AtomicBool>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = Stop(Arc::default());
    let (mirror, stopped) = (mirror.clone(), stop.0.clone());
    Ok(spawn_blocking(move || mirror.run(&stopped)).await??)
}
