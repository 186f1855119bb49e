use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use evp_devstack::{Output, Service, ServiceSpec};
use reqwest::Client;
use serde::Deserialize;

use crate::patience::until;

/// Above `shutdown.grace`, so that a service that does not end by itself is told from one that
/// is slow.
const TERM_GRACE: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const LOG_TAIL_LINES: usize = 25;

/// One process of one of the services.
#[derive(Debug)]
pub struct Node {
    service: Service,
    log: PathBuf,
    public: u16,
    admin: u16,
    http: Client,
}

/// The answer of `/readyz`.
#[derive(Debug, Deserialize)]
pub struct Readiness {
    /// Whether it should get traffic.
    pub ready: bool,
    reasons: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    name: String,
}

impl Readiness {
    /// Whether `name` is among what speaks against it.
    #[must_use]
    pub fn blames(&self, name: &str) -> bool {
        self.reasons.iter().any(|reason| reason.name == name)
    }
}

impl Node {
    /// Starts the process; does not wait until it is ready.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub(crate) fn start(
        spec: ServiceSpec,
        log: PathBuf,
        (public, admin): (u16, u16),
        http: Client,
    ) -> Result<Self> {
        Ok(Self {
            service: Service::start(spec)?,
            log,
            public,
            admin,
            http,
        })
    }

    /// Name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.service.spec().name
    }

    /// Its process id; `None` when it is known to have ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.service.pid()
    }

    /// Start of the URLs of its public port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.public)
    }

    /// Start of the URLs of its admin port.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin)
    }

    /// Its admin port.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) {
        self.service.kill().await;
    }

    /// Starts it again as it was; does not wait until it is ready.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub async fn restart(&mut self) -> Result<()> {
        Ok(self.service.restart().await?)
    }

    /// Kills it and starts it again with `name` set to `value`; does not wait until it is ready.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub async fn restart_with(&mut self, name: &str, value: &str) -> Result<()> {
        self.service.kill().await;
        let spec = self.service.spec().clone().env(name, value);
        self.service = Service::start(spec)?;
        Ok(())
    }

    /// Starts `program` in its place once it has ended, configured as it was; does not wait until it is
    /// ready.
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn restart_as(&mut self, program: PathBuf) -> Result<()> {
        let mut spec = self.service.spec().clone();
        spec.program = program;
        self.service = Service::start(spec)?;
        Ok(())
    }

    /// Runs a command of its binary, configured as it is; what it wrote.
    ///
    /// # Errors
    /// It did not end well; with what it wrote.
    pub async fn command(&self, args: &[&str]) -> Result<String> {
        let log = self.command_log();
        let status = self.begin(args)?.wait().await?;
        if !status.success() {
            bail!("{args:?} ended with {status}\n{}", tail(&log));
        }
        Ok(std::fs::read_to_string(&log)?)
    }

    /// Begins such a command, which writes to [`Self::command_log`].
    ///
    /// # Errors
    /// The binary cannot be run.
    pub fn begin(&self, args: &[&str]) -> Result<Service> {
        // Output is added to what is there.
        std::fs::remove_file(self.command_log()).ok();
        let spec = self.service.spec().clone().args(args.iter().copied());
        Ok(Service::start(
            spec.output(Output::File(self.command_log())),
        )?)
    }

    /// Where the last command writes to.
    #[must_use]
    pub fn command_log(&self) -> PathBuf {
        self.log.with_extension("command.log")
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// It was not running.
    pub async fn term(&mut self) -> Result<ExitStatus> {
        let ended = self.service.term(TERM_GRACE).await;
        ended.with_context(|| format!("{} did not run", self.name()))
    }

    /// Stops it where it is (SIGSTOP).
    pub fn pause(&self) {
        self.service.pause();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.service.resume();
    }

    /// What `/readyz` answers; `None` without an answer.
    pub async fn readiness(&self) -> Option<Readiness> {
        let url = format!("{}/readyz", self.admin_url());
        let asked = self.http.get(url).timeout(PROBE_TIMEOUT).send().await;
        asked.ok()?.json().await.ok()
    }

    /// Whether it is not ready, and `name` is among the reasons.
    pub async fn blames(&self, name: &str) -> bool {
        let readiness = self.readiness().await;
        readiness.is_some_and(|readiness| readiness.blames(name))
    }

    /// Waits until it says that `server` is away.
    ///
    /// # Errors
    /// It did not in time.
    pub async fn await_blame(&self, server: &str) -> Result<()> {
        let what = format!("{} says that {server} is away", self.name());
        until(&what, async || self.blames(server).await).await
    }

    /// Has it read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        self.service.hang_up();
    }

    /// The sum of a metric over its labels, as its admin port has it; zero when it has none.
    ///
    /// # Errors
    /// No answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        Ok(sum_of(&self.metrics_text().await?, name))
    }

    /// All metrics of its admin port.
    ///
    /// # Errors
    /// No answer.
    pub async fn metrics_text(&self) -> Result<String> {
        let url = format!("{}/metrics", self.admin_url());
        let asked = self.http.get(url).timeout(PROBE_TIMEOUT).send().await?;
        Ok(asked.text().await?)
    }

    /// The port of its HTTP contract.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.public
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with the end of its log.
    pub async fn await_ready(&mut self) -> Result<()> {
        let name = self.name().to_owned();
        let (admin, http) = (self.admin, self.http.clone());
        let ready = until("it is ready", async || {
            let url = format!("http://127.0.0.1:{admin}/readyz");
            let asked = http.get(url).timeout(PROBE_TIMEOUT).send().await;
            asked.is_ok_and(|answer| answer.status().is_success())
        });
        let outcome = tokio::select! {
            ready = ready => ready,
            status = self.service.wait() => match status {
                Ok(status) => Err(anyhow::anyhow!("it ended with {status}")),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = outcome {
            bail!("{name} is not ready: {error:#}\n{}", self.log_tail());
        }
        Ok(())
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

/// Sum of the samples of `name` in a text of Prometheus' format.
fn sum_of(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let of_name = samples.filter(|rest| rest.starts_with([' ', '{']));
    of_name
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LOG_TAIL_LINES);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a x\na{p=\"0\"} 1\na{p=\"1\"} 2.5\na_total 7\nb 4\n";
        assert_eq!(
            (sum_of(text, "a"), sum_of(text, "b"), sum_of(text, "c")),
            (3.5, 4.0, 0.0)
        );
    }
}
