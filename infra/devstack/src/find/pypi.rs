use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::cache;
use crate::{Error, Result};

/// One file of one release on PyPI.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
}

/// Returns the file from the cache, downloading it with pip first when it is not there.
///
/// The caller holds [`cache::lock`].
pub(crate) async fn download(package: &'static Package) -> Result<PathBuf> {
    let kept = cache::dir()?.join(package.file);
    if kept.is_file() {
        match cache::verify(&kept, package.sha256) {
            // Damaged on disk, and removed by this check: it is downloaded again.
            Err(Error::Checksum { .. }) => {}
            result => return result.map(|()| kept),
        }
    }
    let folder =
        tempfile::tempdir_in(cache::dir()?).map_err(Error::io("create a folder for downloads"))?;
    let what = format!("{} {}", package.name, package.version);
    let requirement = format!("{}=={}", package.name, package.version);
    // A wheel is taken for this machine; a source archive is asked for by name, and pip then runs
    // its build only as far as the metadata.
    let kind = if package.file.ends_with(".whl") {
        "--only-binary"
    } else {
        "--no-binary"
    };
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .args([kind, package.name, "--dest"])
        .arg(folder.path())
        .arg(requirement)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| Error::fetch(&what, format!("python3 -m pip cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(Error::fetch(
            what,
            String::from_utf8_lossy(&output.stderr).trim(),
        ));
    }
    let downloaded = folder.path().join(package.file);
    cache::verify(&downloaded, package.sha256)?;
    std::fs::rename(&downloaded, &kept).map_err(Error::io(format!("keep {}", package.file)))?;
    Ok(kept)
}
