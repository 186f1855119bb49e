//! The folder in which backups lie, each in a folder that is named by its time.

use std::fs;
use std::path::{Path, PathBuf};

use evp_shared::command::show_time;

use super::manifest::Manifest;

/// The name of the backup that is begun at `at_ms`, Unix ms: `20261130T073000Z`.
pub fn name(at_ms: u64) -> String {
    let second = show_time(at_ms / 1_000 * 1_000);
    second.replace(['-', ':'], "")
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

/// Deletes all whole backups in `folder` but the newest `keep`. Returns those that are gone.
///
/// # Errors
/// One cannot be deleted.
pub fn thin_out(folder: &Path, keep: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    let backups = backups(folder);
    let old = backups.len().saturating_sub(keep);
    for (_, path) in backups.into_iter().take(old) {
        fs::remove_dir_all(&path)?;
        gone.push(path);
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use evp_devstack::ScratchDir;
    use evp_shared::redis::Files;

    use super::*;
    use crate::backup::manifest::{MONGO, REDIS};

    /// A whole backup of one file each.
    fn made(folder: &Path, at_ms: u64) -> PathBuf {
        let path = folder.join(name(at_ms));
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
        assert_eq!(thin_out(folder, 2).unwrap(), [old]);
        assert!(whole(folder).eq([new, newest]));
        // What may be looked into is not deleted by itself.
        assert!(damaged.is_dir());
    }
}
