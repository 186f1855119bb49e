//! Hot path: answers, written by hand where every request needs one.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use evp_shared::access::map::Exceeded;
use evp_shared::document;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use futures::FutureExt as _;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Body as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::admission::Reservation;
use crate::decode::{DecodedRequest, EventIdOf, Shape};

/// Most rejected events that an answer lists: enough to find the fault of a producer, and some tens
/// of KiB at most.
pub(crate) const REJECTED_MAX: usize = 100;

/// Answers up to this size lie in the socket's buffer at once, and are not counted: all
/// connections together hold 40 MiB of them at most.
const UNCOUNTED_BYTES: u64 = 4 * 1024;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Says what `202` promises.
pub(crate) const EVP_DURABILITY: HeaderName = HeaderName::from_static("evp-durability");

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whether the answer lists the canonical ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    Listed,
    LeftOut,
}

/// Answers a request whose valid events are on the stream.
pub(crate) fn accepted(request: &DecodedRequest, ids: Ids, durability: HeaderValue) -> Answer {
    let mut response = Response::new(Full::new(accepted_body(request, ids)));
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(EVP_DURABILITY, durability);
    response
}

fn accepted_body(request: &DecodedRequest, ids: Ids) -> Bytes {
    let per_id = match ids {
        Ids::Listed => 40,
        Ids::LeftOut => 0,
    };
    let capacity = 192 + per_id * request.ids.len() + 192 * request.rejected.len();
    let mut out = BytesMut::with_capacity(capacity);
    out.extend_from_slice(b"{\"accepted\":");
    write(&mut out, request.batch.events.len());
    out.extend_from_slice(b",\"duplicates\":");
    write(&mut out, request.duplicates);
    out.extend_from_slice(b",\"rejectedCount\":");
    write(&mut out, request.rejected_count());
    out.extend_from_slice(b",\"rejected\":[");
    for (at, event) in rejected(request).enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        write(&mut out, event);
    }
    out.extend_from_slice(b"]");
    if ids == Ids::Listed {
        out.extend_from_slice(b",\"ids\":[");
        for (at, ids) in request.ids.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            match ids.id {
                Some(id) => {
                    out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
                    out.extend_from_slice(b"\"");
                }
                None => {
                    out.truncate(out.len() - 1);
                    out.extend_from_slice(b"null");
                }
            }
        }
        out.extend_from_slice(b"]");
    }
    if request.shape == Shape::Single {
        single(&mut out, request);
    }
    out.extend_from_slice(b"}");
    out.freeze()
}

/// What only the answer to a single event has.
fn single(out: &mut BytesMut, request: &DecodedRequest) {
    if let Some(id) = request.ids.first().and_then(|first| first.id) {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
        out.extend_from_slice(b"\"");
    }
    let mut made = [0; 36];
    if let Some(event_id) = event_id(request, 0, &mut made) {
        out.extend_from_slice(b",\"eventId\":");
        write(out, event_id);
    }
}

/// The `eventId` of an input event, sent or made.
fn event_id<'r>(
    request: &'r DecodedRequest,
    index: usize,
    buffer: &'r mut [u8; 36],
) -> Option<&'r str> {
    match &request.ids.get(index)?.event_id {
        EventIdOf::Nothing => None,
        EventIdOf::Made(made) => Some(made.encode(buffer)),
        EventIdOf::Document(at) => document::event_id(request.batch.document(usize::from(*at))?),
    }
}

/// One rejected event as answers list it.
#[derive(Serialize)]
struct Rejected<'r> {
    index: usize,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'r str>,
    message: &'r str,
}

fn rejected(request: &DecodedRequest) -> impl Iterator<Item = Rejected<'_>> {
    request.rejected.iter().map(|event| Rejected {
        index: event.index,
        code: event.rejection.code.as_str(),
        field: event.rejection.field.as_deref(),
        message: &event.rejection.message,
    })
}

fn write(out: &mut BytesMut, value: impl Serialize) {
    // Memory takes all that is written, and numbers, texts and lists of them are JSON.
    drop(serde_json::to_writer(out.writer(), &value));
}

/// Answers a request of which every event was rejected.
pub(crate) fn all_rejected(request: &DecodedRequest) -> Answer {
    let rejected: Vec<_> = rejected(request).map(|event| json!(event)).collect();
    Problem::from(RejectReason::AllEventsRejected)
        .with("accepted", 0)
        .with("duplicates", request.duplicates)
        .with("rejectedCount", request.rejected_count())
        .with("rejected", rejected)
        .into_response()
}

/// Answers a request that may be stored or not: with the ids given here, sending it again is
/// harmless.
pub(crate) fn not_confirmed(request: &DecodedRequest, wait: Duration) -> Answer {
    let ids = (0..request.ids.len())
        .map(|index| event_id(request, index, &mut [0; 36]).map_or(Value::Null, Value::from));
    Problem::from(RejectReason::NotConfirmed)
        .with("eventIds", ids.collect::<Vec<_>>())
        .retry_after(wait)
        .into_response()
}

