//! Every task of a service: the few that run as long as it does, and the many short ones.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

mod pool;

pub use pool::{Slot, Spawner, TaskPool};

type Cause = Box<dyn Error + Send + Sync>;

/// The long-running tasks of a service, by name: the first that fails or panics ends them all.
///
/// Dropping the set aborts what still runs in it, so no task outlives its service.
#[derive(Debug, Default)]
pub struct TaskSet {
    running: JoinSet<Result<(), Cause>>,
    names: HashMap<Id, &'static str>,
}

/// A named task ended in a way that ends the service.
#[derive(Debug, thiserror::Error)]
#[error("task {name} {how}")]
pub struct TaskError {
    /// The name the task was spawned under.
    pub name: &'static str,
    how: String,
    #[source]
    source: Option<Cause>,
}

impl TaskError {
    /// The error that the task returned, where it is an `E`.
    ///
    /// # Errors
    /// This error again: the task panicked, or returned another.
    pub fn into_cause<E: Error + 'static>(mut self) -> Result<Box<E>, Self> {
        match self.source.take().map(|cause| cause.downcast::<E>()) {
            Some(Ok(cause)) => return Ok(cause),
            Some(Err(other)) => self.source = Some(other),
            None => {}
        }
        Err(self)
    }
}

impl TaskSet {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that lives as long as the service, or returns early because its work is done.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<E>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<Cause>,
    {
        let handle = self
            .running
            .spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Waits until every task has ended well, or the first one has not.
    ///
    /// # Errors
    /// The first task that failed or panicked; the others still run, and the caller orders the
    /// shutdown and may join again.
    ///
    /// # Cancel safety
    /// Safe: a task's end is taken from the set only when it is returned or was a success.
    pub async fn join(&mut self) -> Result<(), TaskError> {
        while let Some(ended) = self.running.join_next_with_id().await {
            let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            let name = self.names.remove(&id).unwrap_or("unnamed");
            let (how, source) = match ended {
                Ok((_, Ok(()))) => continue,
                Ok((_, Err(cause))) => ("failed".to_owned(), Some(cause)),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => (format!("panicked: {}", panic_message(&*panic)), None),
                    Err(_cancelled) => continue,
                },
            };
            return Err(TaskError { name, how, source });
        }
        Ok(())
    }

    /// As [`join`](Self::join), for at most `grace`; then aborts the rest and returns their names.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn join_within(&mut self, grace: Duration) -> Result<Vec<&'static str>, TaskError> {
        if let Ok(ended) = tokio::time::timeout(grace, self.join()).await {
            return ended.map(|()| Vec::new());
        }
        self.running.abort_all();
        Ok(self.names.drain().map(|(_, name)| name).collect())
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

/// Starts what ends only with the process (the signal listener), so nobody waits for it.
#[expect(
    clippy::disallowed_methods,
    reason = "ends with the process, and has nothing to report"
)]
pub(crate) fn spawn_for_process_life(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;

    use super::*;

    const OK: Result<(), io::Error> = Ok(());

    #[tokio::test]
    async fn joins_when_all_tasks_have_ended_well() {
        let mut tasks = TaskSet::new();
        tasks.spawn("one", async { OK });
        tasks.spawn("two", async { OK });
        assert!(tasks.join().await.is_ok());
    }

    #[tokio::test]
    async fn the_first_failure_is_returned_with_its_name_and_cause() {
        let mut tasks = TaskSet::new();
        tasks.spawn("endless", pending::<Result<(), io::Error>>());
        tasks.spawn("reader", async { Err(io::Error::other("gone")) });
        let error = tasks.join().await.unwrap_err();
        assert_eq!(
            (error.name, error.to_string().as_str()),
            ("reader", "task reader failed")
        );
        assert_eq!(error.source().unwrap().to_string(), "gone");
        assert!(!error.to_string().contains("panicked"), "{error}");
    }

    #[tokio::test]
    async fn a_panic_names_its_task() {
        let mut tasks = TaskSet::new();
        tasks.spawn("batcher", async {
            let limit = 3;
            if limit > 2 {
                panic!("limit is {limit}");
            }
            OK
        });
        let error = tasks.join().await.unwrap_err();
        assert_eq!(error.to_string(), "task batcher panicked: limit is 3");
        assert!(error.to_string().contains("panicked"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_overstays_the_grace_period_is_named_and_aborted() {
        let mut tasks = TaskSet::new();
        tasks.spawn("quick", async { OK });
        tasks.spawn("stuck", pending::<Result<(), io::Error>>());
        assert_eq!(
            tasks.join_within(Duration::from_secs(1)).await.unwrap(),
            ["stuck"]
        );
        assert!(tasks.join().await.is_ok());
    }
}
