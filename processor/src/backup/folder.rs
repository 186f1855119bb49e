//! The folder in which backups lie, each in a folder that is named by its time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use evp_shared::clock::Clock;
use evp_shared::command::show_time;

use super::manifest::{self, Manifest};
use super::mirror::private_folder;

/// The name of the backup that is begun at `at_ms`, Unix ms: `20261130T073000Z`.
pub fn name_of(at_ms: u64) -> String {
    let second = show_time(at_ms / 1_000 * 1_000);
    second.replace(['-', ':'], "")
}

/// The folder of a backup that begins now, which is not there: after one of the same second, in the
/// next one.
pub async fn free(folder: &Path, clock: &Clock) -> PathBuf {
    loop {
        let free = folder.join(name_of(clock.now_ms()));
        if !free.exists() {
            return free;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whole backups in `folder`, oldest first; with the time of each, Unix ms.
pub fn backups(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<_> = paths
        .filter_map(|path| Some((Manifest::read(&path).ok()?.at_ms, path)))
        .collect();
    found.sort();
    found
}

/// Lets nobody else work on the backups in `folder`, which is made if it is missing, as long as what
/// is returned lives.
///
/// # Errors
/// Somebody does, or it cannot be made.
pub fn alone(folder: &Path) -> anyhow::Result<File> {
    private_folder(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let lock = File::open(folder)?;
    lock.try_lock()
        .with_context(|| format!("somebody is at work in {}", folder.display()))?;
    Ok(lock)
}

/// Deletes what was begun in `folder` and is no whole backup: it was killed.
///
/// # Errors
/// One cannot be deleted.
pub fn tidy(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_time = |name: &str| {
            let others = |other: char| !other.is_ascii_digit();
            name.len() == name_of(0).len() && name.replace(others, "").len() == 14
        };
        if name.is_some_and(is_time) && !manifest::is_in(&path) {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Deletes all whole backups in `folder` but `newest` and so many before it that `keep` are left.
/// Returns those that are gone.
///
/// # Errors
/// One cannot be deleted.
pub fn thin_out(folder: &Path, newest: &Path, keep: usize) -> io::Result<Vec<PathBuf>> {
    let mut backups = backups(folder);
    backups.retain(|(_, path)| path != newest);
    let old = (backups.len() + 1).saturating_sub(keep);
    let old = backups.into_iter().take(old).map(|(_, path)| path);
    old.map(|path| fs::remove_dir_all(&path).map(|()| path))
        .collect()
}

#[cfg(test)]
mod tests {
    use evp_devstack::ScratchDir;
    use evp_shared::redis::Files;

    use super::*;
    use crate::backup::manifest::{MONGO, REDIS};

    /// A whole backup of one file each.
    fn made(folder: &Path, at_ms: u64) -> PathBuf {
        let path = folder.join(name_of(at_ms));
        for file in [format!("{MONGO}/a"), REDIS.to_owned()] {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "four").unwrap();
        }
        let mongo = ("/data/db".into(), vec![("a".into(), 4)]);
        let manifest = Manifest::new(at_ms, mongo, (Files::default(), 4));
        manifest.write(&path).unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), manifest);
        path
    }

    #[test]
    fn the_newest_whole_backups_are_kept() {
        let scratch = ScratchDir::new().unwrap();
        let folder = scratch.path();
        let [old, damaged, new, newest] = [1_000, 2_000, 3_000, 4_000].map(|at| made(folder, at));
        assert_eq!(newest.file_name().unwrap(), "19700101T000004Z");
        fs::write(damaged.join(REDIS), "other").unwrap();
        let said = Manifest::read(&damaged).unwrap_err().to_string();
        assert!(said.contains(REDIS), "{said}");

        let whole = |folder: &Path| backups(folder).into_iter().map(|(_, path)| path);
        assert!(whole(folder).eq([old.clone(), new.clone(), newest.clone()]));
        assert_eq!(thin_out(folder, &newest, 2).unwrap(), [old]);
        assert!(whole(folder).eq([new.clone(), newest.clone()]));
        // A clock that ran ahead does not have the one that was just made deleted.
        assert_eq!(thin_out(folder, &new, 1).unwrap(), [newest]);
        assert!(whole(folder).eq([new]));
        // What may be looked into is not deleted by itself.
        assert!(damaged.is_dir());
    }

    #[test]
    fn what_was_killed_is_deleted_and_nothing_else() {
        let scratch = ScratchDir::new().unwrap();
        let folder = scratch.path();
        let whole = made(folder, 1_000);
        let [killed, other] = [name_of(2_000), "19700101-a-folder".to_owned()].map(|name| {
            let path = folder.join(name);
            fs::create_dir_all(path.join(MONGO)).unwrap();
            path
        });
        tidy(folder).unwrap();
        assert!(whole.is_dir() && other.is_dir() && !killed.exists());
    }

    #[tokio::test]
    async fn one_of_the_same_second_gets_the_name_of_the_next() {
        let scratch = ScratchDir::new().unwrap();
        let folder = scratch.path();
        let clock = Clock::manual(1_500);
        let first = free(folder, &clock).await;
        assert_eq!(first, made(folder, 1_000));
        let (second, ()) = tokio::join!(free(folder, &clock), async {
            clock.advance(Duration::from_secs(1));
        });
        assert_eq!(second, folder.join(name_of(2_000)));
    }

    #[test]
    fn two_do_not_work_on_the_same_backups() {
        let scratch = ScratchDir::new().unwrap();
        let one = alone(scratch.path()).unwrap();
        assert!(alone(scratch.path()).is_err());
        drop(one);
        alone(scratch.path()).unwrap();
    }
}
