//! What is left of a request's body when its answer is known: read on and thrown away, within
//! bounds, or a client that writes its whole body before it reads would never see the answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, sleep_until, timeout};

/// What is thrown away before the answer, after which the connection goes on. What takes longer is
/// thrown away after the answer, when the connection is closed: see the module `io`.
const BYTES_MAX: usize = 4 << 20;
const TIME_MAX: Duration = Duration::from_secs(1);

/// What all connections of a listener throw away in a second; who sends more of it is read more
/// slowly. A core copies ten times as much out of the kernel.
const BYTES_PER_S: u64 = 512 << 20;
/// Up to this long ahead of that rate nobody waits: timers are no finer than a millisecond.
const BURST: Duration = Duration::from_millis(100);

/// The rest of a body.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) body: Incoming,
    /// The client sends none of it before it has a `100 Continue`, which reading would send.
    pub(super) awaits_go_ahead: bool,
}

/// The rate at which a listener throws away.
#[derive(Debug)]
pub(super) struct Discards {
    began: Instant,
    /// When all that was thrown away is due, in nanoseconds since `began`.
    due: AtomicU64,
}

impl Unread {
    /// Reads to the end, and says whether it came within the bounds.
    pub(super) async fn discard(mut self, discards: &Discards) -> bool {
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if self.awaits_go_ahead || announced > BYTES_MAX {
            return false;
        }
        let read = async {
            let mut discarded = 0;
            while let Some(frame) = self.body.frame().await {
                let Ok(frame) = frame else { return false };
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                discarded += bytes;
                if discarded > BYTES_MAX {
                    return false;
                }
                sleep_until(discards.next_after(bytes)).await;
            }
            true
        };
        timeout(TIME_MAX, read).await.unwrap_or(false)
    }
}

impl Default for Discards {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            due: AtomicU64::new(0),
        }
    }
}

impl Discards {
    /// Notes bytes that were thrown away, and returns when the next may be.
    pub(super) fn next_after(&self, bytes: usize) -> Instant {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(self.began.elapsed());
        let cost = bytes as u64 * 1_000_000_000 / BYTES_PER_S;
        let add = |due: u64| Some(due.max(now) + cost);
        let before = match self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        {
            Ok(before) | Err(before) => before,
        };
        let ahead = (before.max(now) + cost).saturating_sub(nanos(BURST));
        self.began + Duration::from_nanos(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_connections_together_throw_away_at_a_rate() {
        let discards = Discards::default();
        let mut bytes = 0;
        while discards.began.elapsed() < Duration::from_secs(10) {
            bytes += 256 * 1024;
            sleep_until(discards.next_after(256 * 1024)).await;
        }
        let of_ten_seconds = 10 * BYTES_PER_S;
        assert!(
            (of_ten_seconds..of_ten_seconds * 11 / 10).contains(&bytes),
            "{bytes}"
        );
    }
}
