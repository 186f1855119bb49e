//! Reads a request body under a cap on its bytes and on its time.
//!
//! Hot path: one call per request. No allocation for a body that arrives in one frame; no logs.

use std::error::Error;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes as received, before decompression.
    pub wire_bytes: usize,
    /// Longest wait for the next bytes.
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
    /// No bytes came for [`BodyLimits::idle`]; answer 408.
    #[error("no bytes of the body came for {after:?}")]
    Stalled {
        /// [`BodyLimits::idle`].
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
/// connection, as hyper does by itself when a body is not read.
///
/// # Errors
/// See [`BodyError`].
///
/// # Cancel safety
/// Not safe: what was read is lost.
pub async fn read<B>(body: B, limits: &BodyLimits) -> Result<Bytes, BodyError>
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
    let body = pin!(body);
    timeout(limits.total, gather(body, announced, limits))
        .await
        .unwrap_or(Err(BodyError::Deadline {
            after: limits.total,
        }))
}

async fn gather<B>(
    mut body: Pin<&mut B>,
    announced: usize,
    limits: &BodyLimits,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(first) = next_data(body.as_mut(), limits, 0).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = next_data(body.as_mut(), limits, first.len()).await? else {
        return Ok(first);
    };
    // A chunked body announces nothing: the buffer then grows with what has really come.
    let mut gathered = BytesMut::with_capacity(announced.max(2 * (first.len() + second.len())));
    gathered.extend_from_slice(&first);
    gathered.extend_from_slice(&second);
    drop((first, second));
    while let Some(data) = next_data(body.as_mut(), limits, gathered.len()).await? {
        gathered.extend_from_slice(&data);
    }
    Ok(gathered.freeze())
}

async fn next_data<B>(
    mut body: Pin<&mut B>,
    limits: &BodyLimits,
    so_far: usize,
) -> Result<Option<Bytes>, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    loop {
        let frame = timeout(limits.idle, body.frame())
            .await
            .map_err(|_| BodyError::Stalled { after: limits.idle })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| BodyError::Aborted(error.into()))?;
        match frame.into_data() {
            Ok(data) if so_far.saturating_add(data.len()) > limits.wire_bytes => {
                return Err(BodyError::TooLarge {
                    limit: limits.wire_bytes,
                });
            }
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