/// Answers a request of somebody over a rate or a quota, with the headers of
/// draft-ietf-httpapi-ratelimit-headers-10.
pub(crate) fn limited(over: &Exceeded) -> Answer {
    let Exceeded {
        limit,
        quota,
        window_s,
        wait,
        ..
    } = over;
    let mut answer = Problem::from(over.reason)
        .detail(format!("{limit}: {quota} pass within {window_s} s"))
        .with("limit", *limit)
        .retry_after(*wait)
        .into_response();
    let policy = format!("\"{limit}\";q={quota};w={window_s}");
    let left = format!("\"{limit}\";r=0;t={}", wait.as_secs_f64().ceil());
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
        // Names and numbers are always a header's value.
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Lets the bytes of a large answer count as in flight until the last of them is sent.
pub(crate) fn held(answer: Answer, mut reserved: Reservation) -> Answer {
    if answer.body().size_hint().lower() <= UNCOUNTED_BYTES {
        return answer;
    }
    answer.map(|body| {
        let collected = body.collect().now_or_never().and_then(Result::ok);
        let bytes = collected.map(Collected::to_bytes).unwrap_or_default();
        reserved.set(bytes.len());
        Full::new(Bytes::from_owner(Held { bytes, reserved }))
    })
}

/// hyper keeps the bytes of an answer until they are sent, and drops them with their owner.
struct Held {
    bytes: Bytes,
    #[expect(dead_code, reason = "held for its Drop")]
    reserved: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Answers a method the path does not take.
pub(crate) fn method_not_allowed(allow: &'static str) -> Answer {
    let mut response = Problem::from(RejectReason::MethodNotAllowed).into_response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Answers without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use evp_shared::event::EventRules;
    use evp_shared::event::id::{Identity, IdentityConfig};

    use super::*;
    use crate::admission::Load;
    use crate::decode::{BodyLimits, DecodeContext, Decoder, Format};

    fn decode(body: &str) -> DecodedRequest {
        let ctx = DecodeContext {
            tenant: "default",
            now_ms: 1_700_000_000_000,
            identity: &Identity::new(IdentityConfig::default()),
            limits: BodyLimits::default(),
            rules: EventRules::default(),
            idempotency_key: None,
            floor_ms: None,
            types: &[],
        };
        Decoder::default()
            .decode(body.as_bytes(), Format::Sniff, &ctx)
            .expect("decodes")
    }

    fn json(request: &DecodedRequest, ids: Ids) -> Value {
        serde_json::from_slice(&accepted_body(request, ids)).expect("JSON")
    }

    #[test]
    fn a_list_is_answered_by_index() {
        let request = decode(r#"[{"type":"a","eventId":"x"},7,{"type":"b","x\"\n":1}]"#);
        let expected = json!({
            "accepted": 1,
            "duplicates": 0,
            "rejectedCount": 2,
            "rejected": [
                {"index": 1, "code": "not_an_object", "message": "send each event as a JSON object"},
                {"index": 2, "code": "unknown_field", "field": "x\"\n",
                 "message": RejectReason::UnknownField.message()},
            ],
            "ids": [request.ids[0].id.unwrap().to_string(), null, null],
        });
        assert_eq!(json(&request, Ids::Listed), expected);
        let without = json(&request, Ids::LeftOut);
        assert_eq!(without.get("ids"), None);
    }

    #[test]
    fn a_single_event_is_answered_with_its_ids() {
        let sent = json(&decode(r#"{"type":"a","eventId":"a\\b\"c"}"#), Ids::LeftOut);
        assert_eq!(sent["eventId"], "a\\b\"c");
        let request = decode(r#"{"type":"a"}"#);
        let made = json(&request, Ids::Listed);
        assert_eq!(made["id"], made["ids"][0]);
        assert_eq!(made["eventId"].as_str().unwrap().len(), 36);
        assert_ne!(made["id"], made["eventId"]);
    }

    #[test]
    fn a_large_answer_counts_as_in_flight_until_its_bytes_are_gone() {
        let load = Load::default();
        let reserved = || {
            let mut reserved = load.reserve();
            reserved.set(1 << 20);
            reserved
        };
        let in_flight = || load.snapshot(0).in_flight_bytes;
        let events = vec![r#"{"type":"a"}"#; 1_000].join("\n");
        let answer = |body| accepted(&decode(body), Ids::Listed, HeaderValue::from_static("x"));

        let small = held(answer(r#"{"type":"a"}"#), reserved());
        assert_eq!(in_flight(), 0);
        drop(small);
        let large = held(answer(&events), reserved());
        let frame = large.into_body().frame().now_or_never().unwrap().unwrap();
        let bytes = frame.unwrap().into_data().unwrap();
        assert!(bytes.len() > 39_000 && in_flight() == bytes.len());
        drop(bytes);
        assert_eq!(in_flight(), 0);
    }
}
