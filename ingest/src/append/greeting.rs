//! What a Redis is asked before it is trusted with frames, and what may be wrong with it.

use std::error::Error;
use std::sync::Arc;

use evp_shared::config::Durability;
use evp_shared::frame::Codec;
use evp_shared::redis::{ServerPromise, online_replicas};
use evp_shared::stream::{Stream, StreamError};

use super::frames::HeldLimits;
use crate::admission::Load;
use crate::metrics::Metrics;

/// Why a partition takes no new frames at this moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It was not greeted yet.
    #[error("not connected yet")]
    Starting,
    /// Redis is at maxmemory.
    #[error("at its memory limit")]
    Full,
    /// Redis is away, or refuses.
    #[error("not answering, or refusing")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    /// Redis promises less than configured; the lines say how to mend that.
    #[error("{}", .0.join("; "))]
    Weak(Vec<String>),
    /// No replica follows it, and one is asked for.
    #[error(
        "no replica follows it: durability replicated needs one, started with `replicaof HOST PORT`"
    )]
    NoReplica,
    /// The frames in Redis were given their identity in another way.
    #[error(
        "holds frames of identity {stored:08x}, not of this service's: set dedupe.identity and \
         storage.salt_bits as they were"
    )]
    OtherIdentity {
        /// The fingerprint in Redis.
        stored: u32,
    },
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Self {
        Self::Away(error.into())
    }
}

/// Where frames go, as what, and how they are kept until they are safe there.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) stream: Stream,
    pub(crate) codec: Codec,
    pub(crate) fingerprint: u32,
    pub(crate) durability: Durability,
    pub(crate) held: HeldLimits,
    pub(crate) metrics: Arc<Metrics>,
    /// Learns what Redis is good for, and what is said there of storage.
    pub(crate) load: Load,
}

impl Target {
    /// Whether the server promises what is configured, as far as it lets itself be asked, and its
    /// frames have this service's identity. A Redis that forgot its keys has no fingerprint: then
    /// this instance's is written. Notes what is said of storage, so that nothing is taken in a
    /// life whose floor is not known.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        let client = self.stream.client();
        let promise = ServerPromise::ask(client).await;
        let promise = promise.map_err(StreamError::from)?;
        let shortfalls = promise.shortfalls(self.durability);
        if !shortfalls.is_empty() {
            return Err(Fault::Weak(shortfalls));
        }
        if self.durability == Durability::Replicated {
            let replicas = online_replicas(client).await;
            if replicas.map_err(StreamError::from)? == 0 {
                return Err(Fault::NoReplica);
            }
        }
        let stored = self.stream.claim_identity(self.fingerprint).await?;
        if stored != self.fingerprint {
            return Err(Fault::OtherIdentity { stored });
        }
        self.load.set_storage(self.stream.storage_said().await?);
        Ok(())
    }
}
