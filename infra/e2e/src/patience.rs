use std::time::Duration;

use anyhow::{Result, bail};

/// Longest wait for a condition. Far above what any needs, for machines that do other work too.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until `holds`, looking every few ms.
///
/// # Errors
/// It did not hold within [`PATIENCE`]; the message names `what`.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(PATIENCE, looking).await.is_err() {
        bail!("not within {PATIENCE:?}: {what}");
    }
    Ok(())
}
