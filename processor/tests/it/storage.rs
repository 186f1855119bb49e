//! `storage`: the spans are told, and what is done with them by hand is refused where it would harm.

use bson::doc;
use clap::Parser;
use evp_processor::command::storage::{Storage, run};
use evp_shared::audit;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::{Calendar, SpanUnit};
use evp_shared::store::{Index, SpanIndex, State, lease, spans};
use serde_json::Value;
use std::time::Duration;

use crate::harness::World;

/// 2013-08-20 and 2014-08-20.
const OLD_MS: [u64; 2] = [1_377_000_000_000, 1_408_536_000_000];

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    storage: Storage,
}

/// What a command says; its refusal is an `Err`.
async fn storage(world: &World, arguments: &str, more: &str) -> Result<String, String> {
    let words = std::iter::once("storage").chain(arguments.split_whitespace());
    let asked = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
    let done = run(&world.config_with("s", more), &asked.storage.action).await;
    done.map(|done| done.text)
        .map_err(|error| format!("{error:#}"))
}

/// A world with spans of 2013, of 2014 and of today.
async fn world() -> (World, String) {
    let world = World::new().await;
    let database = world.mongo.database();
    let calendar = spans::claim_calendar(&database, SpanUnit::Day).await;
    let calendar: Calendar = calendar.unwrap();
    let indexes = [Index::Type, Index::User];
    for ms in [OLD_MS[0], OLD_MS[1], world.now_ms] {
        let span = calendar.span_of(Some(ms));
        spans::make(&database, &span, &indexes).await.unwrap();
        let id = IdentityConfig::default().first_id(0, ms);
        let id = bson::Uuid::from_bytes(*id.as_bytes());
        let events = database.collection(&span.to_string());
        events.insert_one(doc! { "_id": id }).await.unwrap();
    }
    let today = calendar.span_of(Some(world.now_ms)).to_string();
    (world, today)
}

#[tokio::test]
async fn spans_are_told_with_what_goes_next() {
    let (world, today) = world().await;
    let text = storage(&world, "list", "").await.unwrap();
    for part in [
        "events_2013 ",
        "sealed when quiet",
        "sealed from ",
        "3 spans with 3 events",
        "floor none",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let list = storage(&world, "list --json", "").await.unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["spans"][2]["name"], today.as_str());
    assert_eq!(list["spans"][0]["events"], 1);
    assert_eq!(list["floor"], Value::Null);
    assert!(list["diskUsedPermille"].as_u64().is_some());
}

#[tokio::test]
async fn a_span_that_has_ended_is_sealed_by_hand_and_no_other() {
    let (world, today) = world().await;
    let database = world.mongo.database();
    let seal = async |name: &str| storage(&world, &format!("seal {name}"), "").await;
    let refused = seal(&today).await.unwrap_err();
    assert!(refused.contains("has not ended"), "{refused}");
    let refused = seal("events_1999").await.unwrap_err();
    assert!(refused.contains("no span events_1999"), "{refused}");

    let would = seal("events_2013").await.unwrap();
    assert!(
        would.contains("build user, then drop user_recent"),
        "{would}"
    );
    let of_2013 = async || {
        let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
        rows.into_iter().next().unwrap()
    };
    assert_eq!(of_2013().await.state, State::Hot);

    let done = seal("events_2013 --yes").await.unwrap();
    assert!(done.contains("sealed events_2013 with 1 events"), "{done}");
    let row = of_2013().await;
    assert_eq!(row.state, State::Sealed);
    assert_eq!(row.indexes, [SpanIndex::Type, SpanIndex::User]);
    // The lease is given back.
    let taken = lease::take(&database, "x", Duration::from_secs(60)).await;
    assert_eq!(taken.unwrap(), "x");
    assert!(
        seal("events_2013 --yes")
            .await
            .unwrap()
            .contains("is sealed")
    );
}

#[tokio::test]
async fn what_is_in_use_is_not_dropped_and_the_rest_ends_by_the_marks() {
    let (world, today) = world().await;
    let database = world.mongo.database();
    let drop = async |what: &str| storage(&world, &format!("drop {what}"), "").await;
    for (what, reason) in [
        (today.as_str(), "is in use"),
        ("events_2014", "1 of them are older, from events_2013 on"),
        ("events_1999", "no span"),
        ("", "required"),
    ] {
        let refused = drop(what).await.unwrap_err();
        assert!(refused.contains(reason), "{what}: {refused}");
    }
    let by_id = "[dedupe]\nidentity = \"id\"";
    let refused = storage(&world, "drop events_2013 --yes", by_id).await;
    assert!(refused.unwrap_err().contains("have no time"));
    let none = drop("--before 2013-12-01T00:00:00Z").await.unwrap();
    assert!(none.contains("no span ends"), "{none}");

    let would = drop("--before 2015-06-01T00:00:00Z").await.unwrap();
    assert!(
        would.contains("would drop 2 spans with 2 events"),
        "{would}"
    );
    assert!(world.audited().await.is_empty());

    let done = drop("events_2013 --yes").await.unwrap();
    assert!(done.contains("1 spans with 1 events end"), "{done}");
    let audit = world.audited().await;
    assert_eq!((audit.len(), audit[0].what.as_str()), (1, "storage.drop"));
    assert_eq!(audit[0].state, audit::State::Done);
    // The housekeeper does it, without `storage.keep`.
    crate::housekeeper::until_dropped(&world, "events_2013").await;
    let rows = spans::rows(&database, Duration::ZERO).await.unwrap();
    assert_eq!(rows[0].name(), "events_2014");
    let marks = spans::marks(&database).await.unwrap();
    assert_eq!(marks.gone_ms, marks.floor_ms);
}
