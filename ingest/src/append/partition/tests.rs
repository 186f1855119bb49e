use bytes::Bytes;

use super::*;

const HELD: HeldLimits = HeldLimits {
    age: Duration::from_secs(5),
    bytes: 1_000,
};

const LIFE: Life = Life(7);

fn partition(clock: &Clock) -> Partition {
    Partition::new(0, HELD, clock)
}

impl Partition {
    /// Holds up every greeting until it is dropped.
    pub(crate) async fn stall(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.greeting.lock().await
    }

    /// Has acknowledged a frame, and heard of a new life since.
    pub(crate) fn hold_what_redis_forgot(&self) {
        let now = self.clock.now();
        self.state().life = LIFE;
        self.hears(LIFE, now);
        append(self, 0, now);
        self.hears(Life(LIFE.0 + 1), now);
    }

    /// Enters the life it has heard of.
    pub(crate) fn end_replay(&self) {
        let mut state = self.state();
        state.life = state.heard;
    }
}

/// A partition in its first life.
fn greeted(clock: &Clock) -> Partition {
    let partition = partition(clock);
    partition.state().life = LIFE;
    assert!(!partition.hears(LIFE, clock.now()));
    partition
}

fn frame(number: u32) -> Frame {
    Frame {
        id: FrameId::new(1, ProducerId::new(0, 1), number),
        events: 1,
        bytes: 100,
        meta: Bytes::from_static(&[0; 50]),
        payload: Bytes::from_static(&[0; 50]),
    }
}

/// Appends a frame that was sent at `at`.
fn append(partition: &Partition, number: u32, at: Instant) {
    let ms = u64::from(number);
    let entry = EntryId { ms, seq: 0 };
    assert!(partition.acknowledge(LIFE, at, &[frame(number)], &[entry]));
}

fn held(partition: &Partition) -> Vec<FrameId> {
    let all = ReplayLimits {
        frames: usize::MAX,
        bytes: usize::MAX,
    };
    let frames = partition.state().held.frames_after(0, all);
    frames.iter().map(|frame| frame.id).collect()
}

#[test]
fn a_frame_is_held_until_redis_has_shown_that_it_outlived_the_window() {
    let clock = Clock::manual(0);
    let partition = greeted(&clock);
    append(&partition, 0, clock.now());

    // Nothing is heard: what was acknowledged last may be gone.
    let asked = clock.now() + Duration::from_secs(1);
    clock.advance(Duration::from_secs(60));
    partition.let_go();
    assert_eq!(held(&partition).len(), 1);
    // Answers to what was asked within the window, read late, prove no more.
    partition.hears(LIFE, asked);
    partition.let_go();
    append(&partition, 1, asked);
    assert_eq!(held(&partition).len(), 2);

    partition.hears(LIFE, clock.now());
    partition.let_go();
    assert_eq!(held(&partition), [frame(1).id]);
    clock.advance(Duration::from_secs(6));
    append(&partition, 2, clock.now());
    assert_eq!(held(&partition), [frame(2).id]);
}

#[test]
fn what_is_held_is_bounded_whatever_redis_shows() {
    let clock = Clock::manual(0);
    let partition = greeted(&clock);
    for number in 0..30 {
        append(&partition, number, clock.now());
    }
    assert_eq!(held(&partition).len(), 10, "ten of a hundred bytes fit");
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
