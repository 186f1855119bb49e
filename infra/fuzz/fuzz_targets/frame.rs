//! A stream entry: whatever its fields hold, it is a frame or a poison entry.
#![no_main]

use bytes::Bytes;
use evp_shared::frame::RawFrame;
use libfuzzer_sys::fuzz_target;

// Length of the header, events and bytes claimed, then header and payload.
fuzz_target!(|data: &[u8]| {
    let [header_bytes, events, bytes_low, bytes_high, rest @ ..] = data else {
        return;
    };
    let claimed = u32::from(*bytes_low) | u32::from(*bytes_high) << 8;
    let (meta, payload) = rest.split_at(rest.len().min(usize::from(*header_bytes)));
    let raw = RawFrame {
        version: Some(Bytes::from_static(b"1")),
        events: Some(Bytes::from(events.to_string())),
        bytes: Some(Bytes::from(claimed.to_string())),
        meta: Some(Bytes::copy_from_slice(meta)),
        payload: Some(Bytes::copy_from_slice(payload)),
    };
    if let Ok(frame) = raw.open() {
        assert_eq!(frame.iter().count(), frame.events as usize);
    }
});
