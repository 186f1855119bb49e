//! Canonical ids: the `_id` an event is stored under. Two events with one canonical id are one
//! event.
//!
//! # Shape
//! A UUID of version 8. Of its 122 free bits, from the top: the salt bits (from the hash), 48 bits
//! of time in milliseconds, and the rest from the hash. The hash is BLAKE3 in derive-key mode
//! over the tenant and the event id.
//!
//! # Invariant
//! The id of an event is the same whenever and wherever it is computed: what is here may change
//! only with a new [`IdentityConfig::fingerprint`]. The known-answer tests hold it in place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use uuid::{Uuid, Variant};

/// Separates this use of BLAKE3 from every other; part of every identity ever made.
const CONTEXT: &str = "evp-project/evp 2026-11-21 canonical event id v1";
/// Raised with every change of what a canonical id is made from, or of what is written beside it for
/// good: 2 is the user's bucket and storage by spans.
const HASH_VERSION: u8 = 2;
/// Most salt bits: 4096 ranges are enough for a thousand shards, and each bit is one bit of hash
/// less.
pub const SALT_BITS_MAX: u8 = 12;

const FREE_BITS: u32 = 122;
const TIME_BITS: u32 = 48;
/// 2000-01-01 and 2100-01-01: outside of these a time inside an `eventId` is taken for chance.
const EMBEDDED_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// The time field of undated ids: a region after every real time (its first one is in the year
/// 10855), so that they do not spread over the dated ones.
const UNDATED_REGION: u64 = 0xFF << 40;

/// The `_id` an event is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalId(Uuid);

impl CanonicalId {
    /// Takes the bytes of a stored `_id`.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes as stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Writes the hyphenated form, 36 bytes of ASCII, into `buffer` and returns it.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for CanonicalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; 36]))
    }
}

/// The text is not a hyphenated UUID of version 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical event id")]
pub struct ParseIdError;

impl FromStr for CanonicalId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let uuid = parse_uuid(text).ok_or(ParseIdError)?;
        if uuid.get_version_num() != 8 {
            return Err(ParseIdError);
        }
        Ok(Self(uuid))
    }
}

crate::choices! {
    /// What makes two events with an `eventId` but no time inside it the same event.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum IdentityMode {
        /// Tenant, event id and the timestamp the client sent: ids are in time order.
        #[default]
        TenantIdTime = "id_time",
        /// Tenant and event id alone: ids without a time in them are random, and cost mongod more.
        TenantId = "id",
    }
}

/// What fixes identity; the same in every service of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Leading bits taken from the hash, 0 to 12: spreads inserts over that many shard ranges.
    pub salt_bits: u8,
    /// What makes two events one.
    pub mode: IdentityMode,
}

impl Default for IdentityConfig {
    /// Sixteen ranges, so that every database can be sharded later without touching an id.
    fn default() -> Self {
        Self {
            salt_bits: 4,
            mode: IdentityMode::default(),
        }
    }
}

impl IdentityConfig {
    /// The time in a canonical id, Unix ms; `None` for an undated one.
    #[must_use]
    pub fn time_ms(&self, id: &[u8; 16]) -> Option<u64> {
        let free = without_version(u128::from_be_bytes(*id));
        let time = free >> (FREE_BITS - TIME_BITS - u32::from(self.salt_bits));
        let time = u64::try_from(time & ((1 << TIME_BITS) - 1)).ok()?;
        (time < UNDATED_REGION).then_some(time)
    }

    /// The lowest id of `salt`, below 2 to the power of [`Self::salt_bits`], and `time_ms`.
    #[must_use]
    pub fn first_id(&self, salt: u16, time_ms: u64) -> CanonicalId {
        let salt_bits = u32::from(self.salt_bits);
        let time = u128::from(time_ms.min((1 << TIME_BITS) - 1));
        let salt = u128::from(salt) << TIME_BITS;
        let free = (salt | time) << (FREE_BITS - TIME_BITS - salt_bits);
        CanonicalId(Uuid::from_u128(with_version_8(free)))
    }

    /// A number that differs when identity does: written to Redis and MongoDB at the first start
    /// and carried by every frame.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        let mode = match self.mode {
            IdentityMode::TenantIdTime => 0,
            IdentityMode::TenantId => 1,
        };
        let hash = blake3::derive_key(CONTEXT, &[HASH_VERSION, self.salt_bits, mode]);
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }
}

/// Computes canonical ids; made once, used for every event.
#[derive(Clone, Debug)]
pub struct Identity {
    config: IdentityConfig,
    key: ContextKey,
}

impl Identity {
    /// Prepares the hash. Salt bits above [`SALT_BITS_MAX`] count as that many.
    #[must_use]
    pub fn new(config: IdentityConfig) -> Self {
        let salt_bits = config.salt_bits.min(SALT_BITS_MAX);
        let config = IdentityConfig {
            salt_bits,
            ..config
        };
        Self {
            config,
            key: hash_derive_key_context(CONTEXT),
        }
    }

