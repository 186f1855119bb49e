//! A stream entry: whatever its fields hold, it is a frame or a poison entry.
#![no_main]

use bytes::Bytes;
use evp_shared::frame::{FORMAT_VERSION, RawFrame};
use libfuzzer_sys::fuzz_target;

// Length of the header, whether its checksum is made to fit, events and bytes claimed, then header
// and payload.
fuzz_target!(|data: &[u8]| {
    let [header_bytes, fits, events, bytes_low, bytes_high, rest @ ..] = data else {
        return;
    };
    let (events, bytes) = (
        u32::from(*events),
        u32::from(*bytes_low) | u32::from(*bytes_high) << 8,
    );
    let (header, payload) = rest.split_at(rest.len().min(usize::from(*header_bytes)));
    let mut meta = header.to_vec();
    if fits % 4 != 0 {
        // Otherwise next to nothing would get beyond it.
        meta.extend(checksum(events, bytes, header, payload).to_le_bytes());
    }
    let raw = RawFrame {
        version: Some(Bytes::from(FORMAT_VERSION.to_string())),
        events: Some(Bytes::from(events.to_string())),
        bytes: Some(Bytes::from(bytes.to_string())),
        meta: Some(Bytes::from(meta)),
        payload: Some(Bytes::copy_from_slice(payload)),
    };
    if let Ok(frame) = raw.open() {
        assert_eq!(frame.iter().count(), frame.events as usize);
    }
});

/// As docs/FRAME.md has it.
fn checksum(events: u32, bytes: u32, header: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[FORMAT_VERSION]);
    hasher.update(&events.to_le_bytes());
    hasher.update(&bytes.to_le_bytes());
    hasher.update(header);
    hasher.update(payload);
    hasher.finalize()
}
