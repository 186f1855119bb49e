//! Which field of an event the parser refused. Pure, and slow: it parses the event again, member
//! by member, so it is for refused events only.

use std::fmt;

use evp_shared::event::reject::Rejection;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::parser::{Parser, reason_of};

/// Levels of objects that are looked into: a path is cut to 64 characters anyway.
const LEVELS_MAX: usize = 8;

/// The rejection of an event that is JSON by its grammar and refused by the parser with `error`.
pub(super) fn rejection_of(event: &str, error: &simd_json::Error) -> Rejection {
    let code = reason_of(error);
    match field_of(event) {
        Some(path) => Rejection::key(code, &path),
        None => code.into(),
    }
}

/// The path to the innermost member that the parser refuses, such as `payload.n`; `None` when it
/// refuses none, or `event` is no object.
fn field_of(event: &str) -> Option<String> {
    let mut parser = Parser::new();
    let mut path: Option<String> = None;
    let mut value = event;
    for _ in 0..LEVELS_MAX {
        let Some((key, refused)) = refused_member(&mut parser, value) else {
            break;
        };
        path = Some(match path {
            Some(outer) => format!("{outer}.{key}"),
            None => key,
        });
        value = refused;
    }
    path
}

/// Key and value of the first member that the parser refuses.
fn refused_member<'a>(parser: &mut Parser, object: &'a str) -> Option<(String, &'a str)> {
    let members = serde_json::Deserializer::from_str(object)
        .deserialize_map(Members)
        .ok()?;
    let (key, value) = members.into_iter().find(|(key, value)| {
        is_refused(parser, &format!("[{}]", key.get()))
            || is_refused(parser, &format!("[{}]", value.get()))
    })?;
    Some((name_of(key.get()), value.get()))
}

fn is_refused(parser: &mut Parser, text: &str) -> bool {
    parser.load(text.as_bytes());
    parser.parse(0..text.len(), |_| ()).is_err()
}

/// A key as text; as it was written where it is not text.
fn name_of(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_else(|_| key.trim_matches('"').to_owned())
}

/// Reads an object as the texts of its members.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_refused_member_is_named() {
        let bomb = format!(
            r#"{{"type":"a","payload":{}1{}}}"#,
            r#"{"k":"#.repeat(2_000),
            "}".repeat(2_000)
        );
        let lists = format!(
            r#"{{"a":1,"metadata":{{"x":{}{}}}}}"#,
            "[".repeat(2_000),
            "]".repeat(2_000)
        );
        let cases = [
            (r#"{"type":"a","priority":1e400}"#, Some("priority")),
            (r#"{"payload":{"a":{"b":1},"n":-1e400}}"#, Some("payload.n")),
            (
                r#"{ "payload" : [ 1, {"n" : 99999999999999999999999 } ] }"#,
                Some("payload"),
            ),
            (r#"{"a":"\u00e9","userId":"\ud800"}"#, Some("userId")),
            (r#"{"payload":{"s\ud800":1}}"#, Some(r"payload.s\ud800")),
            (r#"{"pay\u006coad":"\udc00x"}"#, Some("payload")),
            (r#"{"a":"{\"b\":1e400}","c":1e400}"#, Some("c")),
            (bomb.as_str(), Some("payload.k.k.k.k.k.k.k")),
            (lists.as_str(), Some("metadata.x")),
            (r#"{"a":1}"#, None),
            (r#"[{"a":1e400}]"#, None),
            ("1e400", None),
            (r#"{"a":1e400"#, None),
        ];
        for (event, field) in cases {
            let shown: String = event.chars().take(60).collect();
            assert_eq!(field_of(event).as_deref(), field, "{shown}");
        }
    }
}
