//! What a backup says of itself.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evp_shared::redis::Files;
use serde::{Deserialize, Serialize};

/// Its name in the folder of the backup.
const NAME: &str = "backup.json";
/// The folder of mongod's files.
pub const MONGO: &str = "mongo";
/// What Redis saved.
pub const REDIS: &str = "redis/dump.rdb";
/// Raised with every change of the shape that a restore has to know of.
const VERSION: u32 = 1;

/// A backup, as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    version: u32,
    /// The program that made it, with its commit.
    pub made_by: String,
    /// Of which moment it is, Unix ms.
    pub at_ms: u64,
    /// Where mongod had its files.
    pub mongo_dir: PathBuf,
    /// Mongod's files, by their path in [`MONGO`], and their bytes.
    pub mongo_files: Vec<(PathBuf, u64)>,
    /// How Redis kept its files.
    pub redis: Files,
    /// Bytes of [`REDIS`].
    pub redis_bytes: u64,
}

/// Whether there is one in `folder`.
pub fn is_in(folder: &Path) -> bool {
    folder.join(NAME).exists()
}

impl Manifest {
    /// Of files that lie in their folder.
    pub fn new(
        at_ms: u64,
        (mongo_dir, mongo_files): (PathBuf, Vec<(PathBuf, u64)>),
        (redis, redis_bytes): (Files, u64),
    ) -> Self {
        Self {
            version: VERSION,
            made_by: evp_shared::version::full().to_owned(),
            at_ms,
            mongo_dir,
            mongo_files,
            redis,
            redis_bytes,
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let mongo = self.mongo_files.iter().map(|(_, bytes)| bytes);
        mongo.sum::<u64>() + self.redis_bytes
    }

    /// Reads that of the backup in `folder`.
    ///
    /// # Errors
    /// It is no whole backup, or a newer one than this program knows.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NAME);
        let text = fs::read(&path).with_context(|| {
            format!(
                "{} cannot be read: a backup that came to its end has it",
                path.display()
            )
        })?;
        let found: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what a backup says of itself", path.display()))?;
        ensure!(
            found.version == VERSION,
            "{} is of version {}, and this program knows version {VERSION}: restore it with {}",
            path.display(),
            found.version,
            found.made_by
        );
        let mongo = found.mongo_files.iter();
        let mongo = mongo.map(|(path, bytes)| (Path::new(MONGO).join(path), *bytes));
        for (path, bytes) in mongo.chain([(REDIS.into(), found.redis_bytes)]) {
            let found = folder.join(&path).metadata().map(|file| file.len());
            ensure!(
                found.is_ok_and(|found| found == bytes),
                "{} had {bytes} bytes, and is not there with as many: the backup is damaged",
                path.display()
            );
        }
        Ok(found)
    }

    /// Writes it, once all files of the backup are on disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let on_disk = |file: &File| -> anyhow::Result<()> { Ok(rustix::fs::syncfs(file)?) };
        on_disk(&File::open(folder)?)?;
        let mut file = File::create_new(folder.join(NAME))?;
        serde_json::to_writer_pretty(&file, self)?;
        file.flush()?;
        on_disk(&file)
    }
}
