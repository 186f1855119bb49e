//! What is written without a struct, described.
#![expect(
    dead_code,
    reason = "describes what is written straight from stored bytes"
)]

pub mod problem;

use utoipa::ToSchema;

/// An event as it is answered.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Event {
    /// The canonical id.
    #[schema(format = "uuid")]
    id: String,
    /// As sent.
    event_id: Option<String>,
    event_type: String,
    user_id: Option<String>,
    session_id: Option<String>,
    /// RFC 3339 in UTC.
    #[schema(format = DateTime)]
    timestamp: String,
    /// In whole seconds.
    #[schema(format = DateTime)]
    received_at: String,
    priority: Option<i32>,
    /// As sent.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    /// As sent.
    #[schema(value_type = Option<Object>)]
    payload: Option<()>,
}

/// What became of an event.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum EventStatus {
    /// It is stored.
    Stored,
    /// It could not be stored.
    DeadLettered,
}

/// An event and what became of it.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FoundEvent {
    #[serde(flatten)]
    event: Event,
    status: EventStatus,
    /// Why it could not be stored, from a closed list.
    reason: Option<String>,
    /// In the words of whoever refused it.
    detail: Option<String>,
    /// When it was given up.
    dead_lettered_at: Option<String>,
}
