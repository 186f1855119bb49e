//! Why the service ended.

use std::error::Error;

use evp_shared::service::RunFailure;
use evp_shared::tasks::TaskError;

/// Why the service ended otherwise than by an order it carried out.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The connection to Redis cannot be made as configured.
    #[error("redis.url cannot be used")]
    Redis(#[source] Box<dyn Error + Send + Sync>),
    /// Redis promises less than `redis.durability` says.
    #[error("redis keeps less than redis.durability declares: {}", .shortfalls.join("; "))]
    WeakRedis {
        /// What it lacks, each with the line that mends it.
        shortfalls: Vec<String>,
    },
    /// The frames in Redis were given their identity in another way.
    #[error(
        "redis holds frames of identity {stored:08x}, this service makes {own:08x}: \
         dedupe.identity and storage.salt_bits can change only with a new database"
    )]
    OtherIdentity {
        /// Fingerprint in Redis.
        stored: u32,
        /// Fingerprint of this service.
        own: u32,
    },
    /// The service was started without its public port.
    #[error("there is no public listener")]
    Listener,
    /// A task failed; that is a bug.
    #[error("a task failed")]
    Task(#[source] TaskError),
}

impl RunFailure for RunError {
    fn is_for_operator(&self) -> bool {
        match self {
            Self::Redis(_) | Self::WeakRedis { .. } | Self::OtherIdentity { .. } => true,
            Self::Listener | Self::Task(_) => false,
        }
    }
}

impl From<TaskError> for RunError {
    /// A task's error is the service's own where it is one, else a failed task.
    fn from(error: TaskError) -> Self {
        match error.into_cause::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::Task(other),
        }
    }
}
