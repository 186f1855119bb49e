use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::task;

use crate::{Error, Result, project};

/// The cache directory, created if missing.
pub(crate) fn dir() -> Result<PathBuf> {
    let dir = project::cache_dir();
    fs::create_dir_all(&dir).map_err(Error::io(format!("create {}", dir.display())))?;
    Ok(dir)
}

/// Waits until no other process fetches or installs; the lock ends with the returned file.
pub(crate) async fn lock() -> Result<File> {
    let path = dir()?.join("lock");
    let locked = task::spawn_blocking(move || {
        let file = File::create(path)?;
        file.lock()?;
        io::Result::Ok(file)
    });
    locked
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(Error::io("lock the cache"))
}

/// Compares a file with its SHA-256 and removes it when it differs.
pub(crate) fn verify(path: &Path, sha256: &'static str) -> Result<()> {
    let found = digest(path).map_err(Error::io(format!("read {}", path.display())))?;
    if found == sha256 {
        return Ok(());
    }
    fs::remove_file(path).map_err(Error::io(format!("remove {}", path.display())))?;
    Err(Error::Checksum {
        file: path.display().to_string(),
        expected: sha256,
        found,
    })
}

/// Unpacks the only file of a zip archive whose name ends with `member`, as an executable.
///
/// It appears under its final name whole or not at all.
pub(crate) fn extract_program(archive: &Path, member: &str, target: &Path) -> Result<()> {
    let failed = || Error::io(format!("unpack {member} from {}", archive.display()));
    let folder = target.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(failed())?;
    let mut unpacked = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
    copy_member(archive, member, unpacked.as_file_mut()).map_err(failed())?;
    unpacked
        .as_file()
        .set_permissions(Permissions::from_mode(0o755))
        .map_err(failed())?;
    unpacked.as_file().sync_all().map_err(failed())?;
    unpacked
        .persist(target)
        .map_err(|error| failed()(error.error))?;
    Ok(())
}

fn copy_member(archive: &Path, member: &str, out: &mut File) -> io::Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(archive)?).map_err(io::Error::other)?;
    let name = zip
        .file_names()
        .filter_map(Result::ok)
        .find(|name| name.ends_with(member))
        .map(std::borrow::Cow::into_owned);
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such member"))?;
    let mut file = zip.by_name(&name).map_err(io::Error::other)?;
    io::copy(&mut file, out)?;
    out.flush()
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_with_another_digest_is_refused_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "abc").unwrap();
        verify(&path, SHA256_OF_ABC).unwrap();
        fs::write(&path, "abd").unwrap();
        assert!(matches!(
            verify(&path, SHA256_OF_ABC),
            Err(Error::Checksum { .. })
        ));
        assert!(!path.exists());
    }
}
