//! The body of a request as its handler gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::deadline::Activity;
use super::unread::Unread;

/// The body of a request; what its handler leaves of it is thrown away before the answer.
#[derive(Debug)]
pub struct RequestBody {
    /// Taken by `drop` alone.
    body: Option<Incoming>,
    /// `None` where the rest is of no interest: there is none, or HTTP/2 resets the stream.
    activity: Option<Arc<Activity>>,
    awaits_go_ahead: bool,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>, awaits_go_ahead: bool) -> Self {
        let is_of_interest = !activity.is_http2 && !body.is_end_stream();
        Self {
            body: Some(body),
            activity: is_of_interest.then(|| Arc::clone(activity)),
            awaits_go_ahead,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        self.awaits_go_ahead = false;
        let frame = ready!(polled);
        match (&frame, &self.activity) {
            (None, _) => self.activity = None,
            // Where a broken body ends nobody knows: the connection ends with its answer.
            (Some(Err(_)), Some(activity)) => activity.note_last(),
            (Some(_), _) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(activity), Some(body)) = (self.activity.take(), self.body.take()) {
            activity.leave(Unread {
                body,
                awaits_go_ahead: self.awaits_go_ahead,
            });
        }
    }
}
