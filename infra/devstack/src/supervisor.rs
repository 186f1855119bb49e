use std::process::ExitStatus;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Service, ServiceSpec, console};

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A process that ran this long starts with the first delay again.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// What EVP's binaries exit with when their configuration is wrong: trying again cannot help.
const EXIT_CONFIGURATION: i32 = 64;

/// Keeps processes running: one that ends is started again, with growing delays, and a line on
/// stdout says so.
#[derive(Debug)]
pub struct Supervisor {
    kept: Vec<Kept>,
    tasks: JoinSet<Option<GaveUp>>,
    stop: watch::Sender<Option<Duration>>,
}

#[derive(Debug)]
struct Kept {
    name: String,
    pid: watch::Receiver<Option<u32>>,
}

/// A process that is not started again, because it says its configuration is wrong (exit code 64).
#[derive(Debug, Clone)]
pub struct GaveUp {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// Keeps nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            kept: Vec::new(),
            tasks: JoinSet::new(),
            stop: watch::Sender::new(None),
        }
    }

    /// Starts a process and keeps it running until [`Self::stop`] or drop.
    pub fn keep(&mut self, spec: ServiceSpec) {
        let (pid_tx, pid) = watch::channel(None);
        self.kept.push(Kept {
            name: spec.name.clone(),
            pid,
        });
        self.tasks.spawn(keep(spec, pid_tx, self.stop.subscribe()));
    }

    /// Names and process ids, in the order they were added; `None` while one is not running.
    #[must_use]
    pub fn pids(&self) -> Vec<(String, Option<u32>)> {
        self.kept
            .iter()
            .map(|kept| (kept.name.clone(), *kept.pid.borrow()))
            .collect()
    }

    /// Waits until a process is given up; for ever while all are kept.
    ///
    /// # Cancel safety
    /// Safe: a process given up is reported once, to whoever waits then.
    pub async fn gave_up(&mut self) -> GaveUp {
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Some(gave_up)) = ended {
                return gave_up;
            }
        }
        std::future::pending().await
    }

    /// Ends all processes at once with SIGTERM; kills those that have not ended within `grace`.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs one process until it is told to stop or is given up.
async fn keep(
    spec: ServiceSpec,
    pid: watch::Sender<Option<u32>>,
    mut stop: watch::Receiver<Option<Duration>>,
) -> Option<GaveUp> {
    let mut backoff = Backoff::default();
    loop {
        let ended = match Service::start(spec.clone()) {
            Err(error) => error.to_string(),
            Ok(mut service) => {
                pid.send_replace(service.pid());
                let status = tokio::select! {
                    grace = stopped(&mut stop) => {
                        service.term(grace).await;
                        return None;
                    }
                    status = end_of(&mut service, &mut backoff) => status,
                };
                pid.send_replace(None);
                // Its children, if it left any, must not meet the next one.
                service.kill().await;
                match status {
                    Ok(status) if status.code() == Some(EXIT_CONFIGURATION) => {
                        return Some(GaveUp {
                            name: spec.name,
                            status,
                        });
                    }
                    Ok(status) => format!(
                        "{} ended with {status}{}",
                        spec.name,
                        said(&service, status)
                    ),
                    Err(error) => format!("{} cannot be waited for: {error}", spec.name),
                }
            }
        };
        let delay = backoff.next();
        let again = format!("{ended}; it is started again in {} ms", delay.as_millis());
        console::say("devstack", &again);
        tokio::select! {
            _ = stopped(&mut stop) => return None,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

async fn end_of(service: &mut Service, backoff: &mut Backoff) -> std::io::Result<ExitStatus> {
    match tokio::time::timeout(STABLE_AFTER, service.wait()).await {
        Ok(status) => status,
        Err(_) => {
            *backoff = Backoff::default();
            service.wait().await
        }
    }
}

/// The last words of a process that ended by itself; one that was killed had no reason to give.
fn said(service: &Service, status: ExitStatus) -> String {
    let last = status.code().and_then(|_| service.log_tail().0.pop());
    last.map(|line| format!(" ({line})")).unwrap_or_default()
}

/// Waits for the order to stop and returns its grace; without a supervisor there is none.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(grace) => grace.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// Delays that double from the first to the longest.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_FIRST)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(BACKOFF_MAX);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(
            delays,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
        );
    }
}
