//! Closed enums of outcomes and reasons: one table for answers, metrics and docs.

mod dead;

use std::fmt;

pub use dead::DeadReason;

/// Why an event, a body or a request was refused.
///
/// # Shape
/// `as_str` is what answers, logs and metric labels carry; it never changes for a variant.
/// `status` is there for what is wrong with a whole body or request; a reason without one only
/// ever rejects a single event, whose neighbours are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The event is not a JSON object.
    NotAnObject,
    /// A field that every event needs is not there.
    MissingField,
    /// A top-level field that EVP does not know.
    UnknownField,
    /// A field holds another JSON type than it takes.
    WrongType,
    /// A string is empty or too long.
    InvalidLength,
    /// A string has a character that its field does not take.
    InvalidCharacters,
    /// The timestamp is neither a number nor RFC 3339.
    InvalidTimestamp,
    /// The timestamp is before 1970 or more than a day ahead.
    TimestampOutOfRange,
    /// A number is out of its field's range, or larger than storage can hold.
    NumberOutOfRange,
    /// Two fields say the same thing, and EVP will not choose.
    ConflictingFields,
    /// One object has the same key twice.
    DuplicateKey,
    /// A key contains U+0000.
    NulInKey,
    /// A string has an escape that is no Unicode character.
    InvalidString,
    /// Objects and arrays are nested too deeply.
    TooDeep,
    /// The event is larger than one event may be.
    EventTooLarge,
    /// Another event of the same request has the same identity.
    DuplicateInRequest,
    /// Something follows the value on its line.
    TrailingTokens,
    /// The text is not JSON.
    MalformedJson,
    /// The body is empty.
    EmptyBody,
    /// The body is not UTF-8.
    InvalidUtf8,
    /// The body is larger than the service takes.
    BodyTooLarge,
    /// The body has more events than one request may have.
    TooManyEvents,
    /// The compressed body is damaged or incomplete.
    MalformedEncoding,
    /// The body ended before its announced length.
    TruncatedBody,
    /// The body came too slowly.
    BodyTimeout,
    /// The `Content-Encoding` is not one EVP reads.
    UnsupportedEncoding,
    /// The `Content-Type` is not one EVP reads.
    UnsupportedContentType,
    /// `Idempotency-Key` was sent with more than one event, or is no valid `eventId`.
    InvalidIdempotencyKey,
    /// Every event of the request was rejected.
    AllEventsRejected,
    /// The resource takes no query parameter of that name.
    UnknownParameter,
    /// A query parameter has a wrong value.
    InvalidParameter,
    /// The cursor is damaged, or belongs to a query with other filters.
    CursorInvalid,
    /// The request carries no valid credentials.
    Unauthorized,
    /// The credentials do not allow this.
    Forbidden,
    /// The request was made under a host name that is not the service's.
    HostNotAllowed,
    /// The request was made by a page of another origin.
    OriginNotAllowed,
    /// No such resource.
    NotFound,
    /// No event of this id is stored or among the dead letters.
    EventNotFound,
    /// No such dead letter.
    DeadLetterNotFound,
    /// The resource does not take this method.
    MethodNotAllowed,
    /// The caller is over its rate.
    RateLimited,
    /// The service has more work than it can take.
    Overloaded,
    /// As many requests of this kind as the service takes are under way.
    Busy,
    /// MongoDB does not answer.
    StoreUnavailable,
    /// Redis does not answer.
    CountersUnavailable,
    /// The query found nothing within its time limit.
    QueryTimeout,
    /// The service is stopping.
    ShuttingDown,
    /// Nothing of the request was stored.
    NotAccepted,
    /// The request may or may not be stored.
    NotConfirmed,
}

