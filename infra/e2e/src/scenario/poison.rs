//! What cannot be decoded, what `MongoDB` refuses, and what it never answers.

use anyhow::{Result, ensure};
use bson::{Document, doc};
use fred::interfaces::StreamsInterface as _;

use super::documents::{
    MONGO_MAX, before_tags, ending_in, grown_to, nested, nul_in_key, refused_user,
};
use super::frames::Frames;
use super::redis::dead;
use super::{Size, load, under_load};
use crate::{Expected, Journal, Outcome, Post, System, until};

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
/// A document made of another.
type MadeOf = fn(&[u8]) -> Vec<u8>;

/// What `MongoDB` refuses: with an error of the document's own, with one for the whole command,
/// and where the document should say whose it is.
const MALFORMED: [MadeOf; 4] = [
    |plain| ending_in(plain, &nested(190)),
    |plain| ending_in(plain, &nested(250)),
    |plain| ending_in(plain, &nul_in_key()),
    |plain| before_tags(plain, &nul_in_key()),
];

/// As large as `MongoDB` takes, and nearly so; refused, its dead letter must not be too large in
/// turn.
const LARGE: [MadeOf; 3] = [
    |plain| grown_to(plain, MONGO_MAX),
    |plain| grown_to(plain, MONGO_MAX - 1_024),
    |plain| grown_to(&ending_in(plain, &refused_user()), MONGO_MAX - 1_024),
];
const LARGE_REFUSED: u32 = 1;

const EVENTS: u32 = 30;
/// The span of all that is sent.
const SENT: &str = "events_2023";
/// The span of all that is appended without an ingest.
const APPENDED: &str = "events_1970";
const REFUSED: u32 = 7;

/// What cannot be decoded and what `MongoDB` refuses become dead letters with a reason, while
/// their neighbours are stored.
pub(super) async fn entries(_: Size) -> Result<Outcome> {
    let system = System::of("poison_entry").start().await?;
    let refuse = doc! { "userId": { "$ne": "refused" } };
    for span in [SENT, APPENDED] {
        validate(&system, span, refuse.clone()).await?;
    }
    let mut journal = Journal::default();
    let mut frames = Frames::new(&system);

    // All of it is read in one pass, as nobody reads meanwhile.
    system.processors[0].pause();
    for (index, fields) in (0..).zip(GARBAGE) {
        let first = index * (EVENTS / 3);
        post(&system, &mut journal, first..first + EVENTS / 3).await?;
        append_fields(&system, fields).await?;
    }
    let mut next = EVENTS;
    for refused in MALFORMED {
        next = beside_neighbours(&mut frames, &mut journal, next, refused).await?;
    }
    for large in LARGE {
        let document = large(&frames.document(next));
        next = frames
            .append_documents(&mut journal, next, &[document])
            .await?;
    }
    // More than a frame may hold: it does not decode, and nobody was told that it is stored.
    let too_large = grown_to(&frames.document(next), MONGO_MAX + 1);
    frames
        .append_documents(&mut Journal::default(), next, &[too_large])
        .await?;
    system.processors[0].resume();

    // Those, and the one that was posted.
    let refused = u32::try_from(MALFORMED.len())? + LARGE_REFUSED + 1;
    let expected = Expected {
        dead_letters: dead(&[("undecodable", 4), ("refused_by_store", refused.into())]),
        ..Expected::default()
    };
    let faults = format!("4 entries that do not decode, {refused} documents that mongod refuses");
    let outcome = system.balance(&journal, &expected, faults).await?;
    let stored = outcome.verdict.as_ref().map(|verdict| verdict.stored);
    ensure!(stored == Some((next - refused).into()), "{stored:?} stored");
    Ok(outcome)
}

