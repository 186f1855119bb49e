use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::{Calendar, SpanUnit};
use evp_shared::frame::{ProducerId, RawFrame};
use evp_shared::testing::events::{TestEvent, frame_of};

use super::*;

const DAY_MS: u64 = 86_400_000;
/// 2026-11-29T12:00:00Z.
const NOW_MS: u64 = 1_795_953_600_000;

fn layout() -> Layout {
    Layout {
        calendar: Calendar::born(NOW_MS, SpanUnit::Day),
        identity: IdentityConfig::default(),
        indexes: Vec::new(),
    }
}

/// A frame of events with these ids and times, received at noon.
fn frame(number: u32, events: &[(&str, u64)]) -> OpenFrame {
    let events = events.iter();
    let events = events.map(|(id, time_ms)| TestEvent::new(*id, "click").at(*time_ms));
    let events: Vec<TestEvent> = events.collect();
    let frame = frame_of(ProducerId::new(0, 1), number, NOW_MS, &events);
    RawFrame::from(&frame).open().unwrap()
}

fn to_store(frames: &[OpenFrame], redelivered: bool) -> Vec<ToStore<'_>> {
    let frames = frames.iter();
    frames.map(|frame| ToStore { frame, redelivered }).collect()
}

fn sorted<'d>(frames: &[ToStore<'d>], gone_ms: u64) -> (Vec<Part<'d>>, Stored) {
    sort(frames, &layout(), gone_ms, &mut Seen::default()).unwrap()
}

/// Name, suspicion and places of each part.
fn shape(parts: &[Part<'_>]) -> Vec<(String, Suspicion, Vec<usize>)> {
    let parts = parts.iter();
    parts
        .map(|part| (part.span.to_string(), part.suspicion, part.at.clone()))
        .collect()
}

#[test]
fn what_comes_in_time_and_for_the_first_time_is_one_part() {
    let events = [("a", NOW_MS), ("b", NOW_MS - 4_000), ("c", NOW_MS + 1_000)];
    let frames = [frame(1, &events), frame(2, &[("d", NOW_MS)])];
    let frames = to_store(&frames, false);
    let (parts, stored) = sorted(&frames, 0);
    let expected = (
        "events_20261129".to_owned(),
        Suspicion::None,
        vec![0, 1, 2, 3],
    );
    assert_eq!(shape(&parts), [expected]);
    assert_eq!(stored.suspects, 0);
    let oldest_ms: Vec<_> = stored.frames().map(|frame| frame.unwrap().1).collect();
    assert_eq!(oldest_ms, [Some(NOW_MS - 4_000), Some(NOW_MS)]);
}

#[test]
fn suspects_go_apart_and_last() {
    let late = [("a", NOW_MS - 6_000), ("b", NOW_MS), ("b", NOW_MS)];
    let frames = [frame(1, &late), frame(2, &[("b", NOW_MS), ("c", NOW_MS)])];
    let frames = to_store(&frames, false);
    let (parts, stored) = sorted(&frames, 0);
    let name = "events_20261129".to_owned();
    let expected = [
        (name.clone(), Suspicion::None, vec![1, 4]),
        (name.clone(), Suspicion::Late, vec![0]),
        (name, Suspicion::Seen, vec![2, 3]),
    ];
    assert_eq!((shape(&parts), stored.suspects), (expected.to_vec(), 3));
    assert_eq!(stored.commands, 3);

    let again = [frame(3, &[("d", NOW_MS)])];
    let again = to_store(&again, true);
    let (parts, _) = sorted(&again, 0);
    assert!(parts.iter().all(|part| part.suspicion == Suspicion::Seen));
}

#[test]
fn ids_that_the_server_made_are_suspected_by_their_frame() {
    let made = ["a", "b"].map(|id| TestEvent::new(id, "click").at(NOW_MS).made());
    // A client that was told the id sends it as its own.
    let told = [TestEvent::new("a", "click").at(NOW_MS)];
    let sent = [
        (1, &made[..]),
        (1, &made),
        (2, &made),
        (3, &told),
        (4, &told),
    ];
    let frames = sent.map(|(number, events)| {
        let frame = frame_of(ProducerId::new(0, 1), number, NOW_MS, events);
        RawFrame::from(&frame).open().unwrap()
    });
    let frames = to_store(&frames, false);
    let (parts, stored) = sorted(&frames, 0);
    let name = "events_20261129".to_owned();
    let expected = [
        (name.clone(), Suspicion::None, vec![0, 1, 4, 5, 6]),
        (name, Suspicion::Seen, vec![2, 3, 7]),
    ];
    assert_eq!((shape(&parts), stored.suspects), (expected.to_vec(), 3));
}

#[test]
fn a_part_per_span_and_none_below_the_mark() {
    let events = [
        ("a", NOW_MS),
        ("b", NOW_MS + DAY_MS),
        ("c", NOW_MS - 40 * DAY_MS),
        ("d", NOW_MS),
        ("e", 0),
    ];
    let frames = [frame(1, &events)];
    let frames = to_store(&frames, false);
    let (parts, stored) = sorted(&frames, DAY_MS);
    let expected = [
        ("events_20261129".to_owned(), Suspicion::None, vec![0, 3]),
        ("events_20261130".to_owned(), Suspicion::None, vec![1]),
        ("events_2026".to_owned(), Suspicion::Late, vec![2]),
    ];
    assert_eq!(shape(&parts), expected);
    let (written, _) = stored.frames().next().unwrap().unwrap();
    assert_eq!(written[4], Written::Expired);
}

#[test]
fn a_command_that_fails_stops_the_frames_with_a_document_of_it_and_no_other() {
    let frames = [
        frame(1, &[("a", NOW_MS), ("b", NOW_MS + DAY_MS)]),
        frame(2, &[("c", NOW_MS)]),
        frame(3, &[("d", NOW_MS + DAY_MS)]),
    ];
    let frames = to_store(&frames, false);
    let (parts, mut stored) = sorted(&frames, 0);
    let answer = vec![Written::Inserted, Written::DuplicateKey];
    stored.take(&parts[0], Some(Ok(answer.into())));
    stored.take(&parts[1], Some(Err(StoreFailure::Stuck)));
    let written: Vec<_> = stored.frames().map(|one| Some(one?.0.to_vec())).collect();
    assert_eq!(written, [None, Some(vec![Written::DuplicateKey]), None]);
    assert!(!stored.has_failed());
    stored.take(&parts[0], None);
    assert!(stored.has_failed());
}
