//! Keeps what a service holds of who may come in: asks Redis for the version twice a second, and takes
//! the whole when it has risen.
//!
//! What is missing there, is older than what is held, or cannot be read changes nothing: a Redis that
//! forgot neither locks everybody out nor brings a revoked key back. It shows as age.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};

use super::map::AccessMap;
use super::record::Records;
use crate::clock::Clock;
use crate::health::Condition;
use crate::shutdown::Shutdown;
use crate::stream::{Said, Stream, StreamError};

const ASK_EVERY: Duration = Duration::from_millis(500);
/// Longest one question may take.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// What a service holds of who may come in; clones share it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Held>);

#[derive(Debug)]
struct Held {
    stream: Stream,
    clock: Clock,
    map: ArcSwapOption<AccessMap>,
    version: AtomicU64,
    /// When Redis last said the version that is held, Unix ms; zero for never.
    confirmed_ms: AtomicU64,
}

/// What is held was looked at, and this came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A later version was taken.
    Taken,
    /// It is what Redis says.
    Same,
    /// Redis says nothing, or something older.
    Behind,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Redis did not answer.
    #[error("redis did not say who may come in")]
    Redis(#[from] StreamError),
    /// What it says cannot be read.
    #[error("what redis says of who may come in cannot be read")]
    Content(#[from] serde_json::Error),
}

impl Access {
    /// Nothing yet; `stream` is who will say it.
    pub fn new(stream: Stream, clock: Clock) -> Self {
        Self(Arc::new(Held {
            stream,
            clock,
            map: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            confirmed_ms: AtomicU64::new(0),
        }))
    }

    /// What is held; nothing until Redis has said it once.
    pub fn map(&self) -> Guard<Option<Arc<AccessMap>>> {
        self.0.map.load()
    }

    /// The version that is held; zero for none.
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// For how long Redis has not said what is held; zero while it never has.
    fn age(&self) -> Duration {
        match self.0.confirmed_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            at_ms => Duration::from_millis(self.0.clock.now_ms().saturating_sub(at_ms)),
        }
    }

    /// Asks once, and takes what is later. One task of a service does it.
    ///
    /// # Errors
    /// [`LookError`]; what is held stays.
    pub async fn look(&self) -> Result<Look, LookError> {
        let (stream, now_ms) = (&self.0.stream, self.0.clock.now_ms());
        let confirmed = |look| {
            self.0.confirmed_ms.store(now_ms, Ordering::Relaxed);
            Ok(look)
        };
        let held = self.version();
        match stream.said_head(Said::Access).await? {
            Some(head) if head.version > held => {}
            Some(head) if head.version == held => return confirmed(Look::Same),
            Some(_) | None => return Ok(Look::Behind),
        }
        let Some((version, content)) = stream.said(Said::Access).await? else {
            return Ok(Look::Behind);
        };
        if version <= held {
            return Ok(Look::Behind);
        }
        let records: Records = serde_json::from_slice(&content)?;
        let map = AccessMap::new(records, self.0.map.load().as_deref());
        self.0.map.store(Some(Arc::new(map)));
        self.0.version.store(version, Ordering::Release);
        confirmed(Look::Taken)
    }

    /// Keeps it until the shutdown; `condition` is good once something is held, `tell` hears the age
    /// in seconds.
    ///
    /// # Errors
    /// Never.
    pub async fn keep(
        self,
        condition: Condition,
        tell: impl Fn(f64),
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        condition.fail("redis has not said who may come in");
        let rounds = async {
            let mut told = None;
            loop {
                let looked = tokio::time::timeout(QUESTION_MAX, self.look()).await;
                let fault = match looked {
                    Ok(Ok(Look::Behind)) => {
                        Some("redis says nothing, or something older".to_owned())
                    }
                    Ok(Ok(Look::Taken | Look::Same)) => None,
                    Ok(Err(error)) => Some(crate::service::Chain(&error).to_string()),
                    Err(_) => Some("no answer".to_owned()),
                };
                if self.version() > 0 {
                    condition.ok();
                }
                if fault != told {
                    match &fault {
                        // So it is at each first start, until an aggregator has said it.
                        Some(fault) if self.version() == 0 => {
                            tracing::info!(fault, "waiting to learn who may come in");
                        }
                        Some(fault) => tracing::warn!(fault, "who may come in stays as it is"),
                        None => {
                            tracing::info!(version = self.version(), "who may come in is known")
                        }
                    }
                    told = fault;
                }
                tell(self.age().as_secs_f64());
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            never = rounds => never,
            () = shutdown.triggered() => Ok(()),
        }
    }
}
