//! What a configuration value may be, and how each kind is read.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use crate::choice::Choice;

/// A type that a [`Key`](super::Key) can have.
///
/// There is no `bool` among them: an enum says at the call site what is chosen.
pub trait Value: Sized + 'static {
    /// A secret may also be given as the path of a file, and is not shown in problems.
    const SECRET: bool = false;
    /// A list may be written as a TOML array, or separated by commas.
    const LIST: bool = false;

    /// What a value looks like, for people, unless [`kind`](Self::kind) has to put it together.
    const KIND: &'static str = "";

    /// What a value looks like, for people.
    fn kind() -> String {
        Self::KIND.to_owned()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the key: what is wrong, and what to write.
    fn parse(text: &str) -> Result<Self, String>;
}

/// What is wrong with a text in whose place something `like` another is wanted.
pub(super) fn wrong(text: &str, like: impl Display) -> String {
    format!("is {text:?}: write {like}")
}

impl<C: Choice> Value for C {
    fn kind() -> String {
        names::<C>("`", " or ")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let like = || format!("one of {}", names::<C>("\"", ", "));
        C::named(text).ok_or_else(|| wrong(text, like()))
    }
}

fn names<C: Choice>(quote: &str, separator: &str) -> String {
    let quoted: Vec<String> = C::CHOICES
        .iter()
        .map(|(name, _)| format!("{quote}{name}{quote}"))
        .collect();
    quoted.join(separator)
}

/// Types that are written as Rust writes them.
macro_rules! written_as_in_rust {
    ($($type:ty: $kind:literal, $like:expr;)+) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| wrong(text, $like))
            }
        }
    )+};
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {
        written_as_in_rust! {$(
            $type: "whole number", format_args!(
                "a whole number from {} to {}, without a unit", <$type>::MIN, <$type>::MAX
            );
        )+}
    };
}

whole_numbers! { u8, u16, u32, u64, usize, NonZeroU16, NonZeroU32, NonZeroU64 }

written_as_in_rust! {
    SocketAddr: "address such as `127.0.0.1:8080`",
        "an IP address and a port, such as 127.0.0.1:8080";
}

impl Value for IpNet {
    const KIND: &'static str = "address or network such as `10.0.0.0/8`";

    fn parse(text: &str) -> Result<Self, String> {
        let network = text
            .parse()
            .or_else(|_| text.parse().map(|one: IpAddr| one.into()));
        let like = "an IP address or a network, such as 192.0.2.7 or 10.0.0.0/8";
        network.map_err(|_| wrong(text, like))
    }
}

impl Value for f64 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok();
        number
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| wrong(text, "a number such as 0.75"))
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty: write a value, or leave the key out".to_owned());
        }
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self::from)
    }
}

impl Value for Duration {
    const KIND: &'static str = "duration such as `250ms`, `10s`, `5m`";

    fn parse(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 6] = [
            ("us", 1),
            ("ms", 1_000),
            ("s", 1_000_000),
            ("m", 60_000_000),
            ("h", 3_600_000_000),
            ("d", 86_400_000_000),
        ];
        let like = "a whole number with a unit of us, ms, s, m, h or d, such as 250ms or 10s";
        let micros = with_unit(text, &UNITS).ok_or_else(|| wrong(text, like))?;
        Ok(Self::from_micros(micros))
    }
}

impl<T: Value> Value for Vec<T> {
    const LIST: bool = true;

    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(T::parse)
            .collect()
    }
}

impl<T: Value> Value for Option<T> {
    const SECRET: bool = T::SECRET;
    const LIST: bool = T::LIST;

    fn kind() -> String {
        format!("{}, optional", T::kind())
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text).map(Some)
        }
    }
}

/// Reads `number unit`, multiplied out; `None` when either is missing, unknown or too large.
pub(super) fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = units
        .iter()
        .find_map(|(name, factor)| (*name == unit).then_some(*factor))?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Colour {
        Red,
        Blue,
    }

    impl Choice for Colour {
        const CHOICES: &'static [(&'static str, Self)] =
            &[("red", Self::Red), ("blue", Self::Blue)];
    }

    #[test]
    fn durations_need_a_whole_number_and_a_known_unit() {
        let table = [
            ("250ms", Some(Duration::from_millis(250))),
            ("10s", Some(Duration::from_secs(10))),
            ("5m", Some(Duration::from_secs(300))),
            ("0s", Some(Duration::ZERO)),
            ("2d", Some(Duration::from_secs(172_800))),
            ("10", None),
            ("s", None),
            ("", None),
            ("1.5s", None),
            ("-1s", None),
            ("10 s", None),
            ("10S", None),
            ("99999999999999999999s", None),
            ("999999999999999d", None),
        ];
        for (text, expected) in table {
            assert_eq!(Duration::parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_unknown_choice_lists_the_known_ones() {
        assert_eq!(Colour::parse("blue"), Ok(Colour::Blue));
        let fault = Colour::parse("green").unwrap_err();
        assert_eq!(fault, r#"is "green": write one of "red", "blue""#);
    }

    #[test]
    fn lists_are_separated_by_commas() {
        assert_eq!(Vec::<u16>::parse("1, 2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u16>::parse(""), Ok(vec![]));
        assert!(Vec::<u16>::parse("1,x").is_err());
    }

    #[test]
    fn numbers_refuse_what_their_type_cannot_hold() {
        assert!(
            NonZeroU32::parse("0")
                .unwrap_err()
                .contains("from 1 to 4294967295")
        );
        assert!(u16::parse("65536").is_err());
        assert!(u64::parse("10ms").unwrap_err().contains("without a unit"));
        assert!(f64::parse("inf").is_err());
    }

    #[test]
    fn an_optional_value_is_absent_when_empty() {
        assert_eq!(Option::<u16>::parse(""), Ok(None));
        assert_eq!(Option::<u16>::parse("7"), Ok(Some(7)));
    }
}
