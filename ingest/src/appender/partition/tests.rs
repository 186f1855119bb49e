use evp_shared::config::Durability;
use evp_shared::frame::Codec;

use super::super::HeldLimits;
use super::*;

const CONFIG: AppenderConfig = AppenderConfig {
    codec: Codec::None,
    fingerprint: 1,
    held: HeldLimits {
        age: Duration::from_secs(5),
        bytes: 1_000,
    },
    durability: Durability::Everysec,
};

fn partition(clock: &Clock) -> Partition {
    Partition::new(0, &CONFIG, clock)
}

#[test]
fn a_producer_used_up_during_a_hello_does_not_begin_anew() {
    let partition = partition(&Clock::manual(0));
    let (first, is_new) = partition.registration();
    assert!(is_new && partition.keeps(first.clone(), is_new));

    // A hello that renews it is under way, and an append takes the last of its numbers.
    let (renewed, is_new) = partition.registration();
    assert_eq!(renewed.token, first.token);
    let all = usize::try_from(FRAME_NUMBER_MAX).unwrap();
    assert!(partition.frame_ids(0, all).is_some());
    assert!(partition.frame_ids(0, 1).is_none());
    assert!(!partition.keeps(renewed, is_new));
    assert!(
        partition.frame_ids(0, 1).is_none(),
        "it has no numbers left"
    );

    let (second, is_new) = partition.registration();
    assert_ne!(second.token, first.token);
    assert!(partition.keeps(second.clone(), is_new));
    let mut ids = partition.frame_ids(0, 1).unwrap();
    assert_eq!(ids.next(), Some(FrameId::new(0, second.id, 0)));
}
