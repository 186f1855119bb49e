//! Laying a backup down where servers that do not run will find it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, ensure};

use super::manifest::{MONGO, Manifest, REDIS};
use super::mirror::{Mirror, private_folder};

/// Lays mongod's files down in `to`, which is empty.
///
/// # Errors
/// It is not, or cannot be written to.
pub fn mongo(backup: &Path, to: &Path) -> anyhow::Result<()> {
    private_folder(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        // What a file system of its own has.
        if entry.file_name() != "lost+found" {
            refuse(&entry.path())?;
        }
    }
    let mirror = Mirror {
        from: backup.join(MONGO),
        to: to.to_owned(),
        base: None,
    };
    mirror.run(&AtomicBool::new(false))?;
    give_to_owner(to, to)
}

/// Lays down in `to`, which has no data of Redis', what Redis saved: as the base of its append-only
/// file where it kept one, for beside such a file it does not read anything else.
///
/// # Errors
/// It has, or cannot be written to.
///
/// # Source
/// The manifest of an append-only file in parts, of Redis 7: `aof.c`.
pub fn redis(backup: &Path, manifest: &Manifest, to: &Path) -> anyhow::Result<()> {
    private_folder(to).with_context(|| format!("{} cannot be made", to.display()))?;
    let files = &manifest.redis;
    let (saved, read) = (backup.join(REDIS), to.join(&files.saved));
    refuse(&read)?;
    let Some(log_dir) = &files.log_dir else {
        fs::copy(saved, &read)?;
        return give_to_owner(&read, to);
    };
    let (log_dir, log) = (to.join(log_dir), &files.log);
    refuse(&log_dir)?;
    private_folder(&log_dir)?;
    let base = format!("{log}.1.base.rdb");
    fs::copy(saved, log_dir.join(&base))?;
    let mut list = File::create_new(log_dir.join(format!("{log}.manifest")))?;
    writeln!(list, "file {base} seq 1 type b")?;
    give_to_owner(&log_dir, to)
}

fn refuse(there: &Path) -> anyhow::Result<()> {
    ensure!(
        !there.exists(),
        "{} is there: stop the server, move its data away, and run this again",
        there.display()
    );
    Ok(())
}

/// Gives `path` and all below it to who owns `folder`, and waits until it is on disk.
fn give_to_owner(path: &Path, folder: &Path) -> anyhow::Result<()> {
    let owner = folder.metadata()?;
    let mut left = vec![path.to_owned()];
    while let Some(at) = left.pop() {
        if at.is_dir() {
            for entry in fs::read_dir(&at)? {
                left.push(entry?.path());
            }
        }
        chown(&at, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}
