//! Laying a backup down where servers that do not run will find it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::ensure;

use super::manifest::{MONGO, Manifest, REDIS};
use super::mirror::{LOST_AND_FOUND, Mirror, private_folder};

/// A backup whose files have a free place each.
#[derive(Debug)]
pub struct Restore<'a> {
    backup: &'a Path,
    manifest: &'a Manifest,
    mongo: Option<&'a Path>,
    redis: Option<&'a Path>,
}

impl<'a> Restore<'a> {
    /// Judges the directories of mongod and of Redis, of those that are to be restored.
    ///
    /// # Errors
    /// One is missing, or has data.
    pub fn new(
        backup: &'a Path,
        manifest: &'a Manifest,
        (mongo, redis): (Option<&'a Path>, Option<&'a Path>),
    ) -> anyhow::Result<Self> {
        for folder in [mongo, redis].into_iter().flatten() {
            ensure!(
                folder.is_dir(),
                "{} is missing: make it, owned by who runs the server",
                folder.display()
            );
        }
        if let Some(mongo) = mongo {
            for entry in fs::read_dir(mongo)? {
                let entry = entry?;
                if entry.file_name() != LOST_AND_FOUND {
                    refuse(&entry.path())?;
                }
            }
        }
        if let Some(redis) = redis {
            let names = [Some(&manifest.redis.saved), manifest.redis.log_dir.as_ref()];
            for name in names.into_iter().flatten() {
                refuse(&redis.join(name))?;
            }
        }
        Ok(Self {
            backup,
            manifest,
            mongo,
            redis,
        })
    }

    /// Lays the files down.
    ///
    /// # Errors
    /// One of the backup is gone, or the disk's.
    pub fn lay_down(&self) -> anyhow::Result<()> {
        if let Some(to) = self.mongo {
            let mirror = Mirror {
                from: self.backup.join(MONGO),
                to: to.to_owned(),
                base: None,
            };
            let mut laid = mirror.run(&AtomicBool::new(false))?;
            let mut whole = self.manifest.mongo_files.clone();
            laid.sort();
            whole.sort();
            ensure!(laid == whole, "somebody has changed the backup meanwhile");
            for (path, _) in laid {
                give_to_owner(&to.join(path), to)?;
            }
            on_disk(to)?;
        }
        self.redis.map_or(Ok(()), |to| self.redis(to))
    }

    /// As the base of the append-only file where Redis kept one, for beside such a file it does not
    /// read anything else.
    ///
    /// # Source
    /// The manifest of an append-only file in parts, of Redis 7: `aof.c`.
    fn redis(&self, to: &Path) -> anyhow::Result<()> {
        let files = &self.manifest.redis;
        let saved = self.backup.join(REDIS);
        if let Some(log_dir) = &files.log_dir {
            let (log_dir, log) = (to.join(log_dir), &files.log);
            private_folder(&log_dir)?;
            let base = format!("{log}.1.base.rdb");
            let list = log_dir.join(format!("{log}.manifest"));
            fs::copy(saved, log_dir.join(&base))?;
            fs::write(&list, format!("file {base} seq 1 type b\n"))?;
            give_to_owner(&log_dir.join(base), to)?;
            give_to_owner(&list, to)?;
        } else {
            let read = to.join(&files.saved);
            fs::copy(saved, &read)?;
            give_to_owner(&read, to)?;
        }
        on_disk(to)
    }
}

fn refuse(there: &Path) -> anyhow::Result<()> {
    ensure!(
        !there.exists(),
        "{} is there: stop the server, move its data away, and run this again",
        there.display()
    );
    Ok(())
}

/// Gives `path` and the folders above it to who owns `folder`, in which they are.
fn give_to_owner(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let owner = folder.metadata()?;
    let below = path.ancestors().take_while(|at| *at != folder);
    for at in below {
        chown(at, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn on_disk(folder: &Path) -> anyhow::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}
