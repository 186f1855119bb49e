//! Writes who may come in from MongoDB into Redis, whenever the two differ.
//!
//! What is in Redis is looked at before MongoDB is read, and written only if it is still that: so what
//! is written was read later than what it replaces, whoever else projects meanwhile, and a revoked key
//! does not come back. Versions come from MongoDB and rise over restores of either.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::record::Tenant;
use super::store::{AccessError, AccessStore};
use crate::health::Beat;
use crate::service::Chain;
use crate::shutdown::Shutdown;
use crate::stream::{AccessHead, Said, Stream, StreamError};

const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// Longest one comparison may take.
pub const COMPARE_MAX: Duration = Duration::from_secs(10);

/// Why Redis was not told.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// What is kept could not be read.
    #[error(transparent)]
    Store(#[from] AccessError),
    /// Redis did not take it.
    #[error("redis did not take who may come in")]
    Redis(#[from] StreamError),
    /// What is kept cannot be written as JSON.
    #[error("who may come in cannot be written")]
    Content(#[from] serde_json::Error),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Projector {
    store: AccessStore,
    stream: Stream,
    /// One at a time of all clones: they would only undo each other's look.
    turn: Arc<Mutex<()>>,
}

impl Projector {
    /// Between these two.
    pub fn new(store: AccessStore, stream: Stream) -> Self {
        Self {
            store,
            stream,
            turn: Arc::default(),
        }
    }

    /// Has Redis say what is kept, and tells its version. While others write it looks again; callers
    /// bound it.
    ///
    /// # Errors
    /// [`ProjectError`]; repeating is harmless.
    pub async fn project(&self) -> Result<u64, ProjectError> {
        let _turn = self.turn.lock().await;
        loop {
            let seen = self.stream.said_head(Said::Access).await?;
            let records = self.store.records().await?;
            let content = serde_json::to_vec(&records)?;
            let digest = blake3::hash(&content).to_hex().to_string();
            let version = seen.as_ref().map(|seen| seen.version);
            // A Redis of before may say the same under a version that the services are beyond.
            let last = self.store.last_version().await?;
            if let Some(seen) = &seen
                && seen.digest == digest
                && seen.version >= last
            {
                self.say_tenants(&records.tenants, seen.version).await?;
                return Ok(seen.version);
            }
            let next = self.store.next_version(version.unwrap_or(0)).await?;
            let head = AccessHead {
                version: next,
                digest,
            };
            if self
                .stream
                .say(Said::Access, version, &head, content)
                .await?
            {
                tracing::info!(version = next, "redis says who may come in");
                self.say_tenants(&records.tenants, next).await?;
                return Ok(next);
            }
        }
    }

    /// Has Redis say the tenants of `version` apart, unless it says them, or those of a later one.
    async fn say_tenants(&self, tenants: &[Tenant], version: u64) -> Result<(), ProjectError> {
        let content = serde_json::to_vec(tenants)?;
        let digest = blake3::hash(&content).to_hex().to_string();
        let head = AccessHead { version, digest };
        loop {
            let seen = self.stream.said_head(Said::Tenants).await?;
            let seen = seen.map(|seen| seen.version);
            if seen.is_some_and(|seen| seen >= version) {
                return Ok(());
            }
            if self
                .stream
                .say(Said::Tenants, seen, &head, content.clone())
                .await?
            {
                return Ok(());
            }
        }
    }

    /// Does so every second, until the shutdown.
    ///
    /// # Errors
    /// Never.
    pub async fn keep(self, beat: Beat, shutdown: Shutdown) -> Result<(), Infallible> {
        let rounds = async {
            let mut told = None;
            loop {
                let fault = match tokio::time::timeout(COMPARE_MAX, self.project()).await {
                    Ok(Ok(_)) => {
                        beat.beat();
                        None
                    }
                    Ok(Err(error)) => Some(Chain(&error).to_string()),
                    Err(_) => Some("no answer".to_owned()),
                };
                if fault != told {
                    if let Some(fault) = &fault {
                        tracing::warn!(fault, "changes of tenants and keys are not in force");
                    }
                    told = fault;
                }
                tokio::time::sleep(COMPARE_EVERY).await;
            }
        };
        tokio::select! {
            never = rounds => never,
            () = shutdown.triggered() => Ok(()),
        }
    }
}
