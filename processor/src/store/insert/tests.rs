use bson::doc;

use super::*;

#[test]
fn the_command_is_what_the_driver_would_have_encoded() {
    let documents = [doc! { "_id": 1, "a": "b" }, doc! { "_id": 2 }];
    let bytes: Vec<Vec<u8>> = documents
        .iter()
        .map(|one| bson::serialize_to_vec(one).unwrap())
        .collect();
    let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    for uuid in [None, Some(Uuid::from_bytes([7; 16]))] {
        let target = Target {
            name: "events_1970",
            uuid,
        };
        let command = insert_command(target, &slices).unwrap();
        let mut expected = doc! { "insert": "events_1970", "ordered": false };
        if let Some(uuid) = uuid {
            expected.insert("collectionUUID", uuid);
        }
        expected.insert("writeConcern", doc! { "w": "majority", "j": true });
        expected.insert("documents", documents.to_vec());
        assert_eq!(
            command.as_bytes(),
            bson::serialize_to_vec(&expected).unwrap()
        );
    }
}

#[test]
fn a_write_concern_error_voids_the_whole_answer() {
    let reply = doc! {
        "n": 1,
        "writeErrors": [duplicate(&doc! { "_id": 1 })],
        "writeConcernError": { "code": 64 },
    };
    assert!(matches!(
        parse_reply(&reply, 2),
        Err(StoreFailure::WriteConcern(_))
    ));
}

fn duplicate(pattern: &Document) -> Document {
    doc! { "index": 0, "code": 11_000, "errmsg": "dup", "keyPattern": pattern }
}

#[test]
fn only_a_duplicate_of_the_id_says_that_the_event_is_stored() {
    let written = |pattern: &Document| {
        let reply = doc! { "n": 0, "writeErrors": [duplicate(pattern)] };
        parse_reply(&reply, 1).unwrap().remove(0)
    };
    assert_eq!(written(&doc! { "_id": 1 }), Written::DuplicateKey);
    assert!(matches!(
        written(&doc! { "userId": 1 }),
        Written::Refused { code: 11_000, .. }
    ));
}

#[test]
fn at_the_cap_only_what_works_there_is_advised() {
    let full = StoreFailure::DeadLettersFull {
        events: 1,
        bytes: 2,
    };
    let advice = full.to_string();
    // A replay at the cap waits for a processor that waits for room.
    let (first, later) = advice.split_once("; then ").unwrap();
    assert!(
        first.contains("purge") && first.contains("max_events"),
        "{advice}"
    );
    assert!(!first.contains("replay") && later == "replay", "{advice}");
}

#[test]
fn a_code_outside_the_closed_list_is_systemic() {
    let reply = |code: i32| {
        doc! { "n": 0, "writeErrors": [{ "index": 0, "code": code, "errmsg": "no" }] }
    };
    assert!(matches!(
        parse_reply(&reply(189), 1),
        Err(StoreFailure::Systemic { code: 189, .. })
    ));
    let refused = parse_reply(&reply(121), 1).unwrap();
    assert!(matches!(refused[0], Written::Refused { code: 121, .. }));
    assert!(matches!(
        parse_reply(&doc! { "n": 1 }, 2),
        Err(StoreFailure::Protocol)
    ));
}
