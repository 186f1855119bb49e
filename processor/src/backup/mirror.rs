//! A copy of a folder that is brought up to date by as little as has changed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use evp_shared::clock::Clock;

/// What mongod makes anew at each start, and what is no data of its.
const LEFT_OUT: [&str; 3] = ["mongod.lock", "diagnostic.data", LOST_AND_FOUND];

/// What a file system of its own has.
pub const LOST_AND_FOUND: &str = "lost+found";

/// Bytes copied between two looks whether to go on.
const PIECE: u64 = 64 << 20;

/// A file that was written this short a time ago may be written again without a later time. Its copy
/// has [`UNIX_EPOCH`], which is no file's time, so that it is copied again.
const TICK: Duration = Duration::from_secs(2);

/// From where a folder is copied to where.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// The folder.
    pub from: PathBuf,
    /// Its copy.
    pub to: PathBuf,
    /// An earlier copy: what has its size and time is linked to it.
    pub base: Option<PathBuf>,
}

impl Mirror {
    /// Makes the copy what the folder is, but for what vanishes meanwhile. Returns its files, by their
    /// path in the folder, and their bytes. What has the size and time of its copy is left alone, so
    /// that it costs little to do again.
    ///
    /// # Errors
    /// A file cannot be read or written, or `stop` is set.
    pub fn run(&self, stop: &AtomicBool) -> io::Result<Vec<(PathBuf, u64)>> {
        private_folder(&self.to)?;
        let mut copied = Vec::new();
        for path in files_in(&self.from)? {
            match self.copy(&path, stop) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                bytes => copied.push((path, bytes?)),
            }
        }
        let there: BTreeSet<&Path> = copied.iter().map(|(path, _)| path.as_path()).collect();
        for path in files_in(&self.to)? {
            if !there.contains(path.as_path()) {
                fs::remove_file(self.to.join(path))?;
            }
        }
        Ok(copied)
    }

    /// Bytes that are to be copied, so not those of links.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn bytes_to_copy(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for path in files_in(&self.from)? {
            let Ok(found) = fs::metadata(self.from.join(&path)) else {
                continue;
            };
            let base = self.base.as_ref().map(|base| base.join(&path));
            if !base.is_some_and(|base| is_same(&found, &base)) {
                bytes += found.len();
            }
        }
        Ok(bytes)
    }

    fn copy(&self, path: &Path, stop: &AtomicBool) -> io::Result<u64> {
        // Before the file is looked at: what is written after this look has another time, unless it is
        // within its tick.
        let now = UNIX_EPOCH + Duration::from_millis(Clock::system().now_ms());
        let from = File::open(self.from.join(path))?;
        let found = from.metadata()?;
        let to = self.to.join(path);
        if is_same(&found, &to) {
            return Ok(found.len());
        }
        if let Some(folder) = to.parent() {
            private_folder(folder)?;
        }
        // It may be a link to the base's, which stays as it is.
        match fs::remove_file(&to) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(base) = self.base.as_ref().map(|base| base.join(path))
            && is_same(&found, &base)
            && fs::hard_link(&base, &to).is_ok()
        {
            return Ok(found.len());
        }
        let mut copy = OpenOptions::new();
        let mut copy = copy.write(true).create_new(true).mode(0o600).open(&to)?;
        let mut bytes = 0;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("stopped"));
            }
            match io::copy(&mut (&from).take(PIECE), &mut copy)? {
                0 => break,
                piece => bytes += piece,
            }
        }
        let time = found.modified()?;
        let is_old = now.duration_since(time).is_ok_and(|age| age > TICK);
        copy.set_modified(if is_old { time } else { UNIX_EPOCH })?;
        Ok(bytes)
    }
}

/// Whether a copy has the size and the time of its file.
fn is_same(found: &Metadata, copy: &Path) -> bool {
    let same = |copy: &Metadata| {
        let (time, copied) = (found.modified().ok()?, copy.modified().ok()?);
        Some(copy.len() == found.len() && copied == time && time != UNIX_EPOCH)
    };
    let copy = copy.metadata();
    copy.is_ok_and(|copy| same(&copy).unwrap_or(false))
}

