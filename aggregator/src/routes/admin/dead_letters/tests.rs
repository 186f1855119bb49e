use super::*;
use crate::routes::body::parse;

fn asked(body: &str) -> Result<Filter, Problem> {
    let body: OperationBody = serde_json::from_str(body).unwrap();
    body.filter(1_800_000_000_000)
}

#[test]
fn letters_are_named_one_by_one_or_by_a_filter_and_never_by_mistake() {
    assert!(asked(r#"{"filter":{}}"#).unwrap().is_everything());
    let filter = asked(r#"{"filter":{"reason":"undecodable","from":1700000000}}"#).unwrap();
    assert_eq!(filter.reason, Some(DeadReason::Undecodable));
    assert_eq!(filter.from_ms, Some(1_700_000_000_000));
    let one = asked(r#"{"ids":["1700000000000.3.5-1"]}"#).unwrap();
    assert_eq!(one.ids.len(), 1);
    let wrong = [
        "{}",
        r#"{"ids":[]}"#,
        r#"{"ids":["x"]}"#,
        r#"{"ids":["1.3.5-1"],"filter":{}}"#,
        r#"{"filter":{"reason":"none"}}"#,
        r#"{"filter":{"type":"$ne"}}"#,
        r#"{"filter":{"to":"soon"}}"#,
    ];
    for body in wrong {
        assert!(asked(body).is_err(), "{body}");
    }
}

#[test]
fn a_field_that_is_wrong_is_named() {
    let table = [
        (r#"{"filter":{"reasons":1}}"#, "filter.reasons"),
        (r#"{"filter":{"from":-5}}"#, "filter.from"),
        (r#"{"filter":{},"dryRun":"false"}"#, "dryRun"),
        (r#"{"ids":[1]}"#, "ids[0]"),
        (r#"{"filter":[null,null,null,null]}"#, "filter"),
        ("[null, {}, false]", "."),
    ];
    for (body, name) in table {
        let bad = parse::<OperationBody>(body.as_bytes()).unwrap_err();
        assert_eq!(bad.member("parameter"), name, "{body}");
        assert_eq!(
            bad.code(),
            RejectReason::InvalidParameter.as_str(),
            "{body}"
        );
    }
    for body in ["{", "{}}", ""] {
        let bad = parse::<OperationBody>(body.as_bytes()).unwrap_err();
        assert_eq!(bad.code(), RejectReason::MalformedJson.as_str(), "{body}");
    }
    let bad = asked(r#"{"filter":{"to":"soon"}}"#).unwrap_err();
    assert_eq!(bad.member("parameter"), "filter.to");
}

#[test]
fn the_window_of_the_first_page_holds_on_all_pages() {
    let place: Place = (5, "1700000000000.3.5-1".parse().unwrap());
    let at = |now_ms, (from, to): (Option<&str>, Option<&str>)| {
        let instant = |text: &str| Instant::Text(text.to_owned());
        let asked = FilterBody {
            from: from.map(instant),
            to: to.map(instant),
            ..FilterBody::default()
        };
        asked.read("", now_ms).unwrap()
    };
    let first = at(1_800_000_000_000, (Some("-1h"), None));
    let cursor = encode(&first, &place);
    let later = |written, cursor: &str| go_on(at(1_900_000_000_000, written), written, cursor);
    let (window, after) = later((Some("-1h"), None), &cursor).unwrap();
    assert_eq!((window.from_ms, after), (first.from_ms, place.clone()));

    let absolute = (Some("1700000000"), Some("1800000000000"));
    let cursor = encode(&at(1_800_000_000_000, absolute), &place);
    assert!(later(absolute, &cursor).is_some());
    let others = [
        (Some("1700000001"), absolute.1),
        (absolute.0, None),
        (None, Some("-1h")),
    ];
    for other in others {
        assert!(later(other, &cursor).is_none(), "{other:?}");
    }
    for wrong in ["x", "", "e30"] {
        assert!(later((None, None), wrong).is_none(), "{wrong}");
    }
}
