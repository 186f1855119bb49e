//! Ingest's routes, which another service answers.
#![expect(dead_code, reason = "describes what another service reads and writes")]

use utoipa::ToSchema;

use crate::schema::problem::Taking;

/// An event to be taken.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewEvent {
    /// Also called `type`.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[A-Za-z0-9][A-Za-z0-9_.:-]*$",
        example = "click"
    )]
    event_type: String,
    /// The idempotency key: a retry with it is stored once. A time in it (UUIDv7, v6, v1, ULID) lies
    /// at most 24 hours ahead (`invalid_event_id`) and, with `storage.keep` set, within what is kept
    /// (`too_old`).
    #[schema(min_length = 1, max_length = 128)]
    event_id: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "alice")]
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    session_id: Option<String>,
    /// RFC 3339, or seconds (below 10,000,000,000) or ms since 1970; when it is received, without
    /// one. With `storage.keep` set, what has an `eventId` without a time needs it (`undated`), within
    /// what is kept (`too_old`).
    timestamp: Option<Timestamp>,
    #[schema(minimum = 0, maximum = 9)]
    priority: Option<i32>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>)]
    payload: Option<()>,
}

/// A time.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Timestamp {
    /// Seconds or ms since 1970.
    Number(f64),
    /// RFC 3339 with an offset.
    Text(String),
}

/// What became of a request's events.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Accepted {
    /// Events that are on the stream.
    accepted: u64,
    /// Events that repeat another one of this request.
    duplicates: u64,
    /// Events that were not taken.
    rejected_count: u64,
    /// The first 100 of them.
    rejected: Vec<RejectedEvent>,
    /// The canonical id of each event in order, null where it was rejected; not with `ids=none`.
    ids: Option<Vec<Option<String>>>,
    /// Of a single event: its canonical id.
    id: Option<String>,
    /// Of a single event: the id it was sent with, or was given.
    event_id: Option<String>,
}

/// Why an event was not taken.
#[derive(Debug, ToSchema)]
pub struct RejectedEvent {
    /// Its place in the request, from 0.
    index: u64,
    /// From a closed list that only grows.
    code: String,
    field: Option<String>,
    message: String,
}

/// Take events
///
/// One event, an array of events, `{"events":[...]}`, or one event per line as NDJSON; plain, or
/// compressed with gzip or zstd. `202` means that they are as durable as the header
/// `evp-durability` says.
#[utoipa::path(
    post,
    path = "/events",
    tag = "ingest",
    operation_id = "acceptEvents",
    params(
        ("ids" = Option<String>, Query, description = "`none` leaves out `ids`", pattern = "^none$"),
        ("ack" = Option<String>, Query, description = "`stream`, the default", pattern = "^stream$"),
        ("idempotency-key" = Option<String>, Header, description = "`eventId` of a single event"),
    ),
    request_body(content(
        (NewEvent = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 202, description = "Taken, as far as `rejected` does not say otherwise", body = Accepted),
        Taking,
    )
)]
pub fn accept() {}
