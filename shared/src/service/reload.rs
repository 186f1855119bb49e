//! A changed configuration taken over without a restart, on SIGHUP.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::signal::unix::Signal;

use super::{Chain, ServiceConfig};
use crate::config::{ConfigProblems, Setting, Source};
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
pub struct Reloads<C>(Arc<Mutex<Vec<Take<C>>>>);

impl<C> Reloads<C> {
    /// Has `take` take over what it wants of each good configuration that is read from now on: of keys
    /// that are declared to reload, no others.
    pub fn on(&self, take: impl Fn(&C) + Send + Sync + 'static) {
        self.0.lock().push(Box::new(take));
    }

    /// Has everybody take over what they want of `config`.
    pub fn hand_out(&self, config: &C) {
        self.0.lock().iter().for_each(|take| take(config));
    }
}

impl<C> Default for Reloads<C> {
    fn default() -> Self {
        Self(Arc::default())
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
            .field(&self.0.lock().len())
            .finish()
    }
}

/// A configuration that is good, and what it was made of.
pub(super) struct Read<C> {
    pub(super) config: C,
    pub(super) settings: Vec<Setting>,
}

/// Reads and judges everything.
pub(super) fn read<C: ServiceConfig>(file: Option<&Path>) -> Result<Read<C>, ConfigProblems> {
    let mut source = Source::load(file)?;
    let config = C::read(&mut source);
    let settings = source.settings().to_vec();
    let config = source.finish(config)?;
    Ok(Read { config, settings })
}

/// Reads the configuration again whenever it is told to.
pub(super) struct Reloader<C> {
    pub(super) file: Option<PathBuf>,
    /// What the keys in force were made of.
    pub(super) settings: Vec<Setting>,
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
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || read::<C>(file.as_deref()));
        match reading.await {
            Ok(Ok(found)) => {
                self.take(&found);
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
    fn take(&mut self, found: &Read<C>) {
        let (mut taken, mut left) = (BTreeSet::new(), BTreeSet::new());
        for (known, new) in self.settings.iter_mut().zip(&found.settings) {
            if known == new {
                continue;
            }
            if new.reloads {
                taken.insert(new.name);
                known.clone_from(new);
            } else {
                left.insert(new.name);
            }
        }
        telemetry::set_level(&found.config.process().log.level);
        self.reloads.hand_out(&found.config);
        let names = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join(", ");
        if !left.is_empty() {
            tracing::warn!(
                keys = names(left),
                "changed, and need a restart: they stay as they were"
            );
        }
        tracing::info!(keys = names(taken), "configuration reloaded");
    }
}
