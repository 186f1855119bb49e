use proptest::prelude::*;

use super::*;
use crate::document::EventMark;

const FIRST_TYPE: &str = "page.view";

/// A document as EVP writes it, with `filler` bytes of a string behind the fixed prefix.
fn document(filler: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(b"\x05_id\0\x10\0\0\0\x04");
    bytes.extend_from_slice(&[7; 16]);
    bytes.extend_from_slice(b"\x07f\0");
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(b"\x09timestamp\0");
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(b"\x02s\0");
    bytes.extend_from_slice(&i32::try_from(filler + 1).unwrap().to_le_bytes());
    bytes.extend(std::iter::repeat_n(b'x', filler));
    bytes.extend_from_slice(&[0, 0]);
    let length = i32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn batch(fillers: &[usize]) -> EventBatch {
    let mut batch = EventBatch {
        types: vec![FIRST_TYPE.into(), "click".into()],
        ..EventBatch::default()
    };
    for (index, filler) in fillers.iter().enumerate() {
        batch.documents.extend(document(*filler));
        batch.events.push(EventMark {
            end: u32::try_from(batch.documents.len()).unwrap(),
            type_index: u16::from(index % 3 == 2),
            undated: index % 2 == 1,
        });
    }
    batch
}

fn stamp(codec: Codec) -> FrameStamp {
    let producer = ProducerId::new(3, 0x00ab_cdef);
    FrameStamp {
        id: FrameId::new(1_700_000_000, producer, 42),
        received_at_ms: 1_700_000_000_123,
        codec,
        fingerprint: 0xdead_beef,
        flags: 0,
    }
}

fn sealed(codec: Codec, fillers: &[usize]) -> Frame {
    let mut draft = FrameDraft::new();
    draft.push("default", &batch(fillers), 0..fillers.len());
    draft.seal(stamp(codec))
}

#[test]
fn a_frame_opens_to_what_was_sealed() {
    for codec in Codec::ALL {
        let frame = sealed(codec, &[300, 10, 90, 0]);
        let open = RawFrame::from(&frame).open().unwrap();
        assert_eq!(open.events, 4);
        assert_eq!(open.header.id, stamp(codec).id);
        assert_eq!(open.header.codec, codec);
        let counts: Vec<_> = open
            .header
            .counts
            .iter()
            .map(|row| (&*row.event_type, row.count))
            .collect();
        assert_eq!(counts, [(FIRST_TYPE, 3), ("click", 1)]);
        let lengths: Vec<_> = open.iter().map(<[u8]>::len).collect();
        assert_eq!(
            lengths,
            [300, 10, 90, 0].map(|filler| document(filler).len())
        );
    }
}

#[test]
fn sealing_writes_identity_into_all_and_received_at_into_undated_events() {
    let frame = sealed(Codec::None, &[1, 2, 3]);
    let open = RawFrame::from(&frame).open().unwrap();
    for (index, document) in open.iter().enumerate() {
        let id = &document[FRAME_ID_OFFSET..FRAME_ID_OFFSET + 12];
        assert_eq!(id, stamp(Codec::None).id.bytes());
        let at = &document[TIMESTAMP_OFFSET..TIMESTAMP_OFFSET + 8];
        let expected = if index == 1 { 1_700_000_000_123_u64 } else { 0 };
        assert_eq!(at, expected.to_le_bytes());
    }
}

#[test]
fn a_request_larger_than_a_frame_is_drafted_in_parts() {
    let batch = batch(&[5, 6, 7, 8]);
    let mut first = FrameDraft::new();
    first.push("default", &batch, 0..3);
    let mut second = FrameDraft::new();
    second.push("default", &batch, 3..4);
    assert_eq!((first.events(), second.events()), (3, 1));
    let open = RawFrame::from(&second.seal(stamp(Codec::Lz4)))
        .open()
        .unwrap();
    assert_eq!(
        open.iter().map(<[u8]>::len).collect::<Vec<_>>(),
        [document(8).len()]
    );
}

#[test]
fn a_payload_that_does_not_shrink_is_left_as_it_is() {
    let noise: Vec<u8> = (0..64).collect();
    assert_eq!(
        payload::compress(Codec::Lz4, noise.clone()),
        (Codec::None, noise.into())
    );
}

#[test]
fn every_field_that_is_wrong_is_named() {
    let good = RawFrame::from(&sealed(Codec::Lz4, &[300, 300]));
    type Spoil = fn(&mut RawFrame);
    let cases: [(&str, Spoil); 8] = [
        ("format version 2 is not known", |raw| {
            raw.version = Some(Bytes::from("2"))
        }),
        ("format version x is not known", |raw| {
            raw.version = Some(Bytes::from("x"))
        }),
        ("field v is missing or malformed", |raw| raw.version = None),
        ("field n is missing or malformed", |raw| {
            raw.events = Some(Bytes::from("-1"))
        }),
        ("field d is missing or malformed", |raw| raw.payload = None),
        ("header is malformed", |raw| {
            raw.events = Some(Bytes::from("3"))
        }),
        ("header is malformed", |raw| {
            raw.meta = Some(Bytes::from("short"))
        }),
        ("header is malformed", |raw| {
            raw.payload = Some(Bytes::from("other"))
        }),
    ];
    for (expected, spoil) in cases {
        let mut raw = good.clone();
        spoil(&mut raw);
        assert_eq!(raw.open().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_frame_id_reads_back_from_its_text() {
    let id = stamp(Codec::None).id;
    assert_eq!(id.to_string().parse::<FrameId>().unwrap(), id);
    assert_eq!((id.second(), id.number()), (1_700_000_000, 42));
    assert_eq!(id.producer().to_string(), "0003abcdef");
    assert!("xyz".parse::<FrameId>().is_err());
}

proptest! {
    #[test]
    fn any_frame_survives_the_round_trip(
        fillers in prop::collection::vec(0_usize..400, 1..60),
        codec in prop::sample::select(Codec::ALL.to_vec()),
    ) {
        let frame = sealed(codec, &fillers);
        let open = RawFrame::from(&frame).open().unwrap();
        prop_assert_eq!(open.iter().count(), fillers.len());
        prop_assert_eq!(open.documents.len(), frame.bytes as usize);
    }

    #[test]
    fn no_single_changed_byte_goes_unnoticed(
        fillers in prop::collection::vec(0_usize..100, 1..5),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        in_header in any::<bool>(),
    ) {
        let mut raw = RawFrame::from(&sealed(Codec::Lz4, &fillers));
        let field = if in_header { &mut raw.meta } else { &mut raw.payload };
        let mut bytes = field.take().unwrap().to_vec();
        let index = at.index(bytes.len());
        bytes[index] ^= flip;
        *field = Some(bytes.into());
        prop_assert!(raw.open().is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(
        meta in prop::collection::vec(any::<u8>(), 0..200),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let raw = RawFrame {
            version: Some(Bytes::from("1")),
            events: Some(Bytes::from("1")),
            bytes: Some(Bytes::from("100")),
            meta: Some(meta.into()),
            payload: Some(payload.into()),
        };
        prop_assert!(raw.open().is_err());
    }
}
