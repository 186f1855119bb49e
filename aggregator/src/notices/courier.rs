//! Takes notices to people. Nobody waits for it: what a receiver does not take in time is given up, and
//! what no room is left for is dropped, or no time at the end; all are counted, and the log has their text.

use std::convert::Infallible;
use std::time::Duration;

use evp_shared::shutdown::Shutdown;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lettre::message::Mailbox;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::notice::Notice;
use super::webhook::Webhook;
use crate::config::mail::{MailConfig, mailbox};
use crate::config::notices::NoticesConfig;
use crate::mail::Sender;
use crate::metrics::{NoticeChannel, NoticeMetrics, NoticeOutcome};

/// Longest one try may take, and all that wait once the service ends.
const TRY_MAX: Duration = Duration::from_secs(5);

/// Waits after the first tries; the last one is behind them.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Notices that wait for a channel. Seven sources tell at most one a minute each.
const WAITING_MAX: usize = 16;

/// Where notices go.
#[derive(Debug)]
pub struct Channels {
    open: Vec<(NoticeChannel, mpsc::Sender<Notice>)>,
    metrics: NoticeMetrics,
}

/// Takes notices along one channel.
#[derive(Debug)]
pub struct Courier {
    way: Way,
    waiting: mpsc::Receiver<Notice>,
    metrics: NoticeMetrics,
}

#[derive(Debug)]
enum Way {
    Webhook(Box<Webhook>),
    Mail(Box<Sender>, Vec<Mailbox>),
}

impl Channels {
    /// Those that are configured, and who serves them.
    pub fn new(config: &NoticesConfig, mail: &MailConfig) -> (Self, Vec<Courier>) {
        let metrics = NoticeMetrics::resolve();
        let to = config.mail_to.iter().filter_map(|one| mailbox(one));
        let to: Vec<Mailbox> = to.collect();
        let sender = Sender::new(mail, TRY_MAX).filter(|_| !to.is_empty());
        let webhook = Webhook::new(config, TRY_MAX).map(|webhook| Way::Webhook(webhook.into()));
        let mail = sender.map(|sender| Way::Mail(sender.into(), to));
        let (open, couriers) = [webhook, mail]
            .into_iter()
            .flatten()
            .map(|way| {
                let (sender, waiting) = mpsc::channel(WAITING_MAX);
                let metrics = metrics.clone();
                let channel = way.channel();
                (
                    (channel, sender),
                    Courier {
                        way,
                        waiting,
                        metrics,
                    },
                )
            })
            .unzip();
        (Self { open, metrics }, couriers)
    }

    /// Has it told on all of them, where there is room; without any it is a line of the log.
    pub fn tell(&self, notice: Notice) {
        if self.open.is_empty() {
            let (source, state) = (notice.source.as_str(), notice.state.as_str());
            let (text, runbook) = (notice.text(), notice.runbook());
            tracing::warn!(source, state, text, runbook, "notice");
            self.metrics.count(NoticeChannel::Log, NoticeOutcome::Sent);
        }
        for (channel, sender) in &self.open {
            if sender.try_send(notice).is_err() {
                self.metrics.count(*channel, NoticeOutcome::Dropped);
                give_up(*channel, &notice, "too many wait for it");
            }
        }
    }
}

/// Serves all couriers until the shutdown: the first ones, and those that a changed configuration brings. One
/// whose channel is open no more ends by itself, once nothing waits for it.
///
/// # Errors
/// None: the type is what a task set asks for.
pub async fn serve(
    first: Vec<Courier>,
    mut more: mpsc::Receiver<Vec<Courier>>,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let run = |courier: Courier| courier.run(shutdown.clone());
    let mut running: FuturesUnordered<_> = first.into_iter().map(run).collect();
    loop {
        tokio::select! {
            Some(couriers) = more.recv() => running.extend(couriers.into_iter().map(run)),
            Some(()) = running.next() => {}
            () = shutdown.triggered() => break,
        }
    }
    running.collect::<()>().await;
    Ok(())
}

impl Courier {
    /// Serves until the shutdown, and then what waits for it.
    async fn run(mut self, shutdown: Shutdown) {
        let over = async {
            shutdown.triggered().await;
            sleep(TRY_MAX).await;
        };
        let over = over.shared();
        while let Some(notice) = self.next(&shutdown).await {
            let channel = self.way.channel();
            let outcome = tokio::select! {
                outcome = self.take(&notice) => outcome,
                () = over.clone() => {
                    give_up(channel, &notice, "the service ends");
                    NoticeOutcome::Dropped
                }
            };
            self.metrics.count(channel, outcome);
        }
    }

    async fn next(&mut self, shutdown: &Shutdown) -> Option<Notice> {
        tokio::select! {
            notice = self.waiting.recv() => return notice,
            () = shutdown.triggered() => self.waiting.close(),
        }
        self.waiting.recv().await
    }

    async fn take(&self, notice: &Notice) -> NoticeOutcome {
        let mut pauses = PAUSES.into_iter();
        loop {
            match (self.way.send(notice).await, pauses.next()) {
                (Ok(()), _) => return NoticeOutcome::Sent,
                (Err(_), Some(pause)) => sleep(pause).await,
                (Err(fault), None) => {
                    give_up(self.way.channel(), notice, &fault);
                    return NoticeOutcome::Failed;
                }
            }
        }
    }
}

impl Way {
    fn channel(&self) -> NoticeChannel {
        match self {
            Self::Webhook(_) => NoticeChannel::Webhook,
            Self::Mail(..) => NoticeChannel::Mail,
        }
    }

    /// Within [`TRY_MAX`].
    async fn send(&self, notice: &Notice) -> Result<(), String> {
        match self {
            Self::Webhook(webhook) => webhook.post(notice).await,
            Self::Mail(sender, to) => {
                let text = notice.text();
                let body = format!(
                    "{text}.\n\nWhat to do: docs/runbooks, {}\n",
                    notice.runbook()
                );
                sender.send(to, text, body).await
            }
        }
    }
}

fn give_up(channel: NoticeChannel, notice: &Notice, fault: &str) {
    let (channel, text) = (channel.as_str(), notice.text());
    tracing::warn!(channel, text, fault, "a notice was not told");
}

#[cfg(test)]
mod tests;
