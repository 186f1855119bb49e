//! A body whose bytes count as in flight from the moment they arrive: what clients announce costs
//! nothing, so a client that announces much and sends nothing takes nobody's place.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use evp_shared::http::server::RequestBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::admission::Reservation;

/// See the module. Its error is a [`ShedReason`](crate::admission::ShedReason) where all requests
/// together hold as many bytes as they may.
#[derive(Debug)]
pub(super) struct MeteredBody<'r> {
    body: RequestBody,
    reserved: &'r mut Reservation,
    limit: usize,
}

impl<'r> MeteredBody<'r> {
    pub(super) fn new(body: RequestBody, reserved: &'r mut Reservation, limit: usize) -> Self {
        Self {
            body,
            reserved,
            limit,
        }
    }
}

impl Body for MeteredBody<'_> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let limit = self.limit;
        let reserved = if self.body.is_end_stream() {
            self.reserved.grow(bytes, limit)
        } else {
            self.reserved.arrive(bytes, limit)
        };
        Poll::Ready(Some(reserved.map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
