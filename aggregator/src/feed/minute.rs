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

/// Tenants whose last minute cannot be read before a round ends: so many are mostly all, and each may
/// take a time limit.
const FAILURES_MAX: usize = 2;

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
        let minute = round(turn(feed.places.tenants(), &mut turns), &read).await;
        if !minute.0.is_empty() {
            feed.minute.send_replace(Some(Arc::new(minute)));
        }
    }
    Ok(())
}

/// What clients of `tenants` are told, as far as it can be read.
async fn round<E>(
    tenants: Vec<Tenant>,
    read: &impl AsyncFn(&Tenant) -> Result<Reading<LastMinute>, E>,
) -> Minute {
    let (mut minute, mut failures) = (Minute::default(), 0);
    for tenant in tenants {
        let Ok(reading) = read(&tenant).await else {
            failures += 1;
            if failures == FAILURES_MAX {
                break;
            }
            continue;
        };
        let frame = MinuteFrame::from(reading);
        // Numbers and texts always serialise.
        let text = serde_json::to_vec(&frame).unwrap_or_default();
        minute.0.insert(tenant, text.into());
    }
    minute
}

/// Whose turn it is among those who watch. Where it is everybody's, somebody else is first each time:
/// who comes after two that fail has a turn too.
fn turn(mut watching: Vec<Tenant>, turns: &mut usize) -> Vec<Tenant> {
    let all = watching.len();
    let from = turns.checked_rem(all).unwrap_or(0);
    watching.rotate_left(from);
    watching.truncate(TENANTS_A_ROUND);
    let is_all = watching.len() == all;
    *turns = from + if is_all { 1 } else { watching.len() };
    watching
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use super::*;

    /// So many tenants, in the order of their names.
    fn tenants(all: usize) -> Vec<Tenant> {
        let named = |number| Tenant::named(&format!("t{number:03}"));
        (0..all).map(named).collect()
    }

    /// Who is told something where the last minute of `broken` cannot be read, and how many were asked.
    async fn told(turn: &[Tenant], broken: &[Tenant]) -> (BTreeSet<String>, usize) {
        let asked = Cell::new(0);
        let read = async |tenant: &Tenant| {
            asked.set(asked.get() + 1);
            let reading = Reading {
                as_of_ms: 0,
                value: LastMinute::default(),
            };
            (!broken.contains(tenant)).then_some(reading).ok_or(())
        };
        let told = round(turn.to_vec(), &read).await.0.into_keys();
        let told = told.map(|tenant| tenant.as_str().to_owned()).collect();
        (told, asked.get())
    }

    #[tokio::test]
    async fn one_tenant_that_cannot_be_read_silences_nobody_else() {
        let all = tenants(5);
        let (heard, _) = told(&all, &all[..1]).await;
        assert_eq!(heard.len(), 4);
        // Where nobody can be, not everybody is waited for.
        assert_eq!(told(&all, &all).await, (BTreeSet::new(), 2));
        // Where two cannot be, all others are told in turn.
        let (mut turns, mut heard) = (0, BTreeSet::new());
        for _ in 0..all.len() {
            heard.extend(told(&turn(all.clone(), &mut turns), &all[..2]).await.0);
        }
        assert_eq!(heard.len(), 3);
    }

    #[test]
    fn every_tenant_that_watches_comes_to_its_turn() {
        let all = tenants(150);
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
