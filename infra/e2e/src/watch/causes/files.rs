//! Files that are not as they should be.

use super::Stage;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(super) async fn short_certificate(stage: &mut Stage) -> Result<()> {
    stage.authority.issue(2).write(stage.files.path())?;
    Ok(())
}

pub(super) async fn good_certificate(stage: &mut Stage) -> Result<()> {
    stage.authority.issue(90).write(stage.files.path())?;
    Ok(())
}

pub(super) async fn broken_certificate(stage: &mut Stage) -> Result<()> {
    Ok(std::fs::write(stage.files.path().join("cert.pem"), "none")?)
}

/// The file that all services read.
pub(super) fn config(folder: &Path) -> PathBuf {
    folder.join("evp.toml")
}

pub(super) async fn broken_reload(stage: &mut Stage) -> Result<()> {
    reload(stage, "[log]\nlevels = \"info\"\n")
}

pub(super) async fn good_reload(stage: &mut Stage) -> Result<()> {
    reload(stage, "")
}

fn reload(stage: &Stage, text: &str) -> Result<()> {
    std::fs::write(config(stage.files.path()), text)?;
    let ingest = stage.system.ingests.first().context("no ingest")?;
    ingest.hang_up();
    Ok(())
}
