//! Hot path: ids and times as text, written over what stands in a body.

/// Bytes of a hyphenated UUID.
pub const ID_BYTES: usize = 36;
/// Digits of a time in ms, from 2001 to 2286.
pub const TIME_BYTES: usize = 13;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// SplitMix64: ids need to differ, not to be secret.
///
/// # Source
/// Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).unwrap_or(0)
    }

    /// True in `share` of the calls.
    pub fn happens(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    /// A number from 0 up to, and without, 1.
    pub fn fraction(&mut self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 of the 64 bits are enough for a share"
        )]
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }

    /// A UUID of version 4.
    pub const fn v4(&mut self) -> [u8; 16] {
        with_version(self.pair(), 4)
    }

    /// A UUID of version 7 for `ms`.
    pub const fn v7(&mut self, ms: u64) -> [u8; 16] {
        let random = self.pair();
        with_version((ms as u128) << 80 | random >> 48, 7)
    }

    const fn pair(&mut self) -> u128 {
        (self.next() as u128) << 64 | self.next() as u128
    }
}

const fn with_version(bits: u128, version: u128) -> [u8; 16] {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    ((bits & !VERSION & !VARIANT) | version << 76 | 0b10 << 62).to_be_bytes()
}

/// The hyphenated form of a UUID.
#[must_use]
pub fn hyphenated(uuid: [u8; 16]) -> [u8; ID_BYTES] {
    let mut text = [b'-'; ID_BYTES];
    let mut at = 0;
    for (index, byte) in uuid.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// The decimal form of a time in ms.
#[must_use]
pub fn digits(ms: u64) -> [u8; TIME_BYTES] {
    decimal(ms)
}

/// The last `N` digits of a number.
#[must_use]
pub fn decimal<const N: usize>(number: u64) -> [u8; N] {
    let mut text = [b'0'; N];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        // A remainder by ten always fits.
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_carry_version_variant_and_time() {
        let mut random = Random::new(7);
        let text = String::from_utf8(hyphenated(random.v7(0x0123_4567_89ab)).to_vec()).unwrap();
        assert!(text.starts_with("01234567-89ab-7"), "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        let text = String::from_utf8(hyphenated(random.v4()).to_vec()).unwrap();
        assert_eq!((text.len(), text.as_bytes()[14]), (36, b'4'));
        assert_ne!(random.v4(), random.v4());
    }

    #[test]
    fn a_time_has_thirteen_digits() {
        assert_eq!(&digits(1_763_733_600_123), b"1763733600123");
        assert_eq!(&decimal::<3>(7), b"007");
    }

    #[test]
    fn a_share_of_all_calls_happens() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.happens(0.05)).count();
        assert!((4_500..5_500).contains(&hits), "{hits}");
    }
}
