//! A changed configuration taken over without a restart, on SIGHUP.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::signal::unix::Signal;

use super::{Chain, ServiceConfig};
use crate::config::{Change, ConfigProblems, Settings, Source};
use crate::metric_table;
use crate::shutdown::Shutdown;
use crate::telemetry;

metric_table! {
    struct Metrics {
        gauge "evp_config_reload_success"
            "1 while the configuration read last is in force, 0 when it was wrong." [] success;
    }
}

type Take<C> = Box<dyn Fn(&C) + Send + Sync>;

/// Who takes over what of a configuration that is read again; clones share the list.
pub struct Reloads<C>(Arc<Mutex<List<C>>>);

struct List<C> {
    takers: Vec<Take<C>>,
    /// What was handed out last.
    last: Option<C>,
}

impl<C> Reloads<C> {
    /// Has `take` take over what it wants of each configuration that comes into force: of the one that
    /// was read while the service was starting at once.
    pub fn on(&self, take: impl Fn(&C) + Send + Sync + 'static) {
        let mut list = self.0.lock();
        list.last.iter().for_each(&take);
        list.takers.push(Box::new(take));
    }

    /// Has everybody take over what they want of `config`: in it only keys that reload have changed.
    pub fn hand_out(&self, config: C) {
        let mut list = self.0.lock();
        list.takers.iter().for_each(|take| take(&config));
        list.last = Some(config);
    }
}

impl<C> Default for Reloads<C> {
    fn default() -> Self {
        let (takers, last) = (Vec::new(), None);
        Self(Arc::new(Mutex::new(List { takers, last })))
    }
}

impl<C> Clone for Reloads<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Reloads<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloads")
            .field(&self.0.lock().takers.len())
            .finish()
    }
}

/// A configuration that is good, and what it was made of.
pub(super) struct Read<C> {
    pub(super) config: C,
    pub(super) settings: Settings,
}

/// Reads and judges everything.
pub(super) fn read<C: ServiceConfig>(file: Option<&Path>) -> Result<Read<C>, ConfigProblems> {
    judge(Source::load(file)?)
}

/// As [`read`], and judges what comes into force of it too: keys that reload and keys that do not may
/// contradict each other where neither configuration does.
fn read_again<C: ServiceConfig>(
    file: Option<&Path>,
    known: &Settings,
) -> Result<(C, Change), ConfigProblems> {
    let found: Read<C> = read(file)?;
    let change = known.taking_over(&found.settings);
    let in_force: Read<C> = judge(Source::from(&change.settings)).inspect_err(|_| {
        let keys = names(&change.left);
        tracing::error!(keys, "what reloads contradicts keys that need a restart");
    })?;
    Ok((in_force.config, change))
}

fn judge<C: ServiceConfig>(mut source: Source) -> Result<Read<C>, ConfigProblems> {
    let config = C::read(&mut source);
    let settings = source.settings();
    let config = source.finish(config)?;
    Ok(Read { config, settings })
}

/// Reads the configuration again whenever it is told to.
pub(super) struct Reloader<C> {
    pub(super) file: Option<PathBuf>,
    /// What the keys in force were made of.
    pub(super) settings: Settings,
    pub(super) reloads: Reloads<C>,
}

impl<C: ServiceConfig> Reloader<C> {
    /// Works until the shutdown.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    pub(super) async fn run(
        mut self,
        mut signals: Signal,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        let metrics = Metrics::resolve();
        metrics.success.set(1);
        loop {
            tokio::select! {
                _ = signals.recv() => metrics.success.set(u8::from(self.reload().await)),
                () = shutdown.triggered() => return Ok(()),
            }
        }
    }

    async fn reload(&mut self) -> bool {
        let (file, known) = (self.file.clone(), self.settings.clone());
        let read = move || read_again::<C>(file.as_deref(), &known);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok((config, change))) => {
                self.take(config, change);
                true
            }
            Ok(Err(problems)) => {
                tracing::error!(error = %Chain(&problems), "not reloaded, all stays as it was");
                false
            }
            Err(error) => {
                tracing::error!(%error, "not reloaded, all stays as it was");
                false
            }
        }
    }

    /// Takes over the keys that reload. The others stay as they were, and are named each time.
    fn take(&mut self, config: C, change: Change) {
        telemetry::set_level(&config.process().log.level);
        self.reloads.hand_out(config);
        self.settings = change.settings;
        if !change.left.is_empty() {
            let keys = names(&change.left);
            tracing::warn!(keys, "changed, and need a restart: they stay as they were");
        }
        tracing::info!(keys = names(&change.taken), "configuration reloaded");
    }
}

fn names(keys: &BTreeSet<&str>) -> String {
    keys.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
