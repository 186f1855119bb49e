//! What hyper calls for each request: the handler, and what all handlers have in common.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HOST, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::{HttpService, service_fn};

use super::deadline::{Activity, InFlight};
use super::{Handler, RequestBody};
use crate::http::problem::Problem;
use crate::request::{REQUEST_ID, RequestId};

/// What may stand in a host beside letters and digits (RFC 3986, section 3.2.2), and the port.
const HOST_MARKS: &[u8] = b"-._~!$&'()*+,;=:[]%";

/// Browsers that came once by TLS do not come without it for a year (RFC 6797).
const TLS_ALWAYS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Makes hyper's service of the handler, and notes when each request begins and ends.
pub(super) fn service<H: Handler>(
    handler: &H,
    activity: &Arc<Activity>,
) -> impl HttpService<
    Incoming,
    ResBody: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send + 'static,
    Error = Infallible,
    Future: Send + 'static,
> + use<H> {
    let (handler, activity) = (handler.clone(), Arc::clone(activity));
    service_fn(move |request: Request<Incoming>| {
        let in_flight = activity.begin();
        let is_clear = activity.is_http2 || has_one_host(request.version(), request.headers());
        let awaits_go_ahead = request.headers().contains_key(EXPECT);
        let id = RequestId::of(request.headers());
        let request = request.map(|body| RequestBody::new(body, &activity, awaits_go_ahead));
        let answer = id.during(|| is_clear.then(|| handler.answer(request)));
        let (activity, name) = (Arc::clone(&activity), id.clone());
        id.scope(async move {
            let mut response = match answer {
                Some(answer) => answer.await.map(Either::Left),
                None => no_host().map(Either::Right),
            };
            if let Some(unread) = activity.take_unread()
                && !Box::pin(unread.discard(&activity.discards)).await
            {
                activity.note_last();
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            if activity.is_tls {
                let headers = response.headers_mut();
                headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ALWAYS);
            }
            response.headers_mut().insert(REQUEST_ID, name.header());
            tracing::debug!(status = response.status().as_u16(), "answered");
            Ok(response.map(|body| AnswerBody {
                body,
                in_flight,
                name,
            }))
        })
    })
}

/// RFC 9112, section 3.2: whoever reads another host than we do may have been asked something else.
fn has_one_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let is_valid = |host: &HeaderValue| {
        let mut bytes = host.as_bytes().iter();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || HOST_MARKS.contains(byte))
    };
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_valid(host),
        (Some(_), Some(_)) => false,
    }
}

fn no_host() -> Response<Full<Bytes>> {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_request",
        "Malformed request",
    )
    .detail("send one Host header, with a host and perhaps a port")
    .into_response()
}

/// An answer's body, which lives until hyper has the last of it: so long its request is under way.
/// Unlike other wrappers, it keeps the size hint and so the Content-Length.
#[derive(Debug)]
struct AnswerBody<B> {
    body: B,
    in_flight: InFlight,
    name: RequestId,
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        // hyper asks again when it is rid of the frame before, for which it may need the client.
        self.in_flight.settle();
        let this = &mut *self;
        let poll = || Pin::new(&mut this.body).poll_frame(cx);
        let frame = ready!(this.name.during(poll));
        if frame.is_some() {
            self.in_flight.owe();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
