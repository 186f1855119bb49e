//! Why the service ended.

use std::process::ExitCode;

use evp_shared::config::{ConfigProblems, EXIT_CODE};
use evp_shared::tasks::TaskError;
use evp_shared::telemetry::TelemetryError;

/// Why the service ended otherwise than by an order it carried out in full.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(ConfigProblems),
    /// A listener cannot be had.
    #[error(
        "{key}: cannot listen on {address}: another process has it, or it is not this machine's"
    )]
    Bind {
        /// The configuration key of the address.
        key: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The URL of Redis is malformed.
    #[error("redis.url cannot be used: write redis://host:6379")]
    RedisUrl,
    /// Redis promises less than `redis.durability` says.
    #[error("{}", .shortfalls.join("\n"))]
    WeakRedis {
        /// What it lacks, each with the line that mends it.
        shortfalls: Vec<String>,
    },
    /// Telemetry cannot be set up.
    #[error("telemetry cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// Signals cannot be listened to.
    #[error("signals cannot be listened to")]
    Signals(#[source] std::io::Error),
    /// A task failed; that is a bug.
    #[error("a task failed")]
    Task(#[source] TaskError),
    /// The grace period was over before everything was answered.
    #[error("the grace period ended with {requests} requests unanswered")]
    Unfinished {
        /// Requests whose clients got no answer.
        requests: usize,
    },
    /// The grace period was over before every task had ended.
    #[error("the grace period ended before {} did", .tasks.join(", "))]
    Overstayed {
        /// Tasks that were cut.
        tasks: Vec<&'static str>,
    },
}

impl RunError {
    /// The exit code: 64 for what the operator has to mend before a restart makes sense, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Bind { .. } | Self::RedisUrl | Self::WeakRedis { .. } => {
                ExitCode::from(EXIT_CODE)
            }
            Self::Telemetry(_)
            | Self::Signals(_)
            | Self::Task(_)
            | Self::Unfinished { .. }
            | Self::Overstayed { .. } => ExitCode::FAILURE,
        }
    }
}

impl From<TaskError> for RunError {
    /// A task's error is the service's own where it is one, else a failed task.
    fn from(error: TaskError) -> Self {
        let own = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        match own {
            Some(Self::WeakRedis { shortfalls }) => Self::WeakRedis {
                shortfalls: shortfalls.clone(),
            },
            Some(Self::Unfinished { requests }) => Self::Unfinished {
                requests: *requests,
            },
            _ => Self::Task(error),
        }
    }
}
