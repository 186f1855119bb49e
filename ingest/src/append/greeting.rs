//! What a Redis is asked before it is trusted with frames, and what may be wrong with it.

use std::error::Error;
use std::sync::Arc;

use evp_shared::config::Durability;
use evp_shared::redis::{ServerPromise, online_replicas};
use evp_shared::stream::{Stream, StreamError};

use super::frames::AppenderConfig;
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

/// What it takes to greet a partition.
#[derive(Debug)]
pub(crate) struct Greeter {
    pub(crate) stream: Stream,
    pub(crate) config: AppenderConfig,
    pub(crate) metrics: Arc<Metrics>,
}

impl Greeter {
    /// Whether the server promises what is configured, as far as it lets itself be asked, and its
    /// frames have this service's identity. A Redis that forgot its keys has no fingerprint: then
    /// this instance's is written.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        let (client, config) = (self.stream.client(), &self.config);
        let promise = ServerPromise::ask(client).await;
        let promise = promise.map_err(StreamError::from)?;
        let shortfalls = promise.shortfalls(config.durability);
        if !shortfalls.is_empty() {
            return Err(Fault::Weak(shortfalls));
        }
        if config.durability == Durability::Replicated {
            let replicas = online_replicas(client).await;
            if replicas.map_err(StreamError::from)? == 0 {
                return Err(Fault::NoReplica);
            }
        }
        let stored = self.stream.claim_identity(config.fingerprint).await?;
        if stored != config.fingerprint {
            return Err(Fault::OtherIdentity { stored });
        }
        Ok(())
    }
}
