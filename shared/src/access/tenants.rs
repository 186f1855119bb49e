//! What processors learn of tenants, from what the aggregator says for the services: how many types of
//! each are counted by name, and whose users are sketched.

use super::reader::LookError;
use super::record::Tenant;
use crate::stream::{Said, Stream};

/// What was learned so far.
#[derive(Debug, Default)]
pub struct Learned {
    version: u64,
    is_current: bool,
}

impl Learned {
    /// Whether Redis said what was learned, or nothing was, when it was asked last.
    pub fn is_current(&self) -> bool {
        self.version == 0 || self.is_current
    }

    /// Asks once, has `stream` and its clones count by it, and returns the tenants; `None` where Redis
    /// says nothing, or nothing later. In open mode nobody may ever have said anything.
    ///
    /// # Errors
    /// [`LookError`]; what was learned stays.
    pub async fn look(&mut self, stream: &Stream) -> Result<Option<Vec<Tenant>>, LookError> {
        self.is_current = false;
        let said = stream
            .said_head(Said::Tenants)
            .await?
            .map_or(0, |head| head.version);
        if said <= self.version {
            self.is_current = said == self.version;
            return Ok(None);
        }
        let Some((version, content)) = stream.said(Said::Tenants).await? else {
            return Ok(None);
        };
        let tenants: Vec<Tenant> = serde_json::from_slice(&content)?;
        let caps = tenants.iter();
        let caps = caps.map(|tenant| (tenant.id.as_str(), tenant.types_max()));
        stream.caps().say(caps);
        (self.version, self.is_current) = (version, true);
        Ok(Some(tenants))
    }
}