    /// The id of an event that carries an `eventId`.
    ///
    /// `timestamp_ms` is the event's time as the client sent it, before any correction: a retry
    /// repeats the body. The event id is hashed as sent: the upper and the lower case form of one
    /// UUID are two ids, as they are two strings everywhere else.
    #[must_use]
    pub fn of_client_id(
        &self,
        tenant: &str,
        event_id: &str,
        timestamp_ms: Option<i64>,
    ) -> CanonicalId {
        let sent = match self.config.mode {
            IdentityMode::TenantIdTime => timestamp_ms,
            IdentityMode::TenantId => None,
        };
        self.build(&self.hash(tenant, event_id), embedded_ms(event_id).or(sent))
    }

    /// As [`IdentityConfig::time_ms`].
    #[must_use]
    pub fn time_ms(&self, id: &CanonicalId) -> Option<u64> {
        self.config.time_ms(id.as_bytes())
    }

    /// The id of an event whose `eventId` the server made: the same as if the client had sent that
    /// id, so a retry with it is the same event.
    #[must_use]
    pub fn of_made_id(&self, tenant: &str, made: &MadeId) -> CanonicalId {
        let time_ms = uuid_ms(&made.0).filter(|ms| EMBEDDED_MS.contains(ms));
        self.build(&self.hash(tenant, made.encode(&mut [0; 36])), time_ms)
    }

    /// Hashes the parts with their lengths before them, so that no two pairs give one input.
    fn hash(&self, tenant: &str, event_id: &str) -> [u8; 32] {
        let mut hasher = Hasher::new_from_context_key(&self.key);
        for part in [tenant, event_id] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn build(&self, hash: &[u8; 32], time_ms: Option<i64>) -> CanonicalId {
        let salt_bits = u32::from(self.config.salt_bits);
        let tail_bits = FREE_BITS - TIME_BITS - salt_bits;
        // Salt, tail and the undated region's bits come from parts of the hash of their own.
        let salt = u128::from(u16::from_be_bytes([hash[0], hash[1]])) >> (16 - salt_bits);
        let mut part = [0; 16];
        part[6..].copy_from_slice(&hash[2..12]);
        let tail = u128::from_be_bytes(part) >> (80 - tail_bits);
        let time = time_ms.and_then(|ms| u64::try_from(ms).ok()).map_or_else(
            || UNDATED_REGION | u64_be(&hash[12..17]),
            |ms| ms & ((1 << TIME_BITS) - 1),
        );
        let free = salt << (FREE_BITS - salt_bits) | u128::from(time) << tail_bits | tail;
        CanonicalId(Uuid::from_u128(with_version_8(free)))
    }
}

/// An event id made by the server: a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeId(Uuid);

impl MadeId {
    /// Makes an id from the time of the request and ten random bytes.
    #[must_use]
    pub fn new(now_ms: u64, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now_ms, random).into_uuid())
    }

    /// Writes the hyphenated form, 36 bytes of ASCII, into `buffer` and returns it.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

/// Spreads 122 bits around the version (8) and the variant (binary 10) of a UUID.
const fn with_version_8(free: u128) -> u128 {
    let top = free >> 74;
    let middle = (free >> 62) & 0xFFF;
    let bottom = free & ((1 << 62) - 1);
    top << 80 | 8 << 76 | middle << 64 | 0b10 << 62 | bottom
}

/// The 122 bits that [`with_version_8`] spread.
const fn without_version(uuid: u128) -> u128 {
    let top = uuid >> 80;
    let middle = (uuid >> 64) & 0xFFF;
    let bottom = uuid & ((1 << 62) - 1);
    top << 74 | middle << 62 | bottom
}

fn u64_be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The time inside an event id, when it is a UUIDv7, v6, v1 or a ULID between 2000 and 2100.
#[must_use]
pub fn embedded_ms(event_id: &str) -> Option<i64> {
    let ms = match event_id.len() {
        36 => uuid_ms(&parse_uuid(event_id)?)?,
        26 => ulid_ms(event_id.as_bytes())?,
        _ => return None,
    };
    EMBEDDED_MS.contains(&ms).then_some(ms)
}

fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.get_variant() == Variant::RFC4122).then_some(uuid)
}

fn uuid_ms(uuid: &Uuid) -> Option<i64> {
    let (seconds, nanos) = match uuid.get_version_num() {
        1 | 6 | 7 => uuid.get_timestamp()?.to_unix(),
        _ => return None,
    };
    // What lies before 1970 wraps around, to far beyond what is taken for a time.
    i64::try_from(Duration::new(seconds, nanos).as_millis()).ok()
}

/// The first ten symbols of a ULID are its time, five bits each; case does not matter.
fn ulid_ms(text: &[u8]) -> Option<i64> {
    if text.first().is_none_or(|&first| first > b'7') {
        return None;
    }
    let mut ms = 0;
    for (at, &symbol) in text.iter().enumerate() {
        let value = crockford(symbol)?;
        if at < 10 {
            ms = ms << 5 | i64::from(value);
        }
    }
    Some(ms)
}

fn crockford(symbol: u8) -> Option<u8> {
    const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const VALUES: [u8; 256] = {
        let mut values = [0xFF; 256];
        let mut value = 0_u8;
        while value < 32 {
            let symbol = SYMBOLS[value as usize];
            values[symbol as usize] = value;
            values[symbol.to_ascii_lowercase() as usize] = value;
            value += 1;
        }
        values
    };
    let value = VALUES[usize::from(symbol)];
    (value < 32).then_some(value)
}

#[cfg(test)]
mod tests;
