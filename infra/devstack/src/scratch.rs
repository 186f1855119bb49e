use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

const PREFIX: &str = "evp-scratch-";
const OWNER: &str = "owner";
const OWNED: &[u8] = b"locked by the process that owns this directory\n";

/// A new directory for temporary data, removed when dropped.
///
/// A process that is killed cannot remove its directory, so each holds a locked file: the kernel
/// lets go of the lock with its owner, and the next call removes what such owners left.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
    _owner: File,
}

impl ScratchDir {
    /// Creates a directory under the system's directory for temporary files.
    ///
    /// # Errors
    /// [`Error::Io`] when that is not possible.
    pub fn new() -> Result<Self> {
        sweep(&std::env::temp_dir());
        Self::create(&std::env::temp_dir()).map_err(Error::io("create a temporary directory"))
    }

    /// The given directory, created if missing, else a temporary one.
    pub(crate) fn or_given(given: Option<&Path>) -> Result<(PathBuf, Option<Self>)> {
        let Some(dir) = given else {
            let scratch = Self::new()?;
            return Ok((scratch.path.clone(), Some(scratch)));
        };
        let failed = || Error::io(format!("create {}", dir.display()));
        fs::create_dir_all(dir).map_err(failed())?;
        // Absolute, because a server changes its working directory.
        Ok((dir.canonicalize().map_err(failed())?, None))
    }

    fn create(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        fs::create_dir(&path)?;
        let mut owner = File::create_new(path.join(OWNER))?;
        owner.lock()?;
        // Written after locking: whoever sees the text and gets the lock knows the owner is gone.
        owner.write_all(OWNED)?;
        Ok(Self {
            path,
            _owner: owner,
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed here is swept by a later call.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if let Ok(Some(_lock)) = abandoned(&entry.path()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Returns the directory's lock when its owner is gone.
fn abandoned(path: &Path) -> io::Result<Option<File>> {
    let mut owner = File::open(path.join(OWNER))?;
    let mut text = Vec::new();
    owner.read_to_end(&mut text)?;
    Ok((text == OWNED && owner.try_lock().is_ok()).then_some(owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_with_its_owner_and_swept_when_the_owner_was_killed() {
        let parent = tempfile::tempdir().unwrap();
        let dropped = ScratchDir::create(parent.path()).unwrap();
        let live = ScratchDir::create(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join(OWNER), OWNED).unwrap();
        let starting = parent.path().join(format!("{PREFIX}starting"));
        fs::create_dir(&starting).unwrap();
        fs::write(starting.join(OWNER), b"").unwrap();

        let gone = dropped.path().to_path_buf();
        drop(dropped);
        sweep(parent.path());

        assert!(!gone.exists());
        assert!(!left.exists(), "its owner is gone");
        assert!(live.path().exists(), "its owner lives");
        assert!(starting.exists(), "its owner has not locked it yet");
    }
}
