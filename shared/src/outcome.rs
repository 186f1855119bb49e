//! Closed enums of outcomes and reasons: one table for answers, metrics and docs.

mod dead;

pub use dead::DeadReason;

/// Makes [`RejectReason`] out of rows of code, HTTP status (0 for none) and message.
macro_rules! reasons {
    ($($(#[$doc:meta])* $Reason:ident $code:literal $status:literal $message:literal;)+) => {
        crate::choices! {
            /// Why an event, a body or a request was refused.
            ///
            /// # Shape
            /// `as_str` is what answers, logs and metric labels carry; it never changes for a
            /// variant. `status` is there for what is wrong with a whole body or request; a reason
            /// without one only ever rejects a single event, whose neighbours are stored.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            #[non_exhaustive]
            pub enum RejectReason {
                $($(#[$doc])* $Reason = $code,)+
            }
        }

        impl RejectReason {
            /// The HTTP status of a body or request refused for this reason; `None` for a reason
            /// that only rejects single events.
            #[must_use]
            pub const fn status(self) -> Option<u16> {
                match self {
                    $(Self::$Reason => if $status == 0 { None } else { Some($status) },)+
                }
            }

            /// What to tell the caller when there is nothing more exact to say.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$Reason => $message,)+
                }
            }
        }
    };
}

reasons! {
    /// The event is not a JSON object.
    NotAnObject "not_an_object" 0 "send each event as a JSON object";
    /// A field that every event needs is not there.
    MissingField "missing_field" 0 "add the field";
    /// A top-level field that EVP does not know.
    UnknownField "unknown_field" 0 "move the field into metadata or payload, or leave it out";
    /// A field holds another JSON type than it takes.
    WrongType "wrong_type" 0 "send the field with the type it takes";
    /// A string is empty or too long.
    InvalidLength "invalid_length" 0 "send a string of the length the field takes";
    /// A string has a character that its field does not take.
    InvalidCharacters "invalid_characters" 0 "leave out the characters the field does not take";
    /// The timestamp is neither a number nor RFC 3339.
    InvalidTimestamp "invalid_timestamp" 0
        "send seconds or milliseconds since 1970 as a number, or an RFC 3339 string";
    /// The timestamp is before 1970 or more than a day ahead.
    TimestampOutOfRange "timestamp_out_of_range" 0
        "send a time between 1970-01-01 and 24 hours from now";
    /// The time in the `eventId` is more than a day ahead.
    InvalidEventId "invalid_event_id" 0
        "the time in a UUID or ULID may lie at most 24 hours ahead: mend the clock that made it, or \
         send an id without a time";
    /// The time in the event's id lies below what `storage.keep` keeps.
    TooOld "too_old" 0 "the event is older than storage.keep keeps events: leave it out";
    /// The event's id would have no time, and `storage.keep` is set.
    Undated "undated" 0 "send a timestamp or a UUIDv7";
    /// A number is out of its field's range, or larger than storage can hold.
    NumberOutOfRange "number_out_of_range" 0
        "send a number the field can hold; send larger ones as strings";
    /// Two fields say the same thing, and EVP will not choose.
    ConflictingFields "conflicting_fields" 0 "send only one of the two fields";
    /// One object has the same key twice.
    DuplicateKey "duplicate_key" 0 "send each key of an object once";
    /// A key contains U+0000.
    NulInKey "nul_in_key" 0 "leave U+0000 out of keys";
    /// A string has an escape that is no Unicode character.
    InvalidString "invalid_string" 0 "send escapes that are valid Unicode, surrogates in pairs";
    /// The key does not send events of this type.
    TypeNotAllowed "type_not_allowed" 0 "send events of the types the key is for";
    /// Objects and arrays are nested too deeply.
    TooDeep "too_deep" 0 "nest objects and arrays less deeply";
    /// The event is larger than one event may be.
    EventTooLarge "event_too_large" 0 "make the event smaller";
    /// Another event of the same request has the same identity.
    DuplicateInRequest "duplicate_in_request" 0
        "send each event once; its first occurrence in this request was taken";
    /// Something follows the value on its line.
    TrailingTokens "trailing_tokens" 0 "send one JSON value per line";
    /// The text is not JSON.
    MalformedJson "malformed_json" 400 "send valid JSON";
    /// The body is empty.
    EmptyBody "empty_body" 400 "send at least one event";
    /// The body is not UTF-8.
    InvalidUtf8 "invalid_utf8" 400 "send the body as UTF-8";
    /// The body is larger than the service takes.
    BodyTooLarge "body_too_large" 413 "send fewer events per request";
    /// The body has more events than one request may have.
    TooManyEvents "too_many_events" 413 "send fewer events per request";
    /// The compressed body is damaged or incomplete.
    MalformedEncoding "malformed_encoding" 400
        "send a complete body in the encoding named by Content-Encoding";
    /// The body ended before its announced length.
    TruncatedBody "truncated_body" 400 "send the whole body";
    /// The body came too slowly.
    BodyTimeout "body_timeout" 408 "send the body without pauses";
    /// The `Content-Encoding` is not one EVP reads.
    UnsupportedEncoding "unsupported_encoding" 415 "send the body plain, or with gzip or zstd";
    /// The `Content-Type` is not one EVP reads.
    UnsupportedContentType "unsupported_content_type" 415
        "send application/json or application/x-ndjson";
    /// `Idempotency-Key` was sent with more than one event, or is no valid `eventId`.
    InvalidIdempotencyKey "invalid_idempotency_key" 400
        "send Idempotency-Key with a single event, of 1 to 128 printable characters";
    /// Every event of the request was rejected.
    AllEventsRejected "all_events_rejected" 400 "see the list of rejected events";
    /// The resource takes no query parameter of that name.
    UnknownParameter "unknown_parameter" 400 "send only parameters this resource takes";
    /// A query parameter has a wrong value.
    InvalidParameter "invalid_parameter" 400 "send the parameter with a value it takes";
    /// The cursor is damaged, or belongs to a query with other filters.
    CursorInvalid "cursor_invalid" 400
        "send the nextCursor of an answer to the same query, or start without one";
    /// The request shows no key.
    MissingKey "missing_key" 401
        "send a key, as Authorization: Bearer, X-API-Key or the user of Basic";
    /// What is shown as a key is none.
    MalformedKey "malformed_key" 401
        "a key begins with evp_pub_ or evp_sec_ and has 57 characters: send it whole";
    /// The key does not exist.
    UnknownKey "unknown_key" 401 "send a key of this system";
    /// A secret key stands in the URL, where others can read it.
    KeyInUrl "key_in_url" 401
        "send a secret key in a header, and revoke this one: URLs are written to logs";
    /// The key has ended.
    KeyExpired "key_expired" 401 "send a key that has not ended";
    /// The key was revoked.
    KeyRevoked "key_revoked" 401 "send a key that was not revoked";
    /// The session is over, or never was.
    SessionEnded "session_ended" 401 "sign in again";
    /// The link was used, is over, or never was.
    LinkEnded "link_ended" 401 "a link signs in once, within ten minutes: ask for another one";
    /// Another code was sent.
    WrongCode "wrong_code" 401 "send the six digits of the newest mail";
    /// No code is awaited of this browser.
    CodeExpired "code_expired" 401
        "a code is good for five minutes and five tries, in the browser that asked for it: ask anew";
    /// The request shows two keys, or a key and a session.
    ConflictingKeys "conflicting_keys" 400 "send one key, or the cookie of a session";
    /// The request is for sessions, and shows none.
    NoSession "no_session" 400 "this is about the session of a cookie, and none is sent";
    /// The key does not allow this.
    ScopeMissing "scope_missing" 403 "send a key whose scope allows this";
    /// The tenant of the key is disabled.
    TenantDisabled "tenant_disabled" 403 "its operator disabled this tenant";
    /// The request was made under a host name that is not the service's.
    HostNotAllowed "host_not_allowed" 403
        "use localhost, a loopback address or a name in aggregator.hosts";
    /// The request was made by a page of another origin.
    OriginNotAllowed "origin_not_allowed" 403 "pages of other origins may not use this service";
    /// No such resource.
    NotFound "not_found" 404 "there is nothing at this path";
    /// No event of this id is stored or among the dead letters.
    EventNotFound "event_not_found" 404
        "what was accepted before storedThrough is stored; look again once it has passed";
    /// No event of this id is there, and it is older than what is kept.
    EventExpired "event_expired" 410
        "events of that time were dropped: storage.keep says for how long they are kept";
    /// No such tenant.
    TenantNotFound "tenant_not_found" 404 "there is no such tenant";
    /// Nobody signs in.
    SignInOff "sign_in_off" 404 "auth.mode is open: nobody has to sign in";
    /// No mail can be sent.
    MailNotConfigured "mail_not_configured" 404
        "no codes are sent: mail.smtp_url is not configured; sign in with a key or a link";
    /// No such member.
    MemberNotFound "member_not_found" 404 "there is no such member";
    /// No such key.
    KeyNotFound "key_not_found" 404 "there is no such key";
    /// No such dead letter.
    DeadLetterNotFound "dead_letter_not_found" 404 "it was replayed or purged, or never was";
    /// The resource does not take this method.
    MethodNotAllowed "method_not_allowed" 405 "use a method the Allow header names";
    /// The caller is over its rate.
    RateLimited "rate_limited" 429 "come back after Retry-After";
    /// The tenant has sent what it may in a day.
    QuotaExceeded "quota_exceeded" 429 "come back after Retry-After: the quota is of a UTC day";
    /// The service has not learned yet who may come in.
    AccessUnknown "access_unknown" 503
        "keys cannot be judged yet: nothing was accepted; come back after Retry-After";
    /// A change of tenants or keys is kept, and not in force yet.
    NotInForce "not_in_force" 503
        "the change is kept and comes into force once Redis answers; look again";
    /// The service has more work than it can take.
    Overloaded "overloaded" 503 "nothing was accepted; come back after Retry-After";
    /// The disk of the event store is almost full.
    StorageFull "storage_full" 503
        "nothing was accepted: the event store's disk is almost full; let storage.keep end old \
         events, or give it room; come back after Retry-After";
    /// As many requests of this kind as the service takes are under way.
    Busy "busy" 503 "as many of these as may be are under way; come back after Retry-After";
    /// MongoDB does not answer.
    StoreUnavailable "store_unavailable" 503
        "the event store does not answer; come back after Retry-After";
    /// Redis does not answer.
    CountersUnavailable "counters_unavailable" 503
        "the counters cannot be read; come back after Retry-After";
    /// The query found nothing within its time limit.
    QueryTimeout "query_timeout" 503 "nothing was found within the time limit; narrow the query";
    /// The service is stopping.
    ShuttingDown "shutting_down" 503 "nothing was accepted; send the request again";
    /// Nothing of the request was stored.
    NotAccepted "not_accepted" 503 "nothing was accepted; come back after Retry-After";
    /// The request may or may not be stored.
    NotConfirmed "not_confirmed" 503
        "the events may be stored; send them again with the eventIds given here";
}

impl RejectReason {
    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::TruncatedBody) || matches!(self.status(), Some(408 | 429 | 503))
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
