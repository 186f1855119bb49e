//! Reads a request body under a cap on its bytes and on its time.
//!
//! Hot path: one call per request. No allocation for a body that arrives in one frame; no logs.

use std::error::Error;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout};

/// Bytes that have to come in a second, or the body has to be complete: the slowest that brings a
/// body of half a MiB within the 30 s that ingest gives it.
const RATE_MIN: u128 = 16 * 1024;
/// How often a body that is awaited is looked at; also the patience with it while others need the
/// room.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Bytes that are made room for at once where a body announces more: a client may never send them,
/// and of a huge page all 2 MiB are there with the first byte.
const TRUSTED_BYTES: usize = 128 * 1024;

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes as received, before decompression.
    pub wire_bytes: usize,
    /// Longest time in which less comes than a body must bring: 16 KiB a second.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub total: Duration,
}

/// Why a body was not read to its end; nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is, or says it is, larger than `limit` bytes; answer 413.
    #[error("body exceeds {limit} bytes")]
    TooLarge {
        /// [`BodyLimits::wire_bytes`].
        limit: usize,
    },
    /// Too little came for [`BodyLimits::idle`], or for a second while others need the room;
    /// answer 408.
    #[error("too little of the body came for {after:?}")]
    Stalled {
        /// How long it was slow.
        after: Duration,
    },
    /// The body was not complete after [`BodyLimits::total`]; answer 408.
    #[error("body was not complete after {after:?}")]
    Deadline {
        /// [`BodyLimits::total`].
        after: Duration,
    },
    /// The client went away, or broke the framing; there may be nobody to answer.
    #[error("body was broken off")]
    Aborted(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads the whole body; trailers are ignored.
///
/// A `Content-Length` above the cap is refused before a byte is read. The caller then closes the
/// connection, as hyper does by itself when a body is not read. While it `is_crowded`, a slow body
/// is given up sooner.
///
/// # Errors
/// See [`BodyError`].
///
/// # Cancel safety
/// Not safe: what was read is lost.
pub async fn read<B>(
    body: B,
    limits: &BodyLimits,
    is_crowded: impl Fn() -> bool,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.wire_bytes {
        return Err(BodyError::TooLarge {
            limit: limits.wire_bytes,
        });
    }
    let reading = Reading {
        body: pin!(body),
        limits,
        is_crowded,
        since: Instant::now(),
        bytes: 0,
    };
    timeout(limits.total, reading.gather(announced))
        .await
        .unwrap_or(Err(BodyError::Deadline {
            after: limits.total,
        }))
}

/// Doubles what is there when `more` bytes do not fit, but to no more than was announced: what is
/// counted as in flight is what has come.
fn make_room(gathered: &mut Vec<u8>, more: usize, announced: usize) {
    let (bytes, room) = (gathered.len(), gathered.capacity());
    if bytes + more > room {
        let doubled = if announced == 0 {
            2 * room
        } else {
            announced.min(2 * room)
        };
        gathered.reserve_exact(doubled.max(bytes + more) - bytes);
    }
}

/// A body, and how fast it comes.
struct Reading<'l, B, F> {
    body: Pin<&'l mut B>,
    limits: &'l BodyLimits,
    is_crowded: F,
    /// Since when the bytes are counted.
    since: Instant,
    bytes: u128,
}

impl<B, F> Reading<'_, B, F>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    F: Fn() -> bool,
{
    async fn gather(mut self, announced: usize) -> Result<Bytes, BodyError> {
        let Some(first) = self.next_data(0).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next_data(first.len()).await? else {
            return Ok(first);
        };
        let mut gathered = Vec::with_capacity(announced.min(TRUSTED_BYTES));
        for data in [first, second] {
            make_room(&mut gathered, data.len(), announced);
            gathered.extend_from_slice(&data);
        }
        while let Some(data) = self.next_data(gathered.len()).await? {
            make_room(&mut gathered, data.len(), announced);
            gathered.extend_from_slice(&data);
        }
        Ok(gathered.into())
    }

    async fn next_data(&mut self, so_far: usize) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = timeout(LOOK_EVERY.min(self.limits.idle), self.body.frame()).await;
            let Ok(frame) = frame else {
                self.check()?;
                continue;
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| BodyError::Aborted(error.into()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if so_far.saturating_add(data.len()) > self.limits.wire_bytes {
                return Err(BodyError::TooLarge {
                    limit: self.limits.wire_bytes,
                });
            }
            self.bytes += data.len() as u128;
            // Most bodies come at once, and need no look at the clock.
            if so_far > 0 && !self.body.is_end_stream() {
                self.check()?;
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    fn check(&mut self) -> Result<(), BodyError> {
        let after = self.since.elapsed();
        let idle = self.limits.idle;
        if after < idle && (after < LOOK_EVERY || !(self.is_crowded)()) {
            return Ok(());
        }
        if self.bytes * 1_000 < RATE_MIN * after.as_millis() {
            return Err(BodyError::Stalled { after });
        }
        (self.since, self.bytes) = (Instant::now(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
