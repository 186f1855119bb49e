use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::cache;
use crate::{Error, Result};

/// Longest time that npm may take; a registry that does not answer takes it for ever.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// Returns a folder with the package in its `node_modules`, having npm install it into the cache first
/// when it is not there. Nothing of it is run.
pub(super) async fn package(name: &str, version: &str) -> Result<PathBuf> {
    let _lock = cache::lock().await?;
    let kept = cache::dir()?.join(format!("npm-{name}-{version}"));
    if kept.is_dir() {
        return Ok(kept);
    }
    let what = format!("{name} {version} of npm");
    let folder =
        tempfile::tempdir_in(cache::dir()?).map_err(Error::io("create a folder for downloads"))?;
    let install = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .arg("--prefix")
        .arg(folder.path())
        .arg(format!("{name}@{version}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(FETCH_MAX, install).await;
    let output = output
        .map_err(|_| Error::fetch(&what, format!("npm is not done after {FETCH_MAX:?}")))?
        .map_err(|error| {
            let fix = "install Node 20.19 or newer, with npm";
            Error::fetch(&what, format!("npm cannot be run: {error}; {fix}"))
        })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Error::fetch(&what, reason.trim()));
    }
    std::fs::rename(folder.keep(), &kept).map_err(Error::io(format!("keep {what}")))?;
    Ok(kept)
}
