//! Hands on a canary every now and then: an event that goes the way of all others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use evp_shared::canary::{self, CanaryId};
use evp_shared::shutdown::Shutdown;
use evp_shared::tasks::TaskSet;
use futures::StreamExt as _;

use crate::admission::{self, ShedReason};
use crate::append::submission::Sending;
use crate::decode::{DecodeContext, DecodedRequest, Decoder, Format};
use crate::http::context::Context;
use crate::http::route;
use crate::outcome::AppendOutcome;
use crate::sender::Sender;

/// The canaries of this ingest.
#[derive(Debug)]
pub(crate) struct Canary {
    app: Arc<Context>,
    interval: Duration,
    next: CanaryId,
}

impl Canary {
    /// Starts them, as configured, until `stop`: no longer than requests are taken, as it is one of those
    /// who submit.
    pub(crate) fn spawn(app: &Arc<Context>, tasks: &mut TaskSet, stop: &Shutdown) {
        if let Some(interval) = app.config.canary.interval {
            let canary = Self {
                app: Arc::clone(app),
                interval,
                next: CanaryId::first(),
            };
            tasks.spawn("canary", canary.run(stop.clone()));
        }
    }

    /// Works until the shutdown, which does not wait for one that is under way: as a client that leaves.
    ///
    /// # Errors
    /// None: the type is what a task set asks for.
    async fn run(mut self, stop: Shutdown) -> Result<(), Infallible> {
        let mut ticks = stop.every(self.interval);
        let mut failures = 0_u32;
        while ticks.next().await.is_some() {
            let sent = tokio::select! {
                sent = self.send() => sent,
                () = stop.triggered() => return Ok(()),
            };
            self.next.number += u64::from(sent.is_ok());
            failures = tell(sent, failures);
        }
        Ok(())
    }

    /// Sends the next one.
    ///
    /// # Errors
    /// Why it is not known to be appended. One that may be is sent again, with its number.
    async fn send(&self) -> Result<(), &'static str> {
        let (app, now_ms) = (&*self.app, self.app.clock.now_ms());
        let load = app.load.snapshot(now_ms);
        admission::decide(&load, &app.limits()).map_err(ShedReason::as_str)?;
        let request = self
            .request(now_ms)
            .ok_or("the configuration takes no such event")?;
        let mut reserved = app.load.reserve();
        reserved.set(request.held_bytes());
        let sending = Sending {
            sender: Sender::canary(),
            taken_ms: now_ms,
        };
        let handed_on = route::hand_on(app, sending, Arc::new(request), reserved);
        match handed_on.await {
            Ok((AppendOutcome::Appended, _)) => Ok(()),
            Ok((outcome, _)) => Err(outcome.as_str()),
            Err(_) => Err(ShedReason::QueueFull.as_str()),
        }
    }

    /// As a client would send it; `None` where the configuration takes no such event.
    fn request(&self, now_ms: u64) -> Option<DecodedRequest> {
        let app = &*self.app;
        let ctx = DecodeContext {
            tenant: canary::TENANT,
            now_ms,
            identity: &app.identity,
            limits: app.config.body,
            rules: app.config.rules,
            idempotency_key: None,
            floor_ms: app.load.floor_ms(),
            types: &[],
        };
        let (kind, id) = (canary::EVENT_TYPE, &self.next);
        let body = format!(r#"{{"type":"{kind}","eventId":"{id}","timestamp":{now_ms}}}"#);
        let decoded = Decoder::default().decode(body.as_bytes(), Format::Json, &ctx);
        decoded
            .ok()
            .filter(|request| !request.batch.events.is_empty())
    }
}

/// Whoever asks why canaries are late finds here whether they were sent, unless it was one alone: the first
/// one comes before Redis has answered. Returns how many have failed in a row.
fn tell(sent: Result<(), &str>, failures: u32) -> u32 {
    match (sent, failures) {
        (Err(reason), 1) => tracing::warn!(reason, "canaries are not sent"),
        (Ok(()), 2..) => tracing::info!("canaries are sent again"),
        _ => {}
    }
    sent.map_or_else(|_| failures.saturating_add(1), |()| 0)
}
