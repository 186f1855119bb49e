//! `GET /events` and `GET /events/{id}`.

mod export;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bson::RawDocumentBuf;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::header::ACCEPT;
use http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::auth::{Tenant, Validity};
use crate::error::{QueryError, bad_parameter};
use crate::event_json::EventJson;
use crate::events::cursor::Cursor;
use crate::events::lookup::{Found, Wanted};
use crate::params::Params;
use crate::schema::problem::{ProblemSchema, Reading};
use crate::schema::{Event, FoundEvent};
use crate::state::App;
use crate::time::{parse_timestamp, rfc3339, rfc3339_signed};

/// What an export is asked for by.
const LINES: [&str; 2] = ["application/x-ndjson", "application/ndjson"];

const LIMIT_DEFAULT: u64 = 50;
const LIMIT_MAX: u64 = 1_000;

/// Events of one export at most; more than there are.
const EXPORT_MAX: u64 = 1_000_000_000_000;

const LIST_PARAMETERS: &[&str] = &[
    "type",
    "userId",
    "sessionId",
    "from",
    "to",
    "limit",
    "cursor",
];

/// The answer of `GET /events`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListAnswer<'a> {
    #[schema(value_type = Vec<Event>)]
    items: Vec<EventJson<'a>>,
    /// Where the list goes on; null at its end.
    next_cursor: Option<String>,
    /// Where what is newer than this page lies; null on the first page, and when a page of it has
    /// nothing newer after it.
    prev_cursor: Option<String>,
}

/// List events
///
/// Newest first by `timestamp`. The list is over when `nextCursor` is null, not when a page is
/// short. With `Accept: application/x-ndjson` all of it comes in one answer, an event per line;
/// `limit` then has no upper bound.
#[utoipa::path(
    get,
    path = "/events",
    tag = "query",
    operation_id = "listEvents",
    params(
        ("type" = Option<Vec<String>>, Query, description = "Event types, at most 200"),
        ("userId" = Option<String>, Query, min_length = 1, max_length = 128),
        ("sessionId" = Option<String>, Query, min_length = 1, max_length = 128),
        ("from" = Option<String>, Query, description = "RFC 3339, seconds or ms since 1970, or `-15m`; is in"),
        ("to" = Option<String>, Query, description = "As `from`; is not in"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "Of the page before, with the same filters"),
    ),
    responses(
        (status = 200, description = "A page; or all events, one per line", content(
            (ListAnswer = "application/json"),
            (String = "application/x-ndjson"),
        )),
        Reading,
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    tenant: Tenant,
    validity: Validity,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, QueryError> {
    let params = Params::parse(&uri, LIST_PARAMETERS)?;
    let (filter, cursor) = Cursor::of_list(tenant, &params, app.clock.now_ms())?;
    if wants_lines(&headers) {
        let limit = params.number("limit", u64::MAX, EXPORT_MAX)?;
        return export::begin(&app, validity, filter, cursor, limit).await;
    }
    let limit = params.number("limit", LIMIT_DEFAULT, LIMIT_MAX)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = app.events.page(&filter, cursor, limit).await?;
    json(&ListAnswer {
        items: page
            .documents
            .iter()
            .map(|document: &RawDocumentBuf| EventJson::new(document))
            .collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(&filter)),
        prev_cursor: page.previous.map(|cursor| cursor.encode(&filter)),
    })
}

/// One event, and what became of it
#[utoipa::path(
    get,
    path = "/events/{id}",
    tag = "query",
    operation_id = "event",
    params(
        ("id" = String, Path, description = "The canonical id or the `eventId`"),
        ("timestamp" = Option<String>, Query, description = "As it was sent with an `eventId`"),
    ),
    responses(
        (status = 200, description = "The event", body = FoundEvent),
        (status = 404, description = "Not stored, if it was accepted before `storedThrough`",
         body = ProblemSchema, content_type = "application/problem+json"),
        (status = 410, description = "Events of the id's time were dropped",
         body = ProblemSchema, content_type = "application/problem+json"),
        Reading,
    )
)]
pub(crate) async fn one(
    State(app): State<App>,
    tenant: Tenant,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, QueryError> {
    let Path(id) = id.map_err(|_| bad_parameter("id", "send an id in UTF-8"))?;
    let params = Params::parse(&uri, &["timestamp"])?;
    let hint = "send the timestamp of the event as it was sent";
    let timestamp_ms = params.parsed("timestamp", hint, parse_timestamp)?;
    let wanted = Wanted::parse(&id, timestamp_ms, &tenant, &app.identity);
    if let Some(found) = app.events.event(&wanted, &tenant).await? {
        return found_answer(&found);
    }
    if app.events.is_expired(&wanted, &tenant).await? {
        return Err(RejectReason::EventExpired.into());
    }
    // Looked up again after this, so that "everything accepted before then is stored" speaks of
    // this answer too: the event may have been stored in between.
    let stored_through_ms = app.counters.stored_through_ms().await?;
    match app.events.event(&wanted, &tenant).await? {
        Some(found) => found_answer(&found),
        None => {
            let problem = Problem::from(RejectReason::EventNotFound);
            let stored_through = rfc3339(stored_through_ms);
            Err(problem.with("storedThrough", stored_through).into())
        }
    }
}

/// Whether the client asks for one event per line.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter();
    let texts = accepts.filter_map(|accept| accept.to_str().ok());
    let mut kinds = texts.flat_map(|text| text.split(','));
    kinds.any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        LINES.iter().any(|lines| kind.eq_ignore_ascii_case(lines))
    })
}

fn found_answer(found: &Found) -> Result<Response, QueryError> {
    match found {
        Found::Stored(document) => json(&EventJson::with(document, &[("status", "stored")])),
        Found::DeadLettered(letter) => {
            let at = rfc3339_signed(letter.at_ms);
            let mut also = vec![
                ("status", "deadLettered"),
                ("reason", letter.reason.as_str()),
                ("deadLetteredAt", at.as_str()),
            ];
            also.extend(letter.detail.as_deref().map(|detail| ("detail", detail)));
            json(&EventJson::with(&letter.document, &also))
        }
    }
}
