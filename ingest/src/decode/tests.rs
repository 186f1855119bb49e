use evp_shared::choice::Choice as _;
use evp_shared::document;
use evp_shared::event::EventRules;
use evp_shared::event::id::{CanonicalId, Identity, IdentityConfig};
use proptest::prelude::*;

use super::parser::PARSED;
use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

struct Case {
    identity: Identity,
    limits: BodyLimits,
    key: Option<&'static str>,
}

impl Case {
    fn new() -> Self {
        let identity = Identity::new(IdentityConfig::default());
        Self {
            identity,
            limits: BodyLimits::default(),
            key: None,
        }
    }

    fn decode(&self, body: &[u8], format: Format) -> Result<DecodedRequest, Problem> {
        let ctx = DecodeContext {
            tenant: "default",
            now_ms: NOW_MS,
            identity: &self.identity,
            limits: self.limits,
            rules: EventRules::default(),
            idempotency_key: self.key,
            floor_ms: None,
            types: &[],
        };
        let request = Decoder::default().decode(body, format, &ctx)?;
        let events = request.ids.len();
        assert_eq!(request.batch.events.len() + request.rejected.len(), events);
        Ok(request)
    }
}

fn decode(body: &str, format: Format) -> DecodedRequest {
    Case::new().decode(body.as_bytes(), format).expect(body)
}

fn problem(body: &[u8], format: Format) -> (RejectReason, Option<usize>) {
    let problem = Case::new()
        .decode(body, format)
        .expect_err("the body is refused");
    let offset = problem.member("offset").as_u64();
    let offset = offset.map(|offset| usize::try_from(offset).unwrap());
    (reason_of(&problem), offset)
}

fn reason_of(problem: &Problem) -> RejectReason {
    RejectReason::named(problem.code()).unwrap()
}

fn stored_ids(request: &DecodedRequest) -> Vec<&str> {
    (0..request.batch.events.len())
        .map(|at| document::event_id(request.batch.document(at).unwrap()).unwrap_or("-"))
        .collect()
}

fn rejected(request: &DecodedRequest) -> Vec<(usize, RejectReason)> {
    request
        .rejected
        .iter()
        .map(|event| (event.index, event.rejection.code))
        .collect()
}

