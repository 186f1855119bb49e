//! Short tasks, such as one per connection: bounded in number, waited for, cut after the grace.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Either;
use metrics::{Counter, counter, describe_counter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::panic_message;
use crate::request::RequestId;

const PANICS: &str = "evp_task_panics_total";

/// Runs at most `bound` short tasks at once; clones share one pool.
///
/// A task gets in with a [`Slot`], so a full pool is seen *before* the work is taken on.
#[derive(Debug, Clone)]
pub struct TaskPool {
    slots: Arc<Semaphore>,
    spawner: Spawner,
}

/// Room for one task in a [`TaskPool`]; dropped unused, the room is free again.
#[derive(Debug)]
pub struct Slot {
    permit: OwnedSemaphorePermit,
    spawner: Spawner,
}

/// Starts tasks that a pool waits for but does not bound: HTTP/2 streams, whose number hyper
/// bounds for each connection.
#[derive(Debug, Clone)]
pub struct Spawner {
    tracker: TaskTracker,
    cut: CancellationToken,
    /// What its tasks are called in metrics and logs.
    task: &'static str,
    panics: Counter,
    panicked: Arc<AtomicU64>,
}

impl TaskPool {
    /// Creates a pool with room for `bound` tasks; `task` names them in metrics and logs.
    pub fn new(task: &'static str, bound: usize) -> Self {
        describe_counter!(PANICS, "Short tasks that panicked.");
        Self {
            slots: Arc::new(Semaphore::new(bound.min(Semaphore::MAX_PERMITS))),
            spawner: Spawner {
                tracker: TaskTracker::new(),
                cut: CancellationToken::new(),
                task,
                panics: counter!(PANICS, "task" => task),
                panicked: Arc::default(),
            },
        }
    }

    /// Takes a slot if there is one.
    pub fn try_slot(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let spawner = self.spawner.clone();
        Some(Slot { permit, spawner })
    }

    /// Returns the handle that starts unbounded but tracked tasks.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// How many tasks run at this moment.
    pub fn running(&self) -> usize {
        self.spawner.tracker.len()
    }

    /// Waits until no task runs, for at most `grace`; then drops the rest where they stand and
    /// returns how many that were. The pool takes no task afterwards.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.spawner.tracker.close();
        if tokio::time::timeout(grace, self.spawner.tracker.wait())
            .await
            .is_ok()
        {
            return 0;
        }
        let left = self.running();
        self.spawner.cut.cancel();
        self.spawner.tracker.wait().await;
        left
    }
}

impl Slot {
    /// Starts the task, as part of the request that asks for it; the slot is free again when it ends.
    ///
    /// The handle gives its result; dropping the handle leaves the task running and tracked.
    /// `None` is the result of a task that was cut by [`TaskPool::drain`].
    pub fn spawn<T: Send + 'static>(
        self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let Self { permit, spawner } = self;
        // Every future around it would hold it twice, as it was given and as it is polled: a
        // connection of 1.6 KB became a task of 13 KB.
        let task = Box::pin(task);
        let task = match RequestId::current() {
            Some(request) => Either::Left(request.scope(task)),
            None => Either::Right(task),
        };
        spawner.start(async move {
            let result = task.await;
            drop(permit);
            result
        })
    }
}

impl Spawner {
    fn start<T: Send + 'static>(
        self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let (tracker, cut) = (self.tracker.clone(), self.cut.child_token());
        let task = AssertUnwindSafe(task).catch_unwind();
        tracker.spawn(async move {
            match cut.run_until_cancelled_owned(task).await? {
                Ok(result) => Some(result),
                Err(payload) => self.pass_on(payload),
            }
        })
    }

    /// Counts and logs a panic, whose handle nobody need wait for, and goes on panicking: the task's
    /// handle gives it to who waits for it.
    fn pass_on(&self, payload: Box<dyn Any + Send>) -> ! {
        self.panics.increment(1);
        let panics = self.panicked.fetch_add(1, Ordering::Relaxed) + 1;
        // A client may be able to make many: they show in ever fewer lines.
        if panics.is_power_of_two() {
            let message = panic_message(payload.as_ref());
            tracing::error!(task = self.task, panics, message, "a task panicked");
        }
        resume_unwind(payload)
    }
}

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.clone().start(task));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_full_pool_refuses_until_a_task_ends() {
        let pool = TaskPool::new("test", 1);
        let slot = pool.try_slot().unwrap();
        assert!(pool.try_slot().is_none());
        let task = slot.spawn(async { 7 });
        assert_eq!(task.await.unwrap(), Some(7));
        assert!(pool.try_slot().is_some());
    }

    #[tokio::test]
    async fn a_slot_dropped_unused_is_free_again() {
        let pool = TaskPool::new("test", 1);
        drop(pool.try_slot().unwrap());
        assert!(pool.try_slot().is_some());
        assert_eq!(pool.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_tasks_and_cuts_those_that_overstay() {
        let pool = TaskPool::new("test", 3);
        let second = Duration::from_secs(1);
        drop(pool.try_slot().unwrap().spawn(tokio::time::sleep(second)));
        let stuck = pool.try_slot().unwrap().spawn(pending::<()>());
        assert_eq!(pool.running(), 2);
        assert_eq!(pool.drain(2 * second).await, 1);
        assert_eq!(stuck.await.unwrap(), None);
        assert_eq!(pool.running(), 0);
    }
}
