//! What a client shows: the text of a key, and what is kept of it.
//!
//! # Shape
//! `evp_pub_` or `evp_sec_`, 43 random base62 characters (256 bits), 6 base62 digits of the CRC-32 of
//! all before them. Scanners find one in a text by its beginning and its checksum, and a typo is told
//! from a key that does not exist.

use std::fmt;

use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};

use crate::choice::Choice as _;

const RANDOM_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
const PREFIX_CHARS: usize = "evp_pub_".len();
/// Characters of a key.
pub const CHARS: usize = PREFIX_CHARS + RANDOM_CHARS + CHECK_CHARS;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

crate::choices! {
    /// Where a key may stand.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum KeyKind {
        /// In a page, or a URL: it only ever writes.
        Public = "pub",
        /// Nowhere that others read.
        Secret = "sec",
    }
}

crate::choices! {
    /// What is made and kept as keys are, for the aggregator alone.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Ticket {
        /// A session, in a cookie.
        Session = "ses",
        /// A link that signs somebody in, once.
        Link = "lnk",
        /// The browser that asked for a code, in a cookie.
        Attempt = "try",
    }
}

/// A text that is no key at all: mistyped, cut, or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no key: it begins with evp_pub_ or evp_sec_, has {CHARS} characters and ends in its checksum"
)]
pub struct Malformed;

/// The text of a key that was just made. It is shown once and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Makes one out of 256 random bits.
    pub fn generate(kind: KeyKind) -> Self {
        Self::random(kind.as_str())
    }

    /// Makes a ticket in the same way.
    pub fn ticket(ticket: Ticket) -> Self {
        Self::random(ticket.as_str())
    }

    fn random(kind: &str) -> Self {
        let random = rand::rng().sample_iter(Alphanumeric).take(RANDOM_CHARS);
        let mut text = format!("evp_{kind}_");
        text.extend(random.map(char::from));
        let check = checksum(text.as_bytes());
        text.extend(check.map(char::from));
        Self(text)
    }

    /// Hands out the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads what kind of key `text` is; whether there is such a key is another question.
///
/// # Errors
/// [`Malformed`].
pub fn kind_of(text: &str) -> Result<KeyKind, Malformed> {
    KeyKind::named(name_of(text)?).ok_or(Malformed)
}

/// Whether `text` is such a ticket; whether there is one is another question.
pub fn is_ticket(text: &str, ticket: Ticket) -> bool {
    name_of(text) == Ok(ticket.as_str())
}

fn name_of(text: &str) -> Result<&str, Malformed> {
    let (body, check) = text
        .split_at_checked(CHARS - CHECK_CHARS)
        .ok_or(Malformed)?;
    let (kind, random) = body
        .strip_prefix("evp_")
        .and_then(|rest| rest.split_once('_'))
        .ok_or(Malformed)?;
    let is_random =
        random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_random && check.as_bytes() == checksum(body.as_bytes()) {
        Ok(kind)
    } else {
        Err(Malformed)
    }
}

fn checksum(body: &[u8]) -> [u8; CHECK_CHARS] {
    let mut rest = crc32fast::hash(body) as usize;
    let mut digits = [b'0'; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits
}

/// What is kept of a key: BLAKE3 of its text. 256 random bits need no slow hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(text: &str) -> Self {
        Self(*blake3::hash(text.as_bytes()).as_bytes())
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
        Ok(Self(*hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_its_kind_and_its_length() {
        for kind in KeyKind::ALL {
            let token = Token::generate(kind);
            assert_eq!(token.expose().len(), CHARS);
            assert_eq!(kind_of(token.expose()), Ok(kind));
            assert_eq!(format!("{token:?}"), "***");
            assert_ne!(Token::generate(kind), token);
        }
    }

    #[test]
    fn a_ticket_is_no_key_and_no_other_ticket() {
        for ticket in Ticket::ALL {
            let token = Token::ticket(ticket);
            assert_eq!(kind_of(token.expose()), Err(Malformed));
            let is = Ticket::ALL.map(|other| is_ticket(token.expose(), other));
            assert_eq!(is, Ticket::ALL.map(|other| other == ticket));
        }
        assert!(!is_ticket(
            Token::generate(KeyKind::Secret).expose(),
            Ticket::Session
        ));
    }

    /// Computed with Python's `zlib.crc32`.
    #[test]
    fn the_checksum_is_what_others_compute() {
        let body = format!("evp_sec_{}", "a".repeat(RANDOM_CHARS));
        let text = format!("{body}4QdMeT");
        assert_eq!(kind_of(&text), Ok(KeyKind::Secret));
    }

    #[test]
    fn what_is_no_key_is_told_from_one() {
        let good = Token::generate(KeyKind::Secret);
        let good = good.expose();
        let mut texts = vec![
            String::new(),
            "evp_sec_".to_owned(),
            format!("{good}x"),
            good.replace("evp_sec_", "evp_abc_"),
            good.replace("evp_sec_", "evp-sec-"),
            good.replace("evp_sec_", "evp_pub_"),
            "ä".repeat(CHARS / 2),
        ];
        texts.extend((0..CHARS).map(|at| {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            String::from_utf8(bytes).unwrap()
        }));
        for text in texts {
            assert_eq!(kind_of(&text), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in any::<String>()) {
            prop_assert_eq!(kind_of(&text), Err(Malformed));
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = KeyHash::of("a");
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text.len(), 66);
        assert_eq!(serde_json::from_str::<KeyHash>(&text).unwrap(), hash);
        assert!(serde_json::from_str::<KeyHash>("\"ab\"").is_err());
    }
}
