//! Learns of tenants, twice a second: how many types of each are counted by name.

use std::convert::Infallible;
use std::time::Duration;

use evp_shared::access::reader::LookError;
use evp_shared::access::tenants::Learned;
use evp_shared::service::Chain;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::Stream;
use futures::StreamExt as _;
use tracing::{info, warn};

const EVERY: Duration = Duration::from_millis(500);

/// Learns for one processor until the shutdown.
#[derive(Debug)]
pub struct TenantLoop {
    /// Who says it, and counts by it.
    pub stream: Stream,
    /// What was learned.
    pub learned: Learned,
}

impl TenantLoop {
    /// Begins with what Redis says now, so that the first commit counts by it.
    pub async fn begin(stream: Stream) -> Self {
        let mut one = Self {
            stream,
            learned: Learned::default(),
        };
        if let Err(error) = one.look().await {
            tell(&error);
        }
        one
    }

    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// None: what was learned stays until more is.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ticks = shutdown.every(EVERY);
        let mut failed = false;
        while ticks.next().await.is_some() {
            let looked = self.look().await;
            if let Err(error) = &looked
                && !failed
            {
                tell(error);
            }
            failed = looked.is_err();
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), LookError> {
        if let Some(tenants) = self.learned.look(&self.stream).await? {
            info!(tenants = tenants.len(), "tenants are known");
        }
        Ok(())
    }
}

fn tell(error: &LookError) {
    let fault = Chain(error).to_string();
    warn!(fault, "what is known of tenants stays as it is");
}
