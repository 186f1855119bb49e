use std::collections::BTreeMap;

use evp_shared::clock::Clock;
use evp_shared::frame::{ProducerId, RawFrame};
use evp_shared::testing::events::{TENANT, TestEvent, frame_of, frame_of_tenants};

use super::*;

const HOUR_MS: u64 = 3_600_000;

fn note(sketches: &Sketches, at_ms: u64, users: &[&str], clock: &Clock) {
    let events: Vec<_> = users
        .iter()
        .map(|user| TestEvent::new("e", "click").of_user(*user))
        .collect();
    let frame = frame_of(ProducerId::new(0, 1), 1, at_ms, &events);
    let frame = RawFrame::from(&frame).open().unwrap();
    sketches.note(at_ms, frame.iter(), clock.now());
}

fn users(updates: &[(SketchBucket, SketchUpdate)], step: Step) -> Vec<&str> {
    let of_step = updates.iter().filter(|(place, _)| place.step == step);
    of_step
        .flat_map(|(_, update)| update.users.iter().map(|user| &**user))
        .collect()
}

#[test]
fn an_id_is_written_once_for_each_minute_and_hour() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    note(&sketches, HOUR_MS, &["a", "b", "a"], &clock);
    let (updates, _) = sketches.take(false, clock.now());
    assert_eq!(users(&updates, Step::Minute), ["a", "b"]);
    assert_eq!(users(&updates, Step::Hour), ["a", "b"]);
    note(&sketches, HOUR_MS, &["a", "c"], &clock);
    note(&sketches, HOUR_MS + 60_000, &["a"], &clock);
    let (updates, _) = sketches.take(false, clock.now());
    let mut minutes = users(&updates, Step::Minute);
    minutes.sort_unstable();
    assert_eq!(minutes, ["a", "c"]);
    assert_eq!(users(&updates, Step::Hour), ["c"]);
}

#[test]
fn the_top_of_an_hour_is_that_of_its_minutes() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    for minute in 0..3 {
        note(
            &sketches,
            HOUR_MS + minute * 60_000,
            &["a", "b", "a"],
            &clock,
        );
        drop(sketches.take(false, clock.now()));
    }
    note(&sketches, HOUR_MS, &["b"], &clock);
    let (updates, _) = sketches.take(true, clock.now());
    let hour = updates.iter().find(|(place, _)| place.step == Step::Hour);
    let (_, bytes) = hour.unwrap().1.top.clone().unwrap();
    let top = TopItems::decode(&bytes).unwrap().top(5);
    let top: Vec<_> = top.iter().map(|item| (&*item.item, item.count)).collect();
    assert_eq!(top, [("a", 6), ("b", 4)]);
}

#[test]
fn a_backlog_of_hours_is_sketched_whole_in_bounded_memory() {
    const MINUTES: u64 = 200;
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    for minute in 0..MINUTES {
        note(&sketches, minute * 60_000, &["a", "b", "a"], &clock);
        assert!(sketches.gathered.lock().buckets.len() <= BUCKETS_MAX);
    }
    let (updates, lost) = sketches.take(true, clock.now());
    assert_eq!(lost, 0);
    assert_eq!(users(&updates, Step::Minute).len(), 2 * 200);
    let mut seen = BTreeMap::new();
    for (place, update) in &updates {
        if let Some((_, bytes)) = &update.top {
            let top = TopItems::decode(bytes).unwrap().top(5);
            let count: u64 = top.iter().map(|item| item.count).sum();
            *seen.entry(place.step.as_str()).or_insert(0) += count;
        }
    }
    assert_eq!(
        seen,
        BTreeMap::from([("h", 3 * MINUTES), ("m", 3 * MINUTES)])
    );
    clock.advance(IDLE);
    drop(sketches.take(true, clock.now()));
    assert!(sketches.gathered.lock().buckets.is_empty());
}

#[test]
fn what_closed_buckets_cannot_hold_is_counted_and_said_to_be_missing() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    let long = "x".repeat(100);
    let list: Vec<String> = (0..2_000).map(|n| format!("{long}{n}")).collect();
    let list: Vec<&str> = list.iter().map(|id| &**id).collect();
    for minute in 0..200 {
        note(&sketches, minute * 60_000, &list, &clock);
    }
    assert!(sketches.gathered.lock().closed_bytes <= CLOSED_BYTES_MAX);
    let (updates, lost) = sketches.take(true, clock.now());
    let lacking = SketchUpdate::lacking().top;
    let told = updates.iter().filter(|(_, update)| update.top == lacking);
    assert_eq!(told.count() as u64, lost);
    assert!(lost > 0);
}

#[test]
fn a_bucket_without_users_is_written_all_the_same() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    let frame = frame_of(ProducerId::new(0, 1), 1, 0, &[TestEvent::new("e", "click")]);
    let frame = RawFrame::from(&frame).open().unwrap();
    sketches.note(0, frame.iter(), clock.now());
    let (updates, _) = sketches.take(true, clock.now());
    let tops = updates.iter().filter(|(_, update)| update.top.is_some());
    assert_eq!(tops.count(), 2);
}

#[test]
fn what_was_not_written_comes_again() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    note(&sketches, 0, &["a"], &clock);
    drop(sketches.take(false, clock.now()));
    let minute = SketchBucket {
        tenant: TENANT.into(),
        step: Step::Minute,
        number: 0,
    };
    sketches.forget(vec![minute.clone()]);
    note(&sketches, 0, &["a"], &clock);
    let (updates, lost) = sketches.take(false, clock.now());
    assert_eq!(users(&updates, Step::Minute), ["a"]);
    let lacking = SketchUpdate::lacking().top;
    let told = |(place, update): &(_, SketchUpdate)| *place == minute && update.top == lacking;
    assert!(lost == 1 && updates.iter().any(told));
}

#[test]
fn top_users_begun_anew_hold_nobody_and_ids_stay() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    note(&sketches, 0, &["a"], &clock);
    drop(sketches.take(false, clock.now()));
    // The hour has the first, the minute has both.
    note(&sketches, 0, &["b"], &clock);
    for minute in 1..=BUCKETS_MAX as u64 {
        note(&sketches, minute * 60_000, &["a"], &clock);
    }
    assert!(!sketches.gathered.lock().closed.is_empty());
    let left_out = sketches.begin_top_anew();
    assert!(left_out > BUCKETS_MAX as u64 / 2, "{left_out}");
    note(&sketches, 0, &["c"], &clock);
    let (updates, lost) = sketches.take(true, clock.now());
    assert_eq!(lost, left_out);
    assert!(users(&updates, Step::Minute).contains(&"b"));
    let tops = updates.iter().filter_map(|(_, update)| update.top.as_ref());
    let tops = tops.flat_map(|(_, bytes)| TopItems::decode(bytes).unwrap().top(5));
    let tops: Vec<_> = tops.map(|item| (item.item, item.count)).collect();
    let own = ("c".to_owned(), 1);
    assert_eq!(tops, [own.clone(), own]);
}

#[test]
fn canaries_are_nobodys_users() {
    let (clock, sketches) = (Clock::manual(0), Sketches::default());
    let events = [TestEvent::new("e", "canary").of_user("u")];
    let of_canaries: &[(&str, &[TestEvent])] = &[(canary::TENANT, &events)];
    let frame = frame_of_tenants(ProducerId::new(0, 1), 1, HOUR_MS, of_canaries);
    let frame = RawFrame::from(&frame).open().unwrap();
    sketches.note(HOUR_MS, frame.iter(), clock.now());
    assert!(sketches.take(true, clock.now()).0.is_empty());
}
