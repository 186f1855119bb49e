use evp_shared::clock::Clock;

use super::*;

const REPEAT: Duration = Duration::from_secs(4 * 3_600);
const GOOD: Signs = [Sign::Good; Source::ALL.len()];

/// A watch, what it told, and its time.
struct World {
    watch: Watch,
    told: Told,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        Self {
            watch: Watch::default(),
            told: Told::default(),
            clock: Clock::manual(1_700_000_000_000),
        }
    }

    /// What is told when these are bad and all others good, `seconds` later.
    fn after(&mut self, seconds: u64, bad: &[Source]) -> Vec<(Source, State)> {
        let mut signs = GOOD;
        for source in bad {
            signs[*source as usize] = Sign::Bad(1);
        }
        self.see(seconds, &signs)
    }

    fn see(&mut self, seconds: u64, signs: &Signs) -> Vec<(Source, State)> {
        self.clock.advance(Duration::from_secs(seconds));
        let (now, now_ms) = (self.clock.now(), self.clock.now_ms());
        let notices = self.watch.look(
            signs,
            &self.told,
            Moment {
                now,
                now_ms,
                repeat: REPEAT,
            },
        );
        for notice in &notices {
            self.told.note(notice, now_ms);
        }
        notices.iter().map(|one| (one.source, one.state)).collect()
    }
}

#[test]
fn what_lasts_is_told_once_and_again_and_when_it_is_over() {
    use Source::MongodbAway as Mongo;
    let mut world = World::new();
    assert_eq!(world.after(0, &[Mongo]), []);
    assert_eq!(world.after(29, &[Mongo]), []);
    assert_eq!(world.after(1, &[Mongo]), [(Mongo, State::Begun)]);
    for _ in 0..10 {
        assert_eq!(world.after(60, &[Mongo]), []);
    }
    assert_eq!(
        world.after(4 * 3_600 - 600, &[Mongo]),
        [(Mongo, State::Lasts)]
    );
    assert_eq!(world.after(60, &[Mongo]), []);
    assert_eq!(world.after(4 * 3_600, &[Mongo]), [(Mongo, State::Lasts)]);
    assert_eq!(world.after(60, &[]), [(Mongo, State::Over)]);
    assert_eq!(world.after(60, &[]), []);
}

#[test]
fn what_is_over_soon_is_not_told() {
    let mut world = World::new();
    for _ in 0..10 {
        assert_eq!(world.after(2, &[Source::RedisAway]), []);
        assert_eq!(world.after(29, &[Source::RedisAway]), []);
        assert_eq!(world.after(2, &[]), []);
    }
    // Nor is what cannot be seen in between.
    let mut signs = GOOD;
    assert_eq!(world.after(2, &[Source::RedisMemory]), []);
    signs[Source::RedisMemory as usize] = Sign::Unknown;
    assert_eq!(world.see(28, &signs), []);
    assert_eq!(world.after(2, &[Source::RedisMemory]), []);
}

#[test]
fn a_canary_that_is_late_was_waited_for_already() {
    let mut world = World::new();
    let late = Source::CanaryLate;
    assert_eq!(world.after(0, &[late]), [(late, State::Begun)]);
    assert_eq!(world.after(60, &[]), [(late, State::Over)]);
}

#[test]
fn a_source_that_flaps_is_told_of_once_a_minute() {
    let mut world = World::new();
    let mut told_at = Vec::new();
    // An hour of it, each time for long enough to be told.
    for second in 0..3_600_u64 {
        let is_bad = second % 40 < 35;
        let bad: &[Source] = if is_bad { &[Source::RedisAway] } else { &[] };
        if !world.after(1, bad).is_empty() {
            told_at.push(second);
        }
    }
    assert!(told_at.len() > 20, "{told_at:?}");
    let apart = told_at.windows(2).map(|two| two[1] - two[0]);
    assert!(apart.min() >= Some(60), "{told_at:?}");
}

#[test]
fn what_follows_from_another_is_not_told_beside_it() {
    use Source::{MongodbAway as Mongo, StorageBehind as Behind};
    let mut world = World::new();
    assert_eq!(world.after(0, &[Mongo]), []);
    assert_eq!(world.after(30, &[Mongo, Behind]), [(Mongo, State::Begun)]);
    assert_eq!(world.after(90, &[Mongo, Behind]), []);
    assert_eq!(world.after(2, &[Behind]), [(Mongo, State::Over)]);
    // It has the same time as everything else to come to an end.
    assert_eq!(world.after(2, &[Behind]), []);
    assert_eq!(world.after(29, &[Behind]), []);
    assert_eq!(world.after(1, &[Behind]), [(Behind, State::Begun)]);
}

#[test]
fn a_cause_that_is_never_told_hides_nothing_for_long() {
    use Source::{MongodbAway as Mongo, StorageBehind as Behind};
    let mut world = World::new();
    assert_eq!(world.after(0, &[Behind]), []);
    assert_eq!(world.after(20, &[Behind, Mongo]), []);
    assert_eq!(world.after(11, &[Behind, Mongo]), []);
    assert_eq!(world.after(2, &[Behind]), [(Behind, State::Begun)]);
}

#[test]
fn what_cannot_be_seen_stays_as_it_was_told() {
    let mut world = World::new();
    let memory = Source::RedisMemory;
    world.after(0, &[memory]);
    assert_eq!(world.after(30, &[memory]), [(memory, State::Begun)]);
    let signs = [Sign::Unknown; Source::ALL.len()];
    assert_eq!(world.see(8 * 3_600, &signs), []);
    assert_eq!(world.after(2, &[]), [(memory, State::Over)]);
}