fn event(id: &str) -> String {
    format!(r#"{{"eventType":"a","eventId":"{id}"}}"#)
}

#[test]
fn every_shape_of_body_is_read() {
    let (a, b) = (event("a"), event("b"));
    let cases = [
        (format!(" {a}\r\n"), Format::Json, Shape::Single, vec!["a"]),
        (
            format!("[{a}, {b}]"),
            Format::Json,
            Shape::Many,
            vec!["a", "b"],
        ),
        (format!("[{a}]"), Format::Json, Shape::Many, vec!["a"]),
        (
            format!(r#"{{ "events" : [{a},{b}] }}"#),
            Format::Json,
            Shape::Many,
            vec!["a", "b"],
        ),
        (
            format!("{a}\n{b}"),
            Format::Ndjson,
            Shape::Many,
            vec!["a", "b"],
        ),
        (
            format!("\r\n{a}\r\n\r\n  {b} \r\n"),
            Format::Ndjson,
            Shape::Many,
            vec!["a", "b"],
        ),
        (
            format!("{a}\n{b}\n"),
            Format::Sniff,
            Shape::Many,
            vec!["a", "b"],
        ),
        (format!("{a}\n"), Format::Sniff, Shape::Single, vec!["a"]),
        (
            a.replace(',', ",\n"),
            Format::Sniff,
            Shape::Single,
            vec!["a"],
        ),
        (
            format!("[{a},\n{b}]"),
            Format::Sniff,
            Shape::Many,
            vec!["a", "b"],
        ),
    ];
    for (body, format, shape, ids) in cases {
        let request = decode(&body, format);
        assert_eq!(
            (request.shape, stored_ids(&request)),
            (shape, ids),
            "{body}"
        );
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one row per fault")]
#[test]
fn one_bad_element_costs_nobody_else() {
    use RejectReason as R;
    let bomb = format!(
        r#"{{"eventType":"a","payload":{{"x":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let shallow_bomb = format!(
        r#"{{"eventType":"a","payload":{{"x":{}{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let cases = [
        ("1", R::NotAnObject),
        ("null", R::NotAnObject),
        (
            r#"{"eventType":"a","payload":{"n":1e400}}"#,
            R::NumberOutOfRange,
        ),
        (
            r#"{"eventType":"a","payload":{"n":-1e400}}"#,
            R::NumberOutOfRange,
        ),
        (
            r#"{"eventType":"a","payload":{"n":18446744073709551615}}"#,
            R::NumberOutOfRange,
        ),
        (
            r#"{"eventType":"a","payload":{"n":99999999999999999999999}}"#,
            R::NumberOutOfRange,
        ),
        (
            r#"{"eventType":"a","payload":{"s":"\ud800"}}"#,
            R::InvalidString,
        ),
        (
            r#"{"eventType":"a","payload":{"s":"\udc00x"}}"#,
            R::InvalidString,
        ),
        (
            r#"{"eventType":"a","payload":{"s":"\ud800\u0041"}}"#,
            R::InvalidString,
        ),
        (
            r#"{"eventType":"a","payload":{"s\ud800":1}}"#,
            R::InvalidString,
        ),
        (bomb.as_str(), R::TooDeep),
        (shallow_bomb.as_str(), R::TooDeep),
    ];
    let (a, b) = (event("\\u0061"), event("b"));
    for (bad, reason) in cases {
        let shown = bad.chars().take(60).collect::<String>();
        for (body, format) in [
            (format!("[{a},{bad}, {b}]"), Format::Json),
            (format!("{{\"events\":[{a},{bad}, {b}]}}"), Format::Sniff),
            (format!("{a}\n{bad}\r\n{b}"), Format::Ndjson),
        ] {
            let request = decode(&body, format);
            assert_eq!(rejected(&request), [(1, reason)], "{shown} {format:?}");
            assert_eq!(stored_ids(&request), ["a", "b"], "{shown} {format:?}");
            assert_eq!(request.ids[1].id, None);
        }
        let alone = decode(bad, Format::Json);
        assert_eq!(
            (alone.shape, rejected(&alone)),
            (Shape::Single, vec![(0, reason)]),
            "{shown}"
        );
    }
}

#[test]
fn bad_lines_are_told_apart() {
    let a = event("a");
    let body = format!(
        "{a} {a}\n{{\"eventType\":\n{a}}}\n[{a}]\n\"x\n{}\n",
        event("b")
    );
    let request = decode(&body, Format::Ndjson);
    use RejectReason as R;
    let expected = [
        (0, R::TrailingTokens),
        (1, R::MalformedJson),
        (2, R::TrailingTokens),
        (3, R::NotAnObject),
        (4, R::MalformedJson),
    ];
    assert_eq!(rejected(&request), expected);
    assert_eq!(stored_ids(&request), ["b"]);
}

#[test]
fn bad_bodies_are_refused_whole_with_the_place() {
    use RejectReason as R;
    let cases: [(&[u8], Format, R, Option<usize>); 14] = [
        (b"", Format::Json, R::EmptyBody, None),
        (b" \r\n\t", Format::Ndjson, R::EmptyBody, None),
        (b"[]", Format::Json, R::EmptyBody, None),
        (b"{\"events\":[]}", Format::Json, R::EmptyBody, None),
        (
            b"[{\"type\":\"a\"},]",
            Format::Json,
            R::MalformedJson,
            Some(14),
        ),
        (
            b"[{\"type\":\"a\"}",
            Format::Json,
            R::MalformedJson,
            Some(13),
        ),
        (
            b"[{\"type\":\"a\"}\n, oops]",
            Format::Json,
            R::MalformedJson,
            Some(16),
        ),
        (
            b"[{\"type\":\"a\"}]]",
            Format::Json,
            R::MalformedJson,
            Some(14),
        ),
        (b"[01]", Format::Json, R::MalformedJson, Some(2)),
        (
            b"{\"type\":\"a\"}\n{\"type\":\"a\"}",
            Format::Json,
            R::MalformedJson,
            Some(13),
        ),
        (b"[\"\xff\"]", Format::Json, R::InvalidUtf8, Some(2)),
        (
            b"{\"type\":\"a\"}\n\"\xff\"",
            Format::Ndjson,
            R::InvalidUtf8,
            Some(14),
        ),
        (b"[\"a\nb\"]", Format::Sniff, R::MalformedJson, Some(2)),
        (b"eventType=a", Format::Sniff, R::MalformedJson, Some(0)),
    ];
    for (body, format, reason, offset) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(problem(body, format), (reason, offset), "{shown}");
    }
    let bomb = "[".repeat(100_000);
    assert_eq!(problem(bomb.as_bytes(), Format::Json).0, R::MalformedJson);
}

#[test]
fn caps_hold_exactly() {
    let mut case = Case::new();
    case.limits = BodyLimits {
        decoded_bytes_max: 4096,
        events_max: 3,
    };
    let list = |n: usize| vec![event("x"); n].join(",");
    let lines = |n: usize| vec!["1"; n].join("\n");
    for (body, reason) in [
        (format!("[{}]", list(4)), RejectReason::TooManyEvents),
        (format!("[{},1e999]", list(3)), RejectReason::TooManyEvents),
        (lines(4), RejectReason::TooManyEvents),
        ("x".repeat(4097), RejectReason::BodyTooLarge),
        (
            format!(
                r#"{{"type":"a","payload":{{"x":[0{}]}}}}"#,
                ",0".repeat(1000)
            ),
            RejectReason::BodyTooLarge,
        ),
    ] {
        let found = case
            .decode(body.as_bytes(), Format::Sniff)
            .expect_err(&body);
        assert_eq!(reason_of(&found), reason, "{body}");
    }
    assert!(
        case.decode(format!("[{}]", list(3)).as_bytes(), Format::Json)
            .is_ok()
    );
    assert!(case.decode(lines(3).as_bytes(), Format::Ndjson).is_ok());
}

#[test]
fn duplicates_inside_a_request_name_the_first() {
    let body = format!(
        r#"[{},{},{{"type":"a"}},{{"type":"a"}},{}]"#,
        event("x"),
        event("y"),
        event("x")
    );
    let request = decode(&body, Format::Json);
    assert_eq!(rejected(&request), [(4, RejectReason::DuplicateInRequest)]);
    assert_eq!(request.duplicates, 1);
    assert_eq!(request.ids[4].id, request.ids[0].id);
    assert_eq!(request.ids[4].event_id, EventIdOf::Document(0));
    assert_eq!(
        request.rejected[0].rejection.field.as_deref(),
        Some("eventId")
    );
    assert!(request.rejected[0].rejection.message.contains("event 0 "));
    // An event that was rejected for its content leaves its id free.
    let body = r#"[{"type":"a","eventId":"x","payload":{"k":1,"k":1}},{"type":"a","eventId":"x"}]"#;
    let request = decode(body, Format::Json);
    assert_eq!(rejected(&request), [(0, RejectReason::DuplicateKey)]);
    // With timestamps that differ they are two events.
    let body = r#"[{"type":"a","eventId":"x","timestamp":1},{"type":"a","eventId":"x"}]"#;
    assert!(decode(body, Format::Json).rejected.is_empty());
}

#[test]
fn the_idempotency_key_is_the_event_id_of_a_single_event() {
    let mut case = Case::new();
    case.key = Some("k");
    let plain = br#"{"type":"a"}"#;
    let request = case.decode(plain, Format::Json).unwrap();
    assert_eq!(stored_ids(&request), ["k"]);
    assert_eq!(
        case.decode(event("k").as_bytes(), Format::Json)
            .unwrap()
            .ids,
        request.ids
    );
    let other = case.decode(event("x").as_bytes(), Format::Json).unwrap();
    assert_eq!(rejected(&other), [(0, RejectReason::ConflictingFields)]);
    let many = case.decode(br#"[{"type":"a"}]"#, Format::Json).unwrap_err();
    assert_eq!(reason_of(&many), RejectReason::InvalidIdempotencyKey);
    case.key = Some("a\nb");
    let bad = case.decode(plain, Format::Json).unwrap_err();
    assert_eq!(reason_of(&bad), RejectReason::InvalidIdempotencyKey);
}

#[test]
fn made_ids_differ_and_are_named() {
    let request = decode(r#"[{"type":"a"},{"type":"a"}]"#, Format::Json);
    assert_ne!(request.ids[0].id, request.ids[1].id);
    let EventIdOf::Made(made) = request.ids[0].event_id else {
        panic!("made by the server")
    };
    let sent_back = event(made.encode(&mut [0; 36]));
    let again = decode(&sent_back, Format::Json).ids;
    assert_eq!(again[0].id, request.ids[0].id);
}

#[test]
fn types_are_listed_once_however_many() {
    let events: Vec<_> = (0..100)
        .map(|n| format!(r#"{{"type":"t{}"}}"#, n % 40))
        .collect();
    let request = decode(&format!("[{}]", events.join(",")), Format::Json);
    assert_eq!(request.batch.types.len(), 40);
    for (n, mark) in request.batch.events.iter().enumerate() {
        let expected = format!("t{}", n % 40);
        assert_eq!(
            *request.batch.types[usize::from(mark.type_index)],
            *expected
        );
        assert!(mark.undated);
    }
}

proptest! {
    #[test]
    fn neighbours_survive_a_bad_element_at_any_position(
        before in 0_usize..6,
        after in 0_usize..6,
        bad in prop_oneof![
            Just("7"), Just(r#"{"type":"a","payload":{"n":1e999}}"#), Just("{}"),
            Just(r#"{"type":"a","userId":"\ud800"}"#), Just(r#"{"type":"a","type":"a"}"#),
            Just("[[[[]]]]"),
        ],
        format in prop_oneof![Just(Format::Json), Just(Format::Ndjson), Just(Format::Sniff)],
    ) {
        let mut parts: Vec<_> = (0..before + after).map(|n| event(&format!("e{n}"))).collect();
        parts.insert(before, bad.to_owned());
        let body = match format {
            Format::Json => format!("[{}]", parts.join(",")),
            Format::Ndjson | Format::Sniff => parts.join("\n"),
        };
        let request = decode(&body, format);
        let expected: Vec<_> = (0..before + after).map(|n| format!("e{n}")).collect();
        prop_assert_eq!(stored_ids(&request), expected);
        prop_assert_eq!(request.rejected.len(), 1);
        prop_assert_eq!(request.rejected[0].index, before);
    }

    /// Text that was damaged anywhere is refused or read, never a panic; and what the fast parser
    /// takes, the grammar of a second parser takes as well.
    #[test]
    fn damaged_bodies_are_answered(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        format in prop_oneof![Just(Format::Json), Just(Format::Ndjson), Just(Format::Sniff)],
    ) {
        let whole = format!(
            r#"[{},{{"type":"a","payload":{{"x":[1,-2.5e3,"\u00e9\n",true,null]}}}}]"#, event("a"));
        let mut body = whole.into_bytes();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let cut = cut.index(body.len() * 4);
        body.truncate(cut.max(1));
        let result = Case::new().decode(&body, format);
        if format == Format::Json && result.is_ok() {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok());
        }
    }
}

#[test]
fn what_is_held_until_the_answer_counts_rejected_events_and_ids() {
    let held = |body: &str| decode(body, Format::Ndjson).held_bytes();
    let one = r#"{"type":"a"}"#;
    let document = decode(one, Format::Json).batch.documents.len();
    assert!(
        held(one) > 2 * document + 16,
        "also in its frame; an id, and a mark"
    );

    // Most of a request may be events that leave no document.
    let many = format!("{one}\n{}", "7\n".repeat(5_000));
    let per_rejected = (held(&many) - held(one)) / 5_000;
    let least = size_of::<RejectedEvent>() + size_of::<Option<CanonicalId>>();
    // Lists grow by doubling.
    assert!(
        (least..2 * least + 64).contains(&per_rejected),
        "{per_rejected}"
    );
    let mut request = decode(&many, Format::Ndjson);
    request.keep_rejected(100);
    assert_eq!(
        (request.rejected_count(), request.rejected.len()),
        (5_000, 100)
    );
    assert!(held(&many) - request.held_bytes() >= 4_900 * size_of::<RejectedEvent>());

    // The room for documents is as large as the body at first.
    assert!(held(&format!("{one}{}", " ".repeat(1 << 20))) < 10_000);

    // What an answer repeats of a client's own keys is held as well.
    let named = |name: &str| held(&format!("{one}\n{{\"type\":\"a\",\"{name}\":1}}"));
    let room = 59; // As many bytes more of the body.
    assert_eq!(named(&"k".repeat(60)) - named("k"), 59 + room);
}

#[test]
fn a_refused_body_is_parsed_no_more_than_twice() {
    let zeros = "0,".repeat(50_000);
    let huge = format!(r#"{{"type":"a","payload":{{"a":[{zeros}0],"z":1e400}}}}"#);
    let levels = format!(
        r#"{}"a":[{zeros}0],"z":1e400{}"#,
        r#"{"payload":"#.repeat(7) + "{",
        "}".repeat(8)
    );
    let text = format!(r#"{{"userId":"{}\ud800","type":"a"}}"#, "x".repeat(50_000));
    let members: String = (0..5_000).map(|n| format!(r#""{n}":{n},"#)).collect();
    let members = format!(r#"{{{members}"z":1e400}}"#);
    for event in [huge, levels, text, members] {
        for (body, format) in [
            (event.clone(), Format::Json),
            (format!("[{event},{event},{event}]"), Format::Json),
            (
                format!(r#"{{"events":[{event},1,{event}]}}"#),
                Format::Sniff,
            ),
            (format!("{event}\n{event}\n1"), Format::Ndjson),
            (format!("{event}\n{event}\n1"), Format::Sniff),
        ] {
            PARSED.set(0);
            let request = decode(&body, format);
            assert!(request.batch.events.is_empty());
            let parsed = PARSED.get();
            let shown: String = body.chars().take(60).collect();
            assert!(
                parsed <= 2 * body.len(),
                "{parsed} of {}: {shown}",
                body.len()
            );
        }
    }
}
