//! The metric frames of the feed: every second, read once and written once for all clients.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evp_shared::shutdown::Shutdown;
use futures::StreamExt as _;
use parking_lot::Mutex;
use serde::Serialize;

use super::Feed;
use crate::auth::Tenant;
use crate::counts::{LastMinute, Reading, TypeCount};

const EVERY: Duration = Duration::from_secs(1);

/// Types a frame names; the rest is `__other__`.
const NAMED_TYPES_MAX: usize = 50;

/// The counts of the last minute, and what clients of each tenant are told of them.
#[derive(Debug)]
pub struct Minute {
    reading: Reading<LastMinute>,
    texts: Mutex<HashMap<Tenant, Bytes>>,
}

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
    /// What clients of `tenant` are told, as JSON.
    pub fn text(&self, tenant: &Tenant) -> Bytes {
        let mut texts = self.texts.lock();
        let text = texts.entry(tenant.clone()).or_insert_with(|| {
            let LastMinute { all, last_second } = &self.reading.value;
            let frame = MinuteFrame {
                as_of: self.reading.as_of_ms,
                per_second: last_second.total(tenant),
                total_events_last_minute: all.total(tenant),
                by_type: all.ranked(tenant, NAMED_TYPES_MAX),
            };
            // Numbers and texts always serialise.
            serde_json::to_vec(&frame).unwrap_or_default().into()
        });
        text.clone()
    }
}

/// Tells a feed what `read` finds of the last minute, every second while somebody watches.
///
/// # Errors
/// None: a second that cannot be read is left out.
pub async fn run<E>(
    feed: Arc<Feed>,
    read: impl AsyncFn() -> Result<Reading<LastMinute>, E>,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    let mut crowd = feed.crowd.subscribe();
    let mut ticks = shutdown.every(EVERY);
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
        if let Ok(reading) = read().await {
            let texts = Mutex::default();
            let minute = Arc::new(Minute { reading, texts });
            feed.minute.send_replace(Some(minute));
        }
    }
    Ok(())
}
