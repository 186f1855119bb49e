//! The metric frames of the feed: every second, read once and written once for all clients.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use serde::Serialize;

use super::Feed;
use crate::auth::Tenant;
use crate::counts::{LastMinute, Reading, TypeCount};

const EVERY: Duration = Duration::from_secs(1);

/// Types a frame names; the rest is `__other__`.
const NAMED_TYPES_MAX: usize = 50;

/// Tenants whose last minute is read in one round; more take turns. Source: one of 20
/// types takes Redis 0.64 ms, so that all of a round are 4 % of its time.
const TENANTS_A_ROUND: usize = 64;

/// What clients of each tenant are told of the last minute, as JSON.
#[derive(Debug, Default)]
pub struct Minute(HashMap<Tenant, Bytes>);

/// The data of a metric frame.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MinuteFrame {
    /// Unix ms.
    as_of: u64,
    /// Events of the last whole second.
    per_second: i64,
    total_events_last_minute: i64,
    by_type: Vec<TypeCount>,
}

impl Minute {
    /// What clients of `tenant` are told; nothing where it was not its turn.
    pub fn text(&self, tenant: &Tenant) -> Option<&Bytes> {
        self.0.get(tenant)
    }
}

impl From<Reading<LastMinute>> for MinuteFrame {
    fn from(reading: Reading<LastMinute>) -> Self {
        let LastMinute { all, last_second } = reading.value;
        Self {
            as_of: reading.as_of_ms,
            per_second: last_second.total(),
            total_events_last_minute: all.total(),
            by_type: all.ranked(NAMED_TYPES_MAX),
        }
    }
}

/// Tells the clients of a feed what `read` finds of the last minute of their tenant, every second while
/// somebody watches.
///
/// # Errors
/// None: a second that cannot be read is left out.
pub async fn run<E>(
    feed: Arc<Feed>,
    read: impl AsyncFn(&Tenant) -> Result<Reading<LastMinute>, E>,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let mut crowd = feed.crowd.subscribe();
    let mut ticks = shutdown.every(EVERY);
    let mut turns = 0;
    while ticks.next().await.is_some() {
        if *crowd.borrow() == 0 {
            // Nobody is to begin with what was true long ago.
            feed.minute.send_replace(None);
        }
        let somebody = crowd.wait_for(|clients| *clients > 0);
        tokio::select! {
            () = shutdown.triggered() => break,
            _ = somebody => {}
        }
        let mut minute = Minute::default();
        for tenant in turn(feed.places.tenants(), &mut turns) {
            // One that fails is mostly all that fail.
            let Ok(reading) = read(&tenant).await else {
                break;
            };
            let frame = MinuteFrame::from(reading);
            // Numbers and texts always serialise.
            let text = serde_json::to_vec(&frame).unwrap_or_default();
            minute.0.insert(tenant, text.into());
        }
        if !minute.0.is_empty() {
            feed.minute.send_replace(Some(Arc::new(minute)));
        }
    }
    Ok(())
}

/// Whose turn it is among those who watch.
fn turn(mut watching: Vec<Tenant>, turns: &mut usize) -> Vec<Tenant> {
    let from = turns.checked_rem(watching.len()).unwrap_or(0);
    watching.rotate_left(from);
    watching.truncate(TENANTS_A_ROUND);
    *turns = from + watching.len();
    watching
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tenant_that_watches_comes_to_its_turn() {
        let all: Vec<Tenant> = (0..150)
            .map(|n| Tenant::named(&format!("t{n:03}")))
            .collect();
        let (mut turns, mut seen) = (0, BTreeSet::new());
        for _ in 0..3 {
            let now = turn(all.clone(), &mut turns);
            assert_eq!(now.len(), TENANTS_A_ROUND);
            seen.extend(now.iter().map(|tenant| tenant.as_str().to_owned()));
        }
        assert_eq!(seen.len(), 150);
        let few = all[..2].to_vec();
        assert_eq!(turn(few, &mut turns).len(), 2);
        assert_eq!(turn(Vec::new(), &mut turns), []);
    }
}
