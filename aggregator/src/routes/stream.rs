//! `GET /stream`: events as they come, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Uri};

use crate::auth::{Tenant, Validity};
use crate::error::QueryError;
use crate::feed::wanted::Wanted;
use crate::params::Params;
use crate::schema::problem::Reading;
use crate::state::App;

const PARAMETERS: &[&str] = &["type", "userId", "sample", "rate", "lastEventId"];

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events as they come
///
/// Server-sent events: `event`, `metrics`, `dropped`, `reset`. It does not end by itself.
#[utoipa::path(
    get,
    path = "/stream",
    tag = "live",
    operation_id = "stream",
    params(
        ("type" = Option<Vec<String>>, Query, description = "Event types, at most 50"),
        ("userId" = Option<String>, Query, min_length = 1, max_length = 128),
        ("sample" = Option<f64>, Query, description = "Share of the events, above 0"),
        ("rate" = Option<u32>, Query, minimum = 1, maximum = 1000),
        ("lastEventId" = Option<String>, Query, description = "As the header"),
        ("last-event-id" = Option<String>, Header, description = "Where to go on"),
    ),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        Reading,
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    tenant: Tenant,
    validity: Validity,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, PARAMETERS)?;
    let wanted = Wanted::parse(tenant, &params)?;
    // A browser sends the header when it comes back, which is later than what the page wrote.
    let header = headers.get(LAST_EVENT_ID);
    // What is no text is no id of this feed either, and is answered so.
    let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()));
    let header = header.as_deref().filter(|id| !id.is_empty());
    let last_event_id = header.or(params.single("lastEventId")?);
    let subscriber = Arc::clone(&app.feed)
        .subscribe(wanted, last_event_id)
        .await?;
    let chunks = unfold(subscriber, |mut subscriber| async {
        let chunk = subscriber.next_chunk().await?;
        Some((Ok::<_, Infallible>(chunk), subscriber))
    });
    let chunks = chunks.take_until(Box::pin(validity.ended()));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        // nginx would hold events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}
