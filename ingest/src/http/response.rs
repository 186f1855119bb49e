//! Hot path: answers, written by hand where every request needs one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use evp_shared::document;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use futures::FutureExt as _;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Body as _;
use serde_json::{Value, json};

use crate::admission::Reservation;
use crate::decode::{BodyProblem, DecodedRequest, EventIdOf, RejectedEvent, Shape};

/// Most rejected events that an answer lists: enough to find the fault of a producer, and some tens
/// of KiB at most.
pub(crate) const REJECTED_MAX: usize = 100;

/// Answers up to this size lie in the socket's buffer at once, and are not counted: all
/// connections together hold 40 MiB of them at most.
const UNCOUNTED_BYTES: u64 = 4 * 1024;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Says what `202` promises.
pub(crate) const EVP_DURABILITY: HeaderName = HeaderName::from_static("evp-durability");

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
    number(&mut out, request.batch.events.len());
    out.extend_from_slice(b",\"duplicates\":");
    number(&mut out, request.duplicates);
    out.extend_from_slice(b",\"rejectedCount\":");
    number(&mut out, request.rejected_count());
    out.extend_from_slice(b",\"rejected\":[");
    for (at, event) in request.rejected.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        rejected_event(&mut out, event);
    }
    out.extend_from_slice(b"]");
    if ids == Ids::Listed {
        out.extend_from_slice(b",\"ids\":[");
        for (at, id) in request.ids.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            match id {
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
    if let Some(Some(id)) = request.ids.first() {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(id.encode(&mut [0; 36]).as_bytes());
        out.extend_from_slice(b"\"");
    }
    let mut made = [0; 36];
    if let Some(event_id) = event_id(request, 0, &mut made) {
        out.extend_from_slice(b",\"eventId\":");
        string(out, event_id);
    }
}

/// The `eventId` of an input event, sent or made.
fn event_id<'r>(
    request: &'r DecodedRequest,
    index: usize,
    buffer: &'r mut [u8; 36],
) -> Option<&'r str> {
    match request.event_ids.get(index)? {
        EventIdOf::Nothing => None,
        EventIdOf::Made(made) => Some(made.encode(buffer)),
        EventIdOf::Document(at) => document::event_id(request.batch.document(usize::from(*at))?),
    }
}

fn rejected_event(out: &mut BytesMut, event: &RejectedEvent) {
    out.extend_from_slice(b"{\"index\":");
    number(out, event.index);
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(event.rejection.code.as_str().as_bytes());
    out.extend_from_slice(b"\"");
    if let Some(field) = &event.rejection.field {
        out.extend_from_slice(b",\"field\":");
        string(out, field);
    }
    out.extend_from_slice(b",\"message\":");
    string(out, &event.rejection.message);
    out.extend_from_slice(b"}");
}

fn number(out: &mut BytesMut, number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        // A remainder by ten always fits.
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a JSON string; most need no escape.
fn string(out: &mut BytesMut, text: &str) {
    let is_plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(is_plain) {
        out.extend_from_slice(b"\"");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\"");
    } else {
        out.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

/// Starts the problem of a reason that refuses a whole request.
pub(crate) fn problem(reason: RejectReason) -> Problem {
    reason.into()
}

/// Answers a header or query that is wrong; `parameter` is the one to blame.
pub(crate) fn head_problem(reason: RejectReason, parameter: Option<&str>) -> Answer {
    let mut problem = problem(reason);
    if let Some(name) = parameter {
        problem = problem
            .detail("send ids=none, ack=stream, both or neither")
            .with("parameter", name);
    }
    problem.into_response()
}

/// Answers a body that is wrong as a whole.
pub(crate) fn body_problem(fault: &BodyProblem) -> Answer {
    let mut problem = problem(fault.reason);
    if let Some(offset) = fault.offset {
        problem = problem
            .detail(format!("the fault is at byte {offset}"))
            .with("offset", offset);
    }
    problem.into_response()
}

/// Answers a request of which every event was rejected.
pub(crate) fn all_rejected(request: &DecodedRequest) -> Answer {
    let rejected = request.rejected.iter().map(|event| {
        let rejection = &event.rejection;
        let mut shown =
            json!({"index": event.index, "code": rejection.code.as_str(), "message": rejection.message});
        if let (Some(field), Some(shown)) = (&rejection.field, shown.as_object_mut()) {
            shown.insert("field".to_owned(), Value::from(field.as_ref()));
        }
        shown
    });
    problem(RejectReason::AllEventsRejected)
        .with("accepted", 0)
        .with("duplicates", request.duplicates)
        .with("rejectedCount", request.rejected_count())
        .with("rejected", rejected.collect::<Vec<_>>())
        .into_response()
}

/// Answers a request of which nothing was stored, to be sent again later.
pub(crate) fn not_accepted(reason: RejectReason, wait: Duration) -> Answer {
    problem(reason).retry_after(wait).into_response()
}

/// Answers a request that may be stored or not: with the ids given here, sending it again is
/// harmless.
pub(crate) fn not_confirmed(request: &DecodedRequest, wait: Duration) -> Answer {
    let ids = (0..request.event_ids.len())
        .map(|index| event_id(request, index, &mut [0; 36]).map_or(Value::Null, Value::from));
    problem(RejectReason::NotConfirmed)
        .with("eventIds", ids.collect::<Vec<_>>())
        .retry_after(wait)
        .into_response()
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
    let mut response = problem(RejectReason::MethodNotAllowed).into_response();
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
            "ids": [request.ids[0].unwrap().to_string(), null, null],
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
        let load = Load::new();
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
