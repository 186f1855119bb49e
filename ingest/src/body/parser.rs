//! Hot path: the JSON parser with its buffers, and what its errors mean.

use evp_shared::outcome::RejectReason;
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

/// simd-json with its buffers, over a padded copy of the body: it unescapes strings in place, and
/// the slow path needs the body as it was sent.
pub(super) struct Parser {
    padded: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Parser {
    pub(super) fn new() -> Self {
        Self {
            padded: Vec::new(),
            buffers: Buffers::new(0),
            tape: Tape(Vec::new()),
        }
    }

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
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let input = &mut self.padded[part.start..part.end + INPUT_PADDING];
        let result = simd_json::fill_tape_padded(input, part.len(), &mut self.buffers, &mut tape);
        let result = result.map(|()| read(&tape.0));
        self.tape = tape.reset();
        result
    }
}

/// Why a value that is JSON by its grammar is refused by the parser.
pub(super) fn reason_of(error: &simd_json::Error) -> RejectReason {
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
