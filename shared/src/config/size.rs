//! Sizes in bytes.

use super::value::{Value, with_unit, wrong};

/// A number of bytes, written with a binary unit: `512KiB`, `1MiB`, `2GiB`, `100B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct ByteSize(pub u64);

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

/// At most what this machine can address.
impl From<ByteSize> for usize {
    fn from(size: ByteSize) -> Self {
        Self::try_from(size.0).unwrap_or(Self::MAX)
    }
}

impl Value for ByteSize {
    const KIND: &'static str = "size such as `512KiB`, `1MiB`";

    fn parse(text: &str) -> Result<Self, String> {
        let units = [
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
        ];
        let like = "a whole number with a unit of B, KiB, MiB or GiB, such as 512KiB";
        let bytes = with_unit(text, &units).ok_or_else(|| wrong(text, like))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_binary_unit() {
        let table = [
            ("100B", Some(ByteSize(100))),
            ("512KiB", Some(ByteSize(512 << 10))),
            ("4MiB", Some(ByteSize(4 << 20))),
            ("1GiB", Some(ByteSize(1 << 30))),
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
}
