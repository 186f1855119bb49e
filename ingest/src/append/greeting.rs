//! What a Redis is asked before it is trusted with frames, and what may be wrong with it.

use evp_shared::config::Durability;
use evp_shared::redis::{ServerPromise, online_replicas};
use evp_shared::stream::{AppendError, Stream, StreamError};

/// Why a partition takes no new frames at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was not greeted yet.
    Starting,
    /// Redis is at maxmemory.
    Full,
    /// Redis is away, or refuses.
    Away,
    /// Redis promises less than configured; the lines say how to mend that.
    Weak(Vec<String>),
    /// No replica follows it, and one is asked for.
    NoReplica,
    /// The frames in Redis were given their identity in another way.
    OtherIdentity {
        /// The fingerprint in Redis.
        stored: u32,
    },
}

/// A greeting did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// Redis promises less than configured.
    #[error("redis promises less than configured")]
    Weak(Vec<String>),
    /// No replica follows, and one is asked for.
    #[error("no replica follows redis")]
    NoReplica,
    /// The frames in Redis were given their identity in another way.
    #[error("redis holds frames of another identity")]
    OtherIdentity {
        /// The fingerprint in Redis.
        stored: u32,
    },
    /// Redis did not answer, or not as it should.
    #[error("greeting redis failed")]
    Stream(#[from] StreamError),
    /// The frames held for replay could not be appended.
    #[error("replay failed")]
    Replay(#[source] AppendError),
    /// Every producer id tried was taken.
    #[error("no producer id is free")]
    NoProducer,
}

/// Whether the frames in Redis have this service's identity. A Redis that forgot its keys has no
/// fingerprint: then this instance's is written.
pub(super) async fn check_identity(stream: &Stream, own: u32) -> Result<(), GreetError> {
    let stored = stream.claim_identity(own).await?;
    if stored == own {
        Ok(())
    } else {
        Err(GreetError::OtherIdentity { stored })
    }
}

/// Whether the server promises what is configured, as far as it lets itself be asked.
pub(super) async fn check_promise(
    stream: &Stream,
    durability: Durability,
) -> Result<(), GreetError> {
    let promise = ServerPromise::ask(stream.client())
        .await
        .map_err(StreamError::from)?;
    let shortfalls = promise.shortfalls(durability);
    if !shortfalls.is_empty() {
        return Err(GreetError::Weak(shortfalls));
    }
    if durability == Durability::Replicated {
        let replicas = online_replicas(stream.client()).await;
        if replicas.map_err(StreamError::from)? == 0 {
            return Err(GreetError::NoReplica);
        }
    }
    Ok(())
}