impl RejectReason {
    /// Every reason, for docs, metric registration and tests.
    pub const ALL: [Self; 49] = [
        Self::NotAnObject,
        Self::MissingField,
        Self::UnknownField,
        Self::WrongType,
        Self::InvalidLength,
        Self::InvalidCharacters,
        Self::InvalidTimestamp,
        Self::TimestampOutOfRange,
        Self::NumberOutOfRange,
        Self::ConflictingFields,
        Self::DuplicateKey,
        Self::NulInKey,
        Self::InvalidString,
        Self::TooDeep,
        Self::EventTooLarge,
        Self::DuplicateInRequest,
        Self::TrailingTokens,
        Self::MalformedJson,
        Self::EmptyBody,
        Self::InvalidUtf8,
        Self::BodyTooLarge,
        Self::TooManyEvents,
        Self::MalformedEncoding,
        Self::TruncatedBody,
        Self::BodyTimeout,
        Self::UnsupportedEncoding,
        Self::UnsupportedContentType,
        Self::InvalidIdempotencyKey,
        Self::AllEventsRejected,
        Self::UnknownParameter,
        Self::InvalidParameter,
        Self::CursorInvalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::HostNotAllowed,
        Self::OriginNotAllowed,
        Self::NotFound,
        Self::EventNotFound,
        Self::DeadLetterNotFound,
        Self::MethodNotAllowed,
        Self::RateLimited,
        Self::Overloaded,
        Self::Busy,
        Self::StoreUnavailable,
        Self::CountersUnavailable,
        Self::QueryTimeout,
        Self::ShuttingDown,
        Self::NotAccepted,
        Self::NotConfirmed,
    ];

