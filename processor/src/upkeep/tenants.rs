//! Learns of tenants, twice a second: how many types of each are counted by name, and whose users are
//! sketched.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evp_shared::access::reader::LookError;
use evp_shared::access::tenants::Learned;
use evp_shared::service::Chain;
use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use tracing::{debug, warn};

use crate::bulk::pipeline::Pipeline;

const EVERY: Duration = Duration::from_millis(500);

/// Learns for one processor until the shutdown.
#[derive(Debug)]
pub struct TenantLoop {
    /// What counts and sketches by it.
    pipeline: Arc<Pipeline>,
    learned: Learned,
    /// When that was what Redis says.
    current: Instant,
}

impl TenantLoop {
    /// Begins with what Redis says now, so that the first commit counts by it.
    pub async fn begin(pipeline: Arc<Pipeline>) -> Self {
        let mut one = Self {
            current: pipeline.clock.now(),
            pipeline,
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
            let Pipeline { metrics, clock, .. } = &*self.pipeline;
            if self.learned.is_current() {
                self.current = clock.now();
            }
            let age = clock.now().saturating_duration_since(self.current);
            metrics.access_age.set(age.as_secs_f64());
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), LookError> {
        let stream = &self.pipeline.committer.stream;
        let Some(tenants) = self.learned.look(stream).await? else {
            return Ok(());
        };
        debug!(tenants = tenants.len(), "tenants are known");
        if let Some(sketches) = &self.pipeline.sketches {
            let wanted = tenants.iter().filter(|tenant| tenant.has_analytics());
            sketches.gather_of(wanted.map(|tenant| tenant.id.as_str()));
        }
        Ok(())
    }
}

fn tell(error: &LookError) {
    let fault = Chain(error).to_string();
    warn!(fault, "what is known of tenants stays as it is");
}
