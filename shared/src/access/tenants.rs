//! What processors learn of tenants, from what the aggregator says for the services: how many types of
//! each are counted by name, and whose users are sketched.

use serde::Deserialize;

use super::reader::LookError;
use super::record::Tenant;
use crate::stream::Stream;

/// What was learned so far.
#[derive(Debug, Default)]
pub struct Learned {
    version: u64,
}

/// Of the content, keys are left out: a processor lets nobody in.
#[derive(Deserialize)]
struct Content {
    tenants: Vec<Tenant>,
}

impl Learned {
    /// Asks once, has `stream` and its clones count by it, and returns the tenants; `None` where Redis
    /// says nothing, or nothing later. In open mode nobody may ever have said anything.
    ///
    /// # Errors
    /// [`LookError`]; what was learned stays.
    pub async fn look(&mut self, stream: &Stream) -> Result<Option<Vec<Tenant>>, LookError> {
        let head = stream.access_head().await?;
        if head.is_none_or(|head| head.version <= self.version) {
            return Ok(None);
        }
        let Some((version, content)) = stream.access_content().await? else {
            return Ok(None);
        };
        let Content { tenants } = serde_json::from_slice(&content)?;
        let caps = tenants.iter();
        let caps = caps.map(|tenant| (tenant.id.as_str(), tenant.types_max()));
        stream.caps().say(caps);
        self.version = version;
        Ok(Some(tenants))
    }
}
