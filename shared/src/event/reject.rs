//! What one event is refused with.

use std::borrow::Cow;

use crate::outcome::RejectReason;

/// Longest part of a caller's own key that an answer repeats, in characters.
const FIELD_CHARS_MAX: usize = 64;

/// Why one event is not taken: a code, the field it is about, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable code.
    pub code: RejectReason,
    /// The field at fault, as the caller wrote it, with a path when it lies deeper; cut to 64
    /// characters.
    pub field: Option<Cow<'static, str>>,
    /// What to do about it.
    pub message: Cow<'static, str>,
}

impl Rejection {
    /// Builds a rejection that is about one of the fields EVP knows.
    #[must_use]
    pub const fn field(code: RejectReason, field: &'static str, message: &'static str) -> Self {
        Self {
            code,
            field: Some(Cow::Borrowed(field)),
            message: Cow::Borrowed(message),
        }
    }

    /// Builds a rejection that is about a key of the caller's own.
    #[must_use]
    pub fn key(code: RejectReason, key: &str) -> Self {
        Self {
            code,
            field: Some(cut(key).into()),
            message: Cow::Borrowed(code.message()),
        }
    }

    /// Puts the name of the enclosing field before the field: `c` within `b` is `b.c`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        let path = match &self.field {
            Some(inner) => cut(&format!("{}.{inner}", cut(outer))),
            None => cut(outer),
        };
        self.field = Some(path.into());
        self
    }
}

fn cut(text: &str) -> String {
    text.chars().take(FIELD_CHARS_MAX).collect()
}

impl From<RejectReason> for Rejection {
    /// A rejection that is about the event as a whole.
    fn from(code: RejectReason) -> Self {
        Self {
            code,
            field: None,
            message: Cow::Borrowed(code.message()),
        }
    }
}
