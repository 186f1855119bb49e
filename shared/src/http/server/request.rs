//! The body of a request as its handler gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::deadline::Activity;
use super::unread::Unread;
use crate::http::client::ClientAddr;

/// The connection that a request came by.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Activity>);

impl Connection {
    /// Notes that a request has shown a valid credential: from then on the connection may be idle
    /// for as long as any.
    pub fn note_credential(&self) {
        self.0.note_known();
    }

    /// Whose request with these headers is.
    pub fn client(&self, headers: &HeaderMap) -> ClientAddr {
        self.0.peer.client(headers)
    }
}

/// The body of a request; what its handler leaves of it is thrown away before the answer.
#[derive(Debug)]
pub struct RequestBody {
    /// Taken by `drop` alone.
    body: Option<Incoming>,
    connection: Connection,
    /// Not where there is no rest, or HTTP/2 resets the stream.
    is_of_interest: bool,
    awaits_go_ahead: bool,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>, awaits_go_ahead: bool) -> Self {
        let is_of_interest = !activity.is_http2 && !body.is_end_stream();
        Self {
            body: Some(body),
            connection: Connection(Arc::clone(activity)),
            is_of_interest,
            awaits_go_ahead,
        }
    }

    /// The connection it comes by.
    pub fn connection(&self) -> &Connection {
        &self.connection
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
        match &frame {
            None => self.is_of_interest = false,
            // Where a broken body ends nobody knows: the connection ends with its answer.
            Some(Err(_)) if self.is_of_interest => self.connection.0.note_last(),
            Some(_) => {}
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
        if self.is_of_interest
            && let Some(body) = self.body.take()
        {
            self.connection.0.leave(Unread {
                body,
                awaits_go_ahead: self.awaits_go_ahead,
            });
        }
    }
}
