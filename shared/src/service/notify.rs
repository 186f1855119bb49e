//! What systemd hears of a service that it started with `Type=notify`: that it is ready, what keeps it
//! from being so, and that no loop of it hangs.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use sd_notify::NotifyState;

use crate::health::Health;
use crate::shutdown::Shutdown;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks within the time after which systemd gives a service up.
const LOOKS: u32 = 3;

/// Tells until `closing`; does nothing where nobody asks (`NOTIFY_SOCKET`).
///
/// # Errors
/// None: the type is what a task set asks for.
pub(super) async fn keep(health: Health, closing: Shutdown) -> Result<(), Infallible> {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return Ok(());
    }
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(LOOK_EVERY, |within| (within / LOOKS).min(LOOK_EVERY));
    let mut looks = closing.every(every.max(Duration::from_millis(1)));
    let mut told = Told::default();
    let mut failed = false;
    while looks.next().await.is_some() {
        let news = told.news(&health, watchdog.is_some());
        if news.is_empty() {
            continue;
        }
        let heard = sd_notify::notify(&news);
        if let Err(error) = &heard {
            // All of it again: a watchdog that hears nothing more ends a service that works.
            told = Told::default();
            if !failed {
                warn(error);
            }
        }
        failed = heard.is_err();
    }
    Ok(())
}

/// Says that it has begun to stop, and may take `shutdown.delay` and `shutdown.grace`.
pub(super) fn stopping() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Stopping]) {
        warn(&error);
    }
}

fn warn(error: &std::io::Error) {
    tracing::warn!(%error, "the service manager cannot be told");
}

/// What was said already.
#[derive(Debug, Default)]
struct Told {
    was_ready: bool,
    status: String,
}

impl Told {
    fn news(&mut self, health: &Health, is_watched: bool) -> Vec<NotifyState<'_>> {
        let readiness = health.readiness();
        let mut news = Vec::new();
        if readiness.ready && !self.was_ready {
            self.was_ready = true;
            news.push(NotifyState::Ready);
        }
        if is_watched && !health.hangs() {
            news.push(NotifyState::Watchdog);
        }
        let names: Vec<&str> = readiness.reasons.iter().map(|one| one.name).collect();
        let status = if readiness.ready {
            "ready".to_owned()
        } else {
            format!("not ready: {}", names.join(", "))
        };
        if status != self.status {
            self.status = status;
            news.push(NotifyState::Status(&self.status));
        }
        news
    }
}
