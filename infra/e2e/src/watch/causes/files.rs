//! Files that are not as they should be.

use super::Stage;
use anyhow::Result;

pub(super) async fn short_certificate(stage: &mut Stage) -> Result<()> {
    stage.authority.issue(2).write(stage.tls.path())?;
    Ok(())
}

pub(super) async fn good_certificate(stage: &mut Stage) -> Result<()> {
    stage.authority.issue(90).write(stage.tls.path())?;
    Ok(())
}

pub(super) async fn broken_certificate(stage: &mut Stage) -> Result<()> {
    Ok(std::fs::write(stage.tls.path().join("cert.pem"), "none")?)
}