/// One event in a thousand is refused by a validator, garbage lies between the frames and frames
/// hold what ingest lets nobody send, under load: just these are dead letters, each once.
pub(super) async fn under_way(size: Size) -> Result<Outcome> {
    let builder = System::of("poison_under_load").processors(2);
    let mut system = builder.start().await?;
    let refuse = doc! { "eventId": { "$not": { "$regex": "500$" } } };
    for span in [SENT, APPENDED] {
        validate(&system, span, refuse.clone()).await?;
    }
    let (events, rounds) = size.of((10_000, 5), (60_000, 60), (200_000, 200));
    let mut frames = Frames::new(&system);
    let mut raw = Journal::default();
    // Behind the load, and none that ends in 500.
    let mut next = events + 501;
    let mut journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, _, round| {
            append_garbage(system, &format!("round {round}")).await?;
            let refused = MALFORMED[usize::try_from(round)? % MALFORMED.len()];
            next = beside_neighbours(&mut frames, &mut raw, next, refused).await?;
            Ok(())
        },
    )
    .await?;
    journal.merge(&raw)?;
    let refused = u64::from(events / 1_000) + rounds;
    let expected = Expected {
        dead_letters: dead(&[("undecodable", rounds), ("refused_by_store", refused)]),
        ..Expected::default()
    };
    let faults = format!("{rounds} entries of garbage, {refused} documents that mongod refuses");
    system.balance(&journal, &expected, faults).await
}

/// Appends a document that `MongoDB` refuses in one frame with two that are none: one of them
/// deeper than ingest takes, and taken all the same. Returns the number after them.
async fn beside_neighbours(
    frames: &mut Frames,
    journal: &mut Journal,
    first: u32,
    refused: MadeOf,
) -> Result<u32> {
    let documents = [
        frames.document(first),
        refused(&frames.document(first + 1)),
        ending_in(&frames.document(first + 2), &nested(150)),
    ];
    frames.append_documents(journal, first, &documents).await
}

/// A document whose check takes `MongoDB` longer than the insert deadline, every time: its frame
/// ends as poison, just that document is a dead letter, and the breaker closes again.
pub(super) async fn always_late(_: Size) -> Result<Outcome> {
    let builder = System::of("frame_that_always_times_out")
        .own_mongo()
        .claims_after("2s", "1s");
    let mut system = builder.start().await?;
    let late = EVENTS + 2;
    let check = takes_long(&system.events.event_id(late));
    validate(&system, APPENDED, check).await?;
    let mut journal = Journal::default();
    let mut frames = Frames::new(&system);
    system.processors[0].pause();
    frames
        .append(&mut journal, [0..EVENTS, EVENTS..EVENTS + 4])
        .await?;
    system.processors[0].resume();
    until("the document is a dead letter", async || {
        let letters = system
            .mongo
            .database()
            .collection::<Document>("dead_letters");
        letters
            .count_documents(doc! {})
            .await
            .is_ok_and(|found| found == 1)
    })
    .await?;
    system.processors[0].await_ready().await?;
    // Reading goes on: the breaker is closed.
    frames
        .append(&mut journal, std::iter::once(EVENTS + 4..2 * EVENTS))
        .await?;
    let expected = Expected {
        dead_letters: dead(&[("refused_by_store", 1)]),
        ..Expected::default()
    };
    let faults = "a document that mongod never answers for within the deadline";
    system.balance(&journal, &expected, faults).await
}

/// A check that counts to some ten million for one event, and then refuses it. The fields in it
/// keep the server from counting once for all.
fn takes_long(event_id: &str) -> Document {
    let count = |input: Document, each: bson::Bson| {
        doc! { "$reduce": {
            "input": { "$range": [0, input] }, "initialValue": 0,
            "in": { "$add": ["$$value", each] },
        } }
    };
    let inner = count(
        doc! { "$add": [5_000, { "$strLenCP": "$tenant" }] },
        1.into(),
    );
    let outer = count(
        doc! { "$add": [5_000, { "$strLenCP": "$eventId" }] },
        inner.into(),
    );
    doc! { "$expr": { "$or": [
        { "$ne": ["$eventId", event_id] },
        { "$lt": [outer, 0] },
    ] } }
}

/// Sets the validator of `span`, whether or not it is made yet.
pub(super) async fn validate(system: &System, span: &str, validator: Document) -> Result<()> {
    let database = system.mongo.database();
    // It may be there.
    database.create_collection(span).await.ok();
    let order = doc! { "collMod": span, "validator": validator };
    database.run_command(order).await?;
    Ok(())
}

/// Appends an entry that does not decode; `text` makes it one of its own.
pub(super) async fn append_garbage(system: &System, text: &str) -> Result<()> {
    append_fields(system, &[("garbage", text)]).await
}

async fn append_fields(system: &System, fields: &[(&str, &str)]) -> Result<()> {
    let stream = system.redis.keys().partition(0).events;
    let client = system.redis.client();
    let added: String = client
        .xadd(&stream, true, None::<()>, "*", fields.to_vec())
        .await?;
    ensure!(!added.is_empty(), "not added");
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
