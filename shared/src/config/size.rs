//! Sizes in bytes.

use std::fmt;

use super::value::{Value, with_unit};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A number of bytes, written with a binary unit: `512KiB`, `1MiB`, `2GiB`, `100B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Counts bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Counts units of 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib * KIB)
    }

    /// Counts units of 1,024 KiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib * MIB)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, at most what this machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl Value for ByteSize {
    fn kind() -> String {
        "size such as `512KiB`, `1MiB`".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let units = [("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];
        with_unit(text, &units).map(Self).ok_or_else(|| {
            let like = "a whole number with a unit of B, KiB, MiB or GiB, such as 512KiB";
            format!("is {text:?}: write {like}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_binary_unit() {
        let table = [
            ("100B", Some(ByteSize::bytes(100))),
            ("512KiB", Some(ByteSize::kib(512))),
            ("4MiB", Some(ByteSize::mib(4))),
            ("1GiB", Some(ByteSize::mib(1024))),
            ("4096", None),
            ("1MB", None),
            ("1 MiB", None),
            ("1.5MiB", None),
            ("99999999999999GiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(ByteSize::parse(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown_in_their_largest_whole_unit() {
        for text in ["0B", "100B", "1025B", "512KiB", "4MiB", "3GiB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
    }
}
