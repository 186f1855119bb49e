//! `[dead_letters]`

use std::num::NonZeroU64;

use super::ByteSize;

crate::config_section! {
    /// How many dead letters there may be.
    #[derive(Copy, PartialEq, Eq)]
    pub struct DeadLetterLimits in "dead_letters" {
        /// Dead letters that are kept at most. At the cap reading pauses and what cannot be stored
        /// stays pending until there is room: nothing is thrown away. Higher costs disk space in
        /// MongoDB.
        events["dead_letters.max_events"]: u64 as NonZeroU64 = "1000000" => reloads;
        /// Bytes of dead letters that are kept at most, uncompressed; see `dead_letters.max_events`.
        bytes["dead_letters.max_bytes"]: u64 as ByteSize = "1GiB", "1KiB"..="1024GiB" => reloads;
    }
}

impl DeadLetterLimits {
    /// Whether so many may be kept, of so many bytes.
    pub fn admit(self, events: u64, bytes: u64) -> bool {
        events <= self.events && bytes <= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_both_bounds() {
        let limits = DeadLetterLimits {
            events: 10,
            bytes: 100,
        };
        assert!(limits.admit(10, 100));
        assert!(!limits.admit(11, 0));
        assert!(!limits.admit(0, 101));
    }
}
