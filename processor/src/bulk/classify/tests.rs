use super::*;

const OWN: [u8; 12] = [1; 12];
const OTHER: [u8; 12] = [2; 12];

fn event(id: u8, event_type: &str) -> EventFacts {
    EventFacts {
        id: [id; 16],
        tenant: "default".to_owned(),
        event_id: Some(format!("e{id}")),
        event_type: event_type.to_owned(),
    }
}

fn stored(id: u8, frame: [u8; 12], event_type: &str) -> (Id, StoredFacts) {
    let event = event(id, event_type);
    (event.id, StoredFacts { frame, event })
}

fn refused() -> Written {
    Written::Refused {
        code: 121,
        message: "no".to_owned(),
    }
}

fn done(counts: &[(&str, u32)], duplicates: u32, counted: &[usize]) -> Classified {
    let counts = counts
        .iter()
        .map(|(event_type, count)| CountRow {
            tenant: "default".into(),
            event_type: (*event_type).into(),
            count: *count,
        })
        .collect();
    Classified::Done {
        counts,
        duplicates,
        expired: 0,
        dead: Vec::new(),
        counted: counted.to_vec(),
    }
}

#[test]
fn each_event_is_new_duplicate_or_unknown() {
    use Written::{DuplicateKey, Inserted};
    let cases = [
        (
            "all inserted",
            vec![Inserted, Inserted],
            vec![],
            done(&[("a", 1), ("b", 1)], 0, &[0, 1]),
        ),
        (
            "an earlier delivery of this frame stored one",
            vec![DuplicateKey, Inserted],
            vec![stored(1, OWN, "a")],
            done(&[("a", 1), ("b", 1)], 0, &[0, 1]),
        ),
        (
            "another frame stored one",
            vec![DuplicateKey, Inserted],
            vec![stored(1, OTHER, "a")],
            done(&[("b", 1)], 1, &[1]),
        ),
        (
            "counted under the stored type",
            vec![DuplicateKey, Inserted],
            vec![stored(1, OWN, "stored")],
            done(&[("b", 1), ("stored", 1)], 0, &[0, 1]),
        ),
        (
            "not found any more",
            vec![DuplicateKey, Inserted],
            vec![],
            Classified::Unknown,
        ),
        (
            "refused now, stored by an earlier delivery",
            vec![refused(), Inserted],
            vec![stored(1, OWN, "a")],
            done(&[("a", 1), ("b", 1)], 0, &[0, 1]),
        ),
    ];
    let events = [event(1, "a"), event(2, "b")];
    for (name, written, stored, expected) in cases {
        let found = classify(&OWN, &events, &written, &stored.into_iter().collect());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn one_event_twice_in_a_frame_is_one_new_and_one_duplicate() {
    use Written::{DuplicateKey, Inserted};
    let events = [event(1, "a"), event(1, "b")];
    let nothing = HashMap::new();
    let inserted = classify(&OWN, &events, &[Inserted, DuplicateKey], &nothing);
    assert_eq!(inserted, done(&[("a", 1)], 1, &[0]));
    let own = HashMap::from([stored(1, OWN, "a")]);
    let again = classify(&OWN, &events, &[DuplicateKey, DuplicateKey], &own);
    assert_eq!(again, done(&[("a", 1)], 1, &[0]));
    let other = HashMap::from([stored(1, OTHER, "a")]);
    let duplicates = classify(&OWN, &events, &[DuplicateKey, DuplicateKey], &other);
    assert_eq!(duplicates, done(&[], 2, &[]));
}

#[test]
fn a_refused_event_is_dead_and_its_neighbour_is_not() {
    let events = [event(1, "a"), event(2, "b")];
    let written = [refused(), Written::Inserted];
    let Classified::Done {
        counts,
        duplicates,
        dead,
        ..
    } = classify(&OWN, &events, &written, &HashMap::new())
    else {
        unreachable!("nothing is unknown here")
    };
    assert_eq!((counts.len(), duplicates), (1, 0));
    assert_eq!(
        (dead[0].index, dead[0].reason),
        (0, DeadReason::RefusedByStore)
    );
    assert_eq!(dead[0].detail, "no (code 121)");
}

#[test]
fn an_expired_event_is_neither_counted_nor_looked_up() {
    let events = [event(1, "a"), event(2, "b")];
    let written = [Written::Expired, Written::Inserted];
    let found = classify(&OWN, &events, &written, &HashMap::new());
    assert!(
        matches!(&found, Classified::Done { expired: 1, duplicates: 0, counted, .. }
            if *counted == [1]),
        "{found:?}"
    );
    assert!(to_look_up(&events, &written).is_empty());
    assert!(!is_clean(&written));
}

#[test]
fn a_hash_collision_is_a_dead_letter_never_a_duplicate() {
    let (id, mut facts) = stored(1, OTHER, "a");
    facts.event.event_id = Some("another".to_owned());
    let found = classify(
        &OWN,
        &[event(1, "a")],
        &[Written::DuplicateKey],
        &HashMap::from([(id, facts.clone())]),
    );
    assert!(
        matches!(found, Classified::Done { ref dead, duplicates: 0, .. }
            if dead[0].reason == DeadReason::IdCollision),
        "{found:?}"
    );

    // A made id is not stored, so it cannot be compared.
    facts.event.event_id = None;
    let found = classify(
        &OWN,
        &[event(1, "a")],
        &[Written::DuplicateKey],
        &HashMap::from([(id, facts)]),
    );
    assert_eq!(found, done(&[], 1, &[]));
}

#[test]
fn only_what_was_not_inserted_is_looked_up_once() {
    let events = [event(1, "a"), event(2, "b"), event(1, "a")];
    let written = [
        Written::DuplicateKey,
        Written::Inserted,
        Written::DuplicateKey,
    ];
    assert_eq!(to_look_up(&events, &written), [[1; 16]]);
    assert!(!is_clean(&written));
}