/// Makes a folder that only its owner reads, unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The files below a folder, but for what is left out, by their paths in it.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(folder.join(&at))? {
            let name = entry?.file_name();
            if LEFT_OUT.iter().any(|left_out| name == *left_out) {
                continue;
            }
            let path = at.join(&name);
            // The journal may be a link to another disk.
            match fs::metadata(folder.join(&path)) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) if found.is_file() => files.push(path),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use evp_devstack::ScratchDir;

    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn write(folder: &Path, name: &str, text: &str, at_s: u64) {
        let path = folder.join(name);
        private_folder(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(at_s);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(at)
            .unwrap();
    }

    fn text(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn a_copy_follows_what_changes_and_shares_the_rest_with_the_one_before() {
        let scratch = ScratchDir::new().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let (from, first, second) = (at("from"), at("first"), at("second"));
        write(&from, "a", "old", 1_000);
        write(&from, "journal/b", "same", 1_000);
        write(&from, "mongod.lock", "1", 1_000);
        let mirror = |to: &Path, base| Mirror {
            from: from.clone(),
            to: to.to_owned(),
            base,
        };
        assert_eq!(mirror(&first, None).run(&GO_ON).unwrap().len(), 2);

        write(&from, "a", "new", 2_000);
        write(&from, "c", "more", 2_000);
        let mirror = mirror(&second, Some(first.clone()));
        mirror.run(&GO_ON).unwrap();
        let inode = |folder: &Path, name: &str| folder.join(name).metadata().unwrap().ino();
        assert_eq!(inode(&first, "journal/b"), inode(&second, "journal/b"));
        assert_eq!(
            (text(&first, "a"), text(&second, "a")),
            ("old".into(), "new".into())
        );

        // The second pass: what changed, came and went since the first one.
        let kept = inode(&second, "a");
        write(&from, "journal/b", "else", 3_000);
        fs::remove_file(from.join("c")).unwrap();
        let files = mirror.run(&GO_ON).unwrap();
        assert_eq!((inode(&second, "a"), files.len()), (kept, 2));
        assert_eq!(
            (text(&first, "journal/b"), text(&second, "journal/b")),
            ("same".into(), "else".into())
        );
        assert!(!second.join("c").exists());
    }

    #[test]
    fn what_was_written_this_moment_is_copied_again() {
        let scratch = ScratchDir::new().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        private_folder(&from).unwrap();
        let mirror = Mirror {
            from: from.clone(),
            to: to.clone(),
            base: None,
        };
        let path = from.join("a");
        fs::write(&path, "old").unwrap();
        let time = path.metadata().unwrap().modified().unwrap();
        mirror.run(&GO_ON).unwrap();
        // Written again, within the same tick of the clock.
        fs::write(&path, "new").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
        mirror.run(&GO_ON).unwrap();
        assert_eq!(text(&to, "a"), "new");
    }

    #[test]
    fn what_came_back_from_a_copy_that_was_to_be_made_again_is_not_taken_for_another_one() {
        let scratch = ScratchDir::new().unwrap();
        let at = |name: &str| scratch.path().join(name);
        write(&at("from"), "a", "new", 0);
        write(&at("base"), "a", "old", 0);
        let mirror = Mirror {
            from: at("from"),
            to: at("to"),
            base: Some(at("base")),
        };
        assert_eq!(mirror.bytes_to_copy().unwrap(), 3);
        mirror.run(&GO_ON).unwrap();
        assert_eq!(text(&at("to"), "a"), "new");
    }

    #[test]
    fn what_a_file_system_found_again_is_left_alone() {
        let scratch = ScratchDir::new().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        write(&from, "a", "text", 1_000);
        write(&to, "lost+found/b", "found", 1_000);
        let mirror = Mirror {
            from,
            to: to.clone(),
            base: None,
        };
        mirror.run(&GO_ON).unwrap();
        assert_eq!(text(&to, "lost+found/b"), "found");
    }

    #[test]
    fn a_copy_stops_when_it_is_told_to() {
        let scratch = ScratchDir::new().unwrap();
        let from = scratch.path().join("from");
        write(&from, "a", "text", 1_000);
        let mirror = Mirror {
            from,
            to: scratch.path().join("to"),
            base: None,
        };
        assert!(mirror.run(&AtomicBool::new(true)).is_err());
    }
}
