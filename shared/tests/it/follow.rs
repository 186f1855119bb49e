//! Following a partition, as live readers do.

use std::ops::Bound;

use evp_shared::frame::ProducerId;
use evp_shared::stream::{EntryId, FollowLimits, Followed, Life, Stream};
use evp_shared::testing::TestRedis;
use evp_shared::testing::events::{TestEvent, frame_of};

/// Bytes of the larger ones among the frames.
const LARGE: usize = 100_000;

/// Appends a frame of a little more than `bytes`, which no codec makes smaller.
async fn append(stream: &Stream, number: u32, bytes: usize) {
    let mut noise = vec![0; bytes / 2];
    let seed = blake3::hash(&number.to_be_bytes());
    let mut reader = blake3::Hasher::new_keyed(seed.as_bytes()).finalize_xof();
    reader.fill(&mut noise);
    let noise: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let event = TestEvent::new(format!("e{number}"), "click").of_user(noise);
    let hello = stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let frame = frame_of(ProducerId::new(0, 1), number, 1_000, &[event]);
    stream.append(0, hello.life, &[frame]).await.unwrap();
}

async fn read(stream: &Stream, from: Bound<EntryId>, entries: u64, bytes: usize) -> Followed {
    let limits = FollowLimits { entries, bytes };
    stream.follow(0, from, limits).await.unwrap()
}

#[tokio::test]
async fn a_read_is_bounded_by_entries_and_by_bytes_and_goes_on_where_it_ended() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    for number in 0..12 {
        let bytes = if number < 6 { 10 } else { LARGE };
        append(&stream, number, bytes).await;
    }
    // Entries and bytes at most, and how many entries then come in each read.
    let table: [(u64, usize, &[usize]); 4] = [
        (1_000, usize::MAX, &[12]),
        (5, usize::MAX, &[5, 5, 2]),
        (1_000, 2 * LARGE, &[6 + 2, 2, 2, 0]),
        // Larger than all that may be read: one at least.
        (1_000, 1, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]),
    ];
    for (entries, bytes, expected) in table {
        let (mut from, mut reads, mut seen) = (Bound::Unbounded, Vec::new(), Vec::new());
        loop {
            let found = read(&stream, from, entries, bytes).await;
            reads.push(found.entries.len());
            seen.extend(found.entries.iter().map(|entry| entry.id));
            if !found.may_be_more {
                assert_eq!(seen.last(), Some(&found.last));
                break;
            }
            from = Bound::Excluded(*seen.last().unwrap());
        }
        assert_eq!(reads, expected, "{entries} {bytes}");
        assert!(seen.is_sorted() && seen.len() == 12);
    }
}

#[tokio::test]
async fn where_nothing_is_nothing_is_read() {
    let redis = TestRedis::new().await;
    let stream = redis.stream(1);
    let found = read(&stream, Bound::Unbounded, 10, 10).await;
    assert_eq!((found.last, found.may_be_more), (EntryId::ZERO, false));
    append(&stream, 1, 10).await;
    let found = read(&stream, Bound::Unbounded, 0, 10).await;
    assert!(found.entries.is_empty() && found.last > EntryId::ZERO);
    let found = read(&stream, Bound::Excluded(found.last), 10, 10).await;
    assert!(found.entries.is_empty() && !found.may_be_more);
}
