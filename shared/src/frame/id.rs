//! The identity of a frame: who made it, when, and its number.

use std::fmt;
use std::str::FromStr;

/// Largest number of a producer's frame; beyond it a new producer id is needed.
pub const FRAME_NUMBER_MAX: u32 = (1 << 24) - 1;

/// One ingest instance (or one replay of dead letters) on one partition.
///
/// # Shape
/// 40 bits: partition 16, random 24, big-endian. Printed as ten hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId {
    partition: u16,
    random: u32,
}

impl ProducerId {
    /// Names a producer on `partition`; of `random` the low 24 bits are used.
    pub const fn new(partition: u16, random: u32) -> Self {
        Self {
            partition,
            random: random & 0x00ff_ffff,
        }
    }

    /// The partition all frames of this producer belong to, for ever.
    pub const fn partition(self) -> u16 {
        self.partition
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:06x}", self.partition, self.random)
    }
}

/// Identity of a frame, and the `f` of its documents.
///
/// # Shape
/// The three parts of a MongoDB ObjectId, big-endian: received second (4 bytes), producer
/// (5 bytes), number (3 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId([u8; 12]);

impl FrameId {
    /// The `number`-th frame of `producer`, received in Unix second `second`.
    pub const fn new(second: u32, producer: ProducerId, number: u32) -> Self {
        let [s0, s1, s2, s3] = second.to_be_bytes();
        let [p0, p1] = producer.partition.to_be_bytes();
        let [_, r0, r1, r2] = producer.random.to_be_bytes();
        let [_, n0, n1, n2] = number.to_be_bytes();
        Self([s0, s1, s2, s3, p0, p1, r0, r1, r2, n0, n1, n2])
    }

    /// The frame id in `bytes`.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 12] {
        self.0
    }

    /// Unix second in which the frame was received.
    pub const fn second(self) -> u32 {
        let [s0, s1, s2, s3, ..] = self.0;
        u32::from_be_bytes([s0, s1, s2, s3])
    }

    /// Who made the frame.
    pub const fn producer(self) -> ProducerId {
        let [_, _, _, _, p0, p1, r0, r1, r2, ..] = self.0;
        ProducerId {
            partition: u16::from_be_bytes([p0, p1]),
            random: u32::from_be_bytes([0, r0, r1, r2]),
        }
    }

    /// Which of its producer's frames this is.
    pub const fn number(self) -> u32 {
        let [.., n0, n1, n2] = self.0;
        u32::from_be_bytes([0, n0, n1, n2])
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no frame id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame id is 24 hexadecimal digits")]
pub struct FrameIdError;

impl FromStr for FrameId {
    type Err = FrameIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FrameIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| FrameIdError)?;
        let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
        Ok(Self(bytes))
    }
}
