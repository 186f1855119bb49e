//! How a service ends, and what its exit code says about it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use super::{Left, RunFailure};
use crate::config::EXIT_CODE;
use crate::shutdown::Shutdown;
use crate::tasks::{TaskError, TaskSet};

/// The service cuts what is left when the grace period is over; this is for the service that does
/// not even manage that.
const GRACE_SLACK: Duration = Duration::from_secs(1);

/// How a service ended.
pub(super) enum Ending<E> {
    Returned(Result<Left, E>),
    TaskDied(TaskError),
    GraceOver,
}

/// Waits for the service's own end, a death among the kit's tasks, or the end of the grace period.
pub(super) async fn watch<R, E>(
    run: R,
    tasks: &mut TaskSet,
    drain: &Shutdown,
    grace: Duration,
) -> Ending<E>
where
    R: Future<Output = Result<Left, E>>,
{
    let grace_over = async {
        drain.triggered().await;
        tokio::time::sleep(grace + GRACE_SLACK).await;
    };
    let task_died = async {
        match tasks.join().await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = run => Ending::Returned(result),
        error = task_died => Ending::TaskDied(error),
        () = grace_over => Ending::GraceOver,
    }
}

/// Logs how the service ended, and returns the exit code that says whether anything was left.
pub(super) fn report<E: RunFailure>(ending: Ending<E>) -> ExitCode {
    match ending {
        Ending::Returned(Ok(Left::NOTHING)) => {
            tracing::info!("drained, nothing left");
            return ExitCode::SUCCESS;
        }
        Ending::Returned(Ok(Left(left))) => {
            tracing::warn!(left, "ended before all was finished");
        }
        Ending::Returned(Err(error)) => {
            tracing::error!(error = %Chain(&error), "the service failed");
            if error.is_for_operator() {
                return ExitCode::from(EXIT_CODE);
            }
        }
        Ending::TaskDied(error) => tracing::error!(error = %Chain(&error), "the service failed"),
        Ending::GraceOver => tracing::warn!("the service did not end within the grace period"),
    }
    ExitCode::FAILURE
}

/// An error and its causes, each printing its own level only, in one line.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("x")]
    struct Failure {
        is_for_operator: bool,
    }

    impl RunFailure for Failure {
        fn is_for_operator(&self) -> bool {
            self.is_for_operator
        }
    }

    const GRACE: Duration = Duration::from_secs(10);

    async fn outcome_of<R>(
        run: R,
        tasks: &mut TaskSet,
        drain: &Shutdown,
    ) -> (&'static str, ExitCode)
    where
        R: Future<Output = Result<Left, Failure>>,
    {
        let ending = watch(run, tasks, drain, GRACE).await;
        let name = match &ending {
            Ending::Returned(Ok(_)) => "returned",
            Ending::Returned(Err(_)) => "failed",
            Ending::TaskDied(_) => "task died",
            Ending::GraceOver => "grace over",
        };
        (name, report(ending))
    }

    #[tokio::test(start_paused = true)]
    async fn the_exit_code_says_whether_anything_was_left() {
        let (mut tasks, drain) = (TaskSet::new(), Shutdown::new());
        let failed = |is_for_operator| Err(Failure { is_for_operator });
        let table = [
            (Ok(Left::NOTHING), ("returned", ExitCode::SUCCESS)),
            (Ok(Left(3)), ("returned", ExitCode::FAILURE)),
            (failed(false), ("failed", ExitCode::FAILURE)),
            (failed(true), ("failed", ExitCode::from(64))),
        ];
        for (result, expected) in table {
            let outcome = outcome_of(async { result }, &mut tasks, &drain).await;
            assert_eq!(format!("{outcome:?}"), format!("{expected:?}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_drain_is_ended() {
        let (mut tasks, drain) = (TaskSet::new(), Shutdown::new());
        tasks.spawn("admin", async { Ok::<(), io::Error>(()) });
        drain.trigger();
        let (name, _) = outcome_of(std::future::pending(), &mut tasks, &drain).await;
        assert_eq!(name, "grace over");
    }

    #[tokio::test(start_paused = true)]
    async fn the_death_of_a_task_of_the_kit_ends_the_service() {
        let (mut tasks, drain) = (TaskSet::new(), Shutdown::new());
        tasks.spawn("admin", async { Err(io::Error::other("x")) });
        let (name, _) = outcome_of(std::future::pending(), &mut tasks, &drain).await;
        assert_eq!(name, "task died");
    }

    #[test]
    fn a_chain_shows_every_cause_once() {
        let error = super::super::StartError::System(io::Error::other("no more threads"));
        let text = Chain(&error).to_string();
        assert_eq!(
            text,
            "the operating system refuses what every service needs: no more threads"
        );
    }
}