    /// The stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status of a body or request refused for this reason; `None` for a reason that
    /// only rejects single events.
    #[must_use]
    pub const fn status(self) -> Option<u16> {
        match self.row().1 {
            0 => None,
            status => Some(status),
        }
    }

    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::BodyTimeout
                | Self::TruncatedBody
                | Self::RateLimited
                | Self::Overloaded
                | Self::Busy
                | Self::StoreUnavailable
                | Self::CountersUnavailable
                | Self::QueryTimeout
                | Self::ShuttingDown
                | Self::NotAccepted
                | Self::NotConfirmed
        )
    }

    /// What to tell the caller when there is nothing more exact to say.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().2
    }

    #[expect(clippy::too_many_lines, reason = "a table: one row per reason")]
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::NotAnObject => ("not_an_object", 0, "send each event as a JSON object"),
            Self::MissingField => ("missing_field", 0, "add the field"),
            Self::UnknownField => (
                "unknown_field",
                0,
                "move the field into metadata or payload, or leave it out",
            ),
            Self::WrongType => ("wrong_type", 0, "send the field with the type it takes"),
            Self::InvalidLength => (
                "invalid_length",
                0,
                "send a string of the length the field takes",
            ),
            Self::InvalidCharacters => (
                "invalid_characters",
                0,
                "leave out the characters the field does not take",
            ),
            Self::InvalidTimestamp => (
                "invalid_timestamp",
                0,
                "send seconds or milliseconds since 1970 as a number, or an RFC 3339 string",
            ),
            Self::TimestampOutOfRange => (
                "timestamp_out_of_range",
                0,
                "send a time between 1970-01-01 and 24 hours from now",
            ),
            Self::NumberOutOfRange => (
                "number_out_of_range",
                0,
                "send a number the field can hold; send larger ones as strings",
            ),
            Self::ConflictingFields => ("conflicting_fields", 0, "send only one of the two fields"),
            Self::DuplicateKey => ("duplicate_key", 0, "send each key of an object once"),
            Self::NulInKey => ("nul_in_key", 0, "leave U+0000 out of keys"),
            Self::InvalidString => (
                "invalid_string",
                0,
                "send escapes that are valid Unicode, surrogates in pairs",
            ),
            Self::TooDeep => ("too_deep", 0, "nest objects and arrays less deeply"),
            Self::EventTooLarge => ("event_too_large", 0, "make the event smaller"),
            Self::DuplicateInRequest => (
                "duplicate_in_request",
                0,
                "send each event once; its first occurrence in this request was taken",
            ),
            Self::TrailingTokens => ("trailing_tokens", 0, "send one JSON value per line"),
            Self::MalformedJson => ("malformed_json", 400, "send valid JSON"),
            Self::EmptyBody => ("empty_body", 400, "send at least one event"),
            Self::InvalidUtf8 => ("invalid_utf8", 400, "send the body as UTF-8"),
            Self::BodyTooLarge => ("body_too_large", 413, "send fewer events per request"),
            Self::TooManyEvents => ("too_many_events", 413, "send fewer events per request"),
            Self::MalformedEncoding => (
                "malformed_encoding",
                400,
                "send a complete body in the encoding named by Content-Encoding",
            ),
            Self::TruncatedBody => ("truncated_body", 400, "send the whole body"),
            Self::BodyTimeout => ("body_timeout", 408, "send the body without pauses"),
            Self::UnsupportedEncoding => (
                "unsupported_encoding",
                415,
                "send the body plain, or with gzip or zstd",
            ),
            Self::UnsupportedContentType => (
                "unsupported_content_type",
                415,
                "send application/json or application/x-ndjson",
            ),
            Self::InvalidIdempotencyKey => (
                "invalid_idempotency_key",
                400,
                "send Idempotency-Key with a single event, of 1 to 128 printable characters",
            ),
            Self::AllEventsRejected => (
                "all_events_rejected",
                400,
                "see the list of rejected events",
            ),
            Self::UnknownParameter => (
                "unknown_parameter",
                400,
                "send only parameters this resource takes",
            ),
            Self::InvalidParameter => (
                "invalid_parameter",
                400,
                "send the parameter with a value it takes",
            ),
            Self::CursorInvalid => (
                "cursor_invalid",
                400,
                "send the nextCursor of an answer to the same query, or start without one",
            ),
            Self::Unauthorized => ("unauthorized", 401, "send a valid API key"),
            Self::Forbidden => ("forbidden", 403, "use an API key that allows this"),
            Self::HostNotAllowed => (
                "host_not_allowed",
                403,
                "use localhost, a loopback address or a name in aggregator.hosts",
            ),
            Self::OriginNotAllowed => (
                "origin_not_allowed",
                403,
                "pages of other origins may not use this service",
            ),
            Self::NotFound => ("not_found", 404, "there is nothing at this path"),
            Self::EventNotFound => (
                "event_not_found",
                404,
                "what was accepted before storedThrough is stored; look again once it has passed",
            ),
            Self::DeadLetterNotFound => (
                "dead_letter_not_found",
                404,
                "it was replayed or purged, or never was",
            ),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                405,
                "use a method the Allow header names",
            ),
            Self::RateLimited => ("rate_limited", 429, "come back after Retry-After"),
            Self::Overloaded => (
                "overloaded",
                503,
                "nothing was accepted; come back after Retry-After",
            ),
            Self::Busy => (
                "busy",
                503,
                "as many of these as may be are under way; come back after Retry-After",
            ),
            Self::StoreUnavailable => (
                "store_unavailable",
                503,
                "the event store does not answer; come back after Retry-After",
            ),
            Self::CountersUnavailable => (
                "counters_unavailable",
                503,
                "the counters cannot be read; come back after Retry-After",
            ),
            Self::QueryTimeout => (
                "query_timeout",
                503,
                "nothing was found within the time limit; narrow the query",
            ),
            Self::ShuttingDown => (
                "shutting_down",
                503,
                "nothing was accepted; send the request again",
            ),
            Self::NotAccepted => (
                "not_accepted",
                503,
                "nothing was accepted; come back after Retry-After",
            ),
            Self::NotConfirmed => (
                "not_confirmed",
                503,
                "the events may be stored; send them again with the eventIds given here",
            ),
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_snake_case() {
        let codes: HashSet<_> = RejectReason::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(codes.len(), RejectReason::ALL.len());
        for code in codes {
            assert!(
                code.bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'8'),
                "{code}"
            );
        }
    }

    #[test]
    fn retryable_reasons_have_a_status_that_says_so() {
        for reason in RejectReason::ALL {
            let status = reason.status();
            if reason.is_retryable() {
                assert!(matches!(status, Some(400 | 408 | 429 | 503)), "{reason}");
            } else {
                assert!(!matches!(status, Some(408 | 429 | 503)), "{reason}");
            }
            assert!(!reason.message().ends_with('.'), "{reason}");
        }
    }
}
