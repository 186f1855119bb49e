//! Hot path: the JSON parser with its buffers, and what its errors mean.

use evp_shared::event::reject::Rejection;
use evp_shared::outcome::RejectReason;
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

/// Levels of objects that the path to a fault names: it is cut to 64 characters anyway.
const LEVELS_MAX: usize = 8;

#[cfg(test)]
thread_local! {
    /// Bytes of the values parsed on this thread, each as often as it was.
    pub(super) static PARSED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// simd-json with its buffers, over a padded copy of the body: it unescapes strings in place, and
/// the slow path needs the body as it was sent.
pub(super) struct Parser {
    padded: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            padded: Vec::new(),
            buffers: Buffers::new(0),
            tape: Tape(Vec::new()),
        }
    }
}

impl Parser {
    pub(super) fn load(&mut self, body: &[u8]) {
        self.padded.clear();
        self.padded.reserve(body.len() + INPUT_PADDING);
        self.padded.extend_from_slice(body);
        self.padded.resize(body.len() + INPUT_PADDING, b' ');
    }

    /// Parses one value of what was loaded and hands its nodes to `read`.
    pub(super) fn parse<T>(
        &mut self,
        part: std::ops::Range<usize>,
        read: impl FnOnce(&[Node<'_>]) -> T,
    ) -> Result<T, simd_json::Error> {
        #[cfg(test)]
        PARSED.set(PARSED.get() + part.len());
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let input = &mut self.padded[part.start..part.end + INPUT_PADDING];
        let result = simd_json::fill_tape_padded(input, part.len(), &mut self.buffers, &mut tape);
        let result = result.map(|()| read(&tape.0));
        self.tape = tape.reset();
        result
    }
}

/// The rejection of an event that is JSON by its grammar and was refused with `error`.
pub(super) fn rejection_of(event: &str, error: &simd_json::Error) -> Rejection {
    let code = reason_of(error);
    // Of a string, the index counts from its own beginning.
    let at = (code != RejectReason::InvalidString).then(|| error.index());
    let path = path_to(event, at);
    if path.is_empty() {
        code.into()
    } else {
        Rejection::key(code, &path)
    }
}

/// The keys that lead to byte `at`, or to the first string that is no text, such as `payload.n`;
/// from outside up to the first array. One pass without a parser: an event that is refused may be
/// as large as a body.
fn path_to(event: &str, at: Option<usize>) -> String {
    let last = at.unwrap_or(usize::MAX);
    let bytes = event.as_bytes();
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut next = 0;
    while let Some(byte) = bytes.get(next).filter(|_| next <= last) {
        let begin = next;
        next += 1;
        match byte {
            b'"' => {
                next = string_end(bytes, next);
                let string = event.get(begin..next).unwrap_or_default();
                let rest = event.get(next..).unwrap_or_default();
                if rest.trim_ascii_start().starts_with(':')
                    && let Some(key) = open.last_mut()
                {
                    *key = Some(string);
                }
                if at.is_none() && string.contains("\\u") && text_of(string).is_none() {
                    break;
                }
            }
            // The error may lie right behind its value, or on its first byte.
            b'{' | b'[' if begin < last => open.push(None),
            b'}' | b']' if begin < last => drop(open.pop()),
            _ => {}
        }
    }
    // A key that is no text is named as it was written.
    let as_sent = |key: &str| key.trim_matches('"').to_owned();
    let names = open.into_iter().map_while(|key| {
        let key = key?;
        text_of(key).or_else(|| Some(as_sent(key)))
    });
    names.take(LEVELS_MAX).collect::<Vec<_>>().join(".")
}

/// The byte after the string of which the inside begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn text_of(string: &str) -> Option<String> {
    serde_json::from_str(string).ok()
}

/// Why a value that is JSON by its grammar is refused by the parser.
fn reason_of(error: &simd_json::Error) -> RejectReason {
    use simd_json::ErrorType;
    match error.error() {
        ErrorType::DepthLimitExceeded => RejectReason::TooDeep,
        ErrorType::InvalidNumber | ErrorType::InvalidExponent | ErrorType::Overflow => {
            RejectReason::NumberOutOfRange
        }
        ErrorType::InvalidEscape
        | ErrorType::InvalidUnicodeEscape
        | ErrorType::InvalidUnicodeCodepoint => RejectReason::InvalidString,
        _ => RejectReason::MalformedJson,
    }
}

/// The position a serde_json error is about: it counts lines and columns from 1, and the column
/// is 0 right after a line break.
pub(super) fn offset_of(body: &[u8], error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return body.len();
    }
    let line_start = match error.line().checked_sub(2) {
        None => 0,
        Some(breaks) => memchr::memchr_iter(b'\n', body)
            .nth(breaks)
            .map_or(0, |at| at + 1),
    };
    (line_start + error.column().saturating_sub(1)).min(body.len())
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
            (r#"{"a":{"b":["\u0061","\\"]},"c":["\ud800"]}"#, Some("c")),
            (r#"{"a":"{\"b\":1e400}","c":1e400}"#, Some("c")),
            (bomb.as_str(), Some("payload.k.k.k.k.k.k.k")),
            (lists.as_str(), Some("metadata.x")),
            (r#"[{"a":1e400}]"#, None),
            ("1e400", None),
            (
                r#"{"a":{"b":"}\\","c":[1]},"d":[{"e":1},1e400]}"#,
                Some("d"),
            ),
        ];
        for (event, field) in cases {
            let shown: String = event.chars().take(60).collect();
            let mut parser = Parser::default();
            parser.load(event.as_bytes());
            let error = parser.parse(0..event.len(), |_| ()).unwrap_err();
            let found = rejection_of(event, &error).field;
            assert_eq!(found.as_deref(), field, "{shown}");
        }
    }
}
