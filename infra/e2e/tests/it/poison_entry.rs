use std::collections::BTreeMap;

use anyhow::Result;
use bson::doc;
use evp_e2e::{Expected, Journal, Post, System};
use fred::interfaces::StreamsInterface as _;

/// Entries no ingest wrote: other fields, another version, a header and a payload of noise.
const GARBAGE: [&[(&str, &str)]; 3] = [
    &[("hello", "world")],
    &[("v", "99"), ("n", "1"), ("b", "1"), ("m", "x"), ("d", "x")],
    &[
        ("v", "1"),
        ("n", "3"),
        ("b", "9"),
        ("m", "noise"),
        ("d", "noise"),
    ],
];
const EVENTS: u32 = 30;
const REFUSED: u32 = 7;

/// What cannot be decoded and what `MongoDB` refuses become dead letters with a reason, while their
/// neighbours are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_becomes_dead_letters_and_its_neighbours_are_stored() -> Result<()> {
    let system = System::of("poison_entry").start().await?;
    let refuse = doc! { "collMod": "events", "validator": { "userId": { "$ne": "refused" } } };
    system.mongo.database().run_command(refuse).await?;
    let mut journal = Journal::default();

    // All of it is read in one pass, as nobody reads meanwhile.
    system.processors[0].pause();
    let stream = system.redis.keys().partition(0).events;
    for (index, fields) in (0..).zip(GARBAGE) {
        let first = index * (EVENTS / 3);
        post(&system, &mut journal, first..first + EVENTS / 3).await?;
        let added: String = system
            .redis
            .client()
            .xadd(&stream, true, None::<()>, "*", fields.to_vec())
            .await?;
        assert!(!added.is_empty());
    }
    system.processors[0].resume();

    let expected = Expected {
        dead_letters: BTreeMap::from([("undecodable", 3), ("refused_by_store", 1)]),
        ..Expected::default()
    };
    let faults = "3 entries of garbage, 1 document that mongod refuses";
    let verdict = system.balance(&journal, &expected, faults).await?;
    assert_eq!(verdict.stored(), u64::from(EVENTS - 1));
    Ok(())
}

/// Sends events of which number [`REFUSED`] is one that the validator refuses.
async fn post(system: &System, journal: &mut Journal, numbers: std::ops::Range<u32>) -> Result<()> {
    let user = format!("user-{REFUSED}\"");
    let events = numbers.clone().map(|number| {
        let event = system.events.json(number);
        match number {
            REFUSED => event.replace(&user, "refused\""),
            _ => event,
        }
    });
    let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
    let post = Post::json(&system.http, &system.ingests[0].url(), body);
    post.acknowledged(journal, numbers).await
}
