//! `dlq`: what could not be stored comes back once, or goes.

use std::process::Command;
use std::time::Duration;

use bson::{Binary, DateTime, Document, doc, oid::ObjectId, spec::BinarySubtype};
use clap::Parser;
use evp_processor::command::dlq::{Action, Dlq, Done, run};
use evp_shared::audit::{Entry, State};
use evp_shared::config::RedisConfig;
use evp_shared::frame::RawFrame;
use evp_shared::store::DEAD_LETTERS;
use fred::interfaces::StreamsInterface as _;

use crate::harness::World;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    dlq: Dlq,
}

fn action(arguments: &str) -> Action {
    let words = std::iter::once("dlq").chain(arguments.split_whitespace());
    Arguments::try_parse_from(words).unwrap().dlq.action
}

async fn dlq(world: &World, arguments: &str) -> Done {
    run(&world.config("d"), &action(arguments)).await.unwrap()
}

/// A world with one dead letter, of event `b`, and two events stored.
async fn world_with_a_dead_letter() -> World {
    let world = World::new().await;
    world.refuse_bad(true).await;
    let frame = world.frame(1, &[("a", "click"), ("b", "bad"), ("c", "click")]);
    world.append(&[frame]).await;
    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    assert_eq!(world.dead_letters().await.len(), 1);
    world
}

#[tokio::test]
async fn a_dead_letter_that_is_taken_by_now_is_stored_counted_and_gone() {
    let world = world_with_a_dead_letter().await;
    world.refuse_bad(false).await;
    let running = world.start("p");
    let done = dlq(&world, "replay --reason refused_by_store --type bad").await;
    assert!(done.complete, "{done:?}");
    assert!(done.text.starts_with("replayed 1 of 1"), "{done:?}");
    world.settled().await;
    world.assert_counts(&[("click", 2), ("bad", 1)]).await;
    assert!(world.dead_letters().await.is_empty());
    assert!(
        dlq(&world, "replay")
            .await
            .text
            .starts_with("replayed 0 of 0")
    );
    running.stop().await;
}

#[tokio::test]
async fn a_replay_that_died_midway_is_repeated_and_counts_once() {
    let world = world_with_a_dead_letter().await;
    world.refuse_bad(false).await;
    // Nobody stores it yet: the frame is appended, and the replay gives up waiting.
    for appended in 1..=2 {
        let done = dlq(&world, "replay --wait 10ms").await;
        assert!(!done.complete);
        assert!(done.text.contains("1 appended, 1 waiting"), "{done:?}");
        assert_eq!(
            world.stream.totals(0).await.unwrap().backlog_events(),
            appended
        );
    }
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2), ("bad", 1)]).await;
    // Its receipt is there, so nothing is appended again.
    let done = dlq(&world, "replay").await;
    assert!(done.text.contains("replayed 1 of 1"), "{done:?}");
    assert!(done.text.contains("0 appended"), "{done:?}");
    world.assert_counts(&[("click", 2), ("bad", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 0);
    running.stop().await;
}

#[tokio::test]
async fn refused_again_it_is_one_new_dead_letter() {
    let world = world_with_a_dead_letter().await;
    let before = world.dead_letters().await.remove(0);
    dlq(&world, "replay --wait 10ms").await;
    dlq(&world, "replay --wait 10ms").await;
    let running = world.start("p");
    let done = dlq(&world, "replay").await;
    assert!(done.complete, "{done:?}");
    world.settled().await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_ne!(letters[0].get("_id"), before.get("_id"));
    assert!(letters[0].get("replay").is_none());
    world.assert_counts(&[("click", 2)]).await;
    let totals = world.stream.totals(0).await.unwrap();
    assert_eq!((totals.dead_lettered_events, totals.lost_events), (2, 0));
    running.stop().await;
}

#[tokio::test]
async fn two_replays_at_once_count_once() {
    let world = World::new().await;
    world.refuse_bad(true).await;
    let ids: Vec<String> = (0..300).map(|number| format!("e{number}")).collect();
    let list: Vec<_> = ids.iter().map(|id| (id.as_str(), "bad")).collect();
    world.append(&[world.frame(1, &list)]).await;
    let running = world.start("p");
    world.settled().await;
    world.refuse_bad(false).await;
    let how = "replay --rate 50000";
    let (one, other) = tokio::join!(dlq(&world, how), dlq(&world, how));
    assert!(one.complete && other.complete, "{one:?} {other:?}");
    world.settled().await;
    world.assert_counts(&[("bad", 300)]).await;
    assert!(world.dead_letters().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn an_entry_that_does_not_decode_is_shown_purged_and_replayed_only_if_it_decodes_by_now() {
    let world = World::new().await;
    let events = world.redis.keys().partition(0).events;
    let fields = vec![("v", "1"), ("m", "garbage")];
    let client = world.redis.client();
    let entry: String = client
        .xadd(events, false, None::<()>, "*", fields)
        .await
        .unwrap();
    let running = world.start("p");
    evp_shared::testing::wait_for("it is a dead letter", async || {
        world.dead_letters().await.len() == 1
    })
    .await;
    let shown = dlq(&world, "show").await.text;
    assert!(
        shown.contains("garbage") && shown.contains(&entry),
        "{shown}"
    );
    let done = dlq(&world, "replay").await;
    assert!(
        !done.complete && done.text.contains("cannot be replayed"),
        "{done:?}"
    );

    // As an entry of a version that this build has learned to read.
    let raw = RawFrame::from(&world.frame(1, &[("a", "click")]));
    let binary = |field: &Option<bytes::Bytes>| Binary {
        subtype: BinarySubtype::Generic,
        bytes: field.clone().unwrap().to_vec(),
    };
    let letter = doc! {
        "_id": { "life": 1_i64, "p": 0, "entry": "1-0" },
        "p": 0, "reason": "undecodable", "detail": "version", "at": DateTime::now(),
        "raw": {
            "v": binary(&raw.version), "n": binary(&raw.events), "b": binary(&raw.bytes),
            "m": binary(&raw.meta), "d": binary(&raw.payload),
        },
    };
    let letters = world.mongo.database().collection::<Document>(DEAD_LETTERS);
    letters.insert_one(letter).await.unwrap();
    let done = dlq(&world, "replay --id 1.0.1-0").await;
    assert!(done.complete, "{done:?}");
    world.assert_counts(&[("click", 1)]).await;
    let purged = dlq(&world, "purge --reason undecodable").await;
    assert_eq!(purged.text, "purged 1 of 1 dead letters");
    assert!(world.dead_letters().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn filters_limits_and_dry_runs_choose_what_is_meant() {
    let world = World::new().await;
    world.refuse_bad(true).await;
    world
        .append(&[world.frame(1, &[("a", "bad"), ("b", "bad"), ("c", "bad")])])
        .await;
    let running = world.start("p");
    world.settled().await;
    running.stop().await;
    let listed = async |arguments: &str| {
        let text = dlq(&world, &format!("list --json {arguments}")).await.text;
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = listed("").await;
    assert_eq!(all.len(), 3);
    let canonical = all[1].split('.').next().unwrap();
    let table = [
        ("--type bad", 3),
        ("--type click", 0),
        (
            "--tenant default --partition 0 --reason refused_by_store",
            3,
        ),
        ("--tenant other", 0),
        ("--partition 1", 0),
        ("--reason id_collision", 0),
        ("--from 1h", 3),
        ("--to 1h", 0),
        ("--limit 2", 2),
        (&format!("--id {}", all[1]), 1),
        (&format!("--id {canonical}"), 1),
    ];
    for (arguments, expected) in table {
        assert_eq!(listed(arguments).await.len(), expected, "{arguments}");
    }
    let config = world.config("d");
    let unsaid = run(&config, &action("purge")).await.unwrap_err();
    assert!(unsaid.to_string().contains("--all"), "{unsaid}");
    let text = dlq(&world, "purge --all --limit 2 --dry-run").await.text;
    assert_eq!(text, "would purge 2 of 3 dead letters");
    let text = dlq(&world, "replay --limit 1 --dry-run").await.text;
    assert_eq!(text, "would replay 1 of 3 dead letters");
    assert_eq!(listed("").await, all);
    assert!(world.audited().await.is_empty());
    dlq(&world, "purge --all --limit 2").await;
    assert_eq!(listed("").await.len(), 1);
}

#[tokio::test]
async fn who_did_what_is_written_down() {
    let world = world_with_a_dead_letter().await;
    world.refuse_bad(false).await;
    let running = world.start("p");
    dlq(&world, "replay --type bad").await;
    dlq(&world, "purge --all").await;
    running.stop().await;
    let mut entries = world.audited().await;
    entries.sort_by_key(|entry| entry.what.clone());
    let what = |entry: &Entry| {
        let count = entry.detail.get_i64("count").unwrap();
        (entry.what.clone(), entry.state, count)
    };
    let found: Vec<_> = entries.iter().map(what).collect();
    let done = |what: &str, count| (what.to_owned(), State::Done, count);
    assert_eq!(
        found,
        [
            done("dead_letters.purge", 0),
            done("dead_letters.replay", 1)
        ]
    );
    assert!(!entries[1].who.is_empty() && !entries[1].from.is_empty());
    let mut filter = entries[1].detail.get_document("filter").unwrap().clone();
    assert!(
        filter.remove("toMs").is_some(),
        "what dies later is not meant"
    );
    assert_eq!(filter, doc! { "eventType": "bad" });
}

#[tokio::test]
async fn a_replay_that_does_not_reach_redis_is_written_down_as_failed() {
    let world = world_with_a_dead_letter().await;
    let mut config = world.config("d");
    // Nothing listens there.
    config.redis = RedisConfig::at("redis://127.0.0.1:1", Duration::from_millis(100));
    let failed = run(&config, &action("replay")).await.unwrap_err();
    assert!(
        format!("{failed:#}").starts_with("redis failed"),
        "{failed:#}"
    );
    let entries = world.audited().await;
    assert_eq!(
        (entries.len(), entries[0].what.as_str(), entries[0].state),
        (1, "dead_letters.replay", State::Failed)
    );
    let outcome = entries[0].detail.get_str("outcome").unwrap();
    assert!(outcome.starts_with("redis failed"), "{entries:?}");
    assert_eq!(world.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn what_dies_after_the_count_is_not_purged_unless_it_is_named() {
    let world = world_with_a_dead_letter().await;
    let mut letter = world.dead_letters().await.remove(0);
    let later = DateTime::now().timestamp_millis() + 60_000;
    letter.insert("at", DateTime::from_millis(later));
    letter
        .get_document_mut("_id")
        .unwrap()
        .insert("f", ObjectId::from_bytes([9; 12]));
    let letters = world.mongo.database().collection::<Document>(DEAD_LETTERS);
    letters.insert_one(letter).await.unwrap();
    assert_eq!(
        dlq(&world, "purge --all").await.text,
        "purged 1 of 1 dead letters"
    );
    let list = dlq(&world, "list --json").await.text;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    let purged = dlq(&world, &format!("purge --id {id}")).await;
    assert_eq!(purged.text, "purged 1 of 1 dead letters");
    assert!(world.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_rate_is_kept() {
    let world = World::new().await;
    world.refuse_bad(true).await;
    let ids: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    let list: Vec<_> = ids.iter().map(|id| (id.as_str(), "bad")).collect();
    world.append(&[world.frame(1, &list)]).await;
    let running = world.start("p");
    world.settled().await;
    world.refuse_bad(false).await;
    let clock = evp_shared::clock::Clock::system();
    let begun = clock.now();
    dlq(&world, "replay --rate 20").await;
    assert!(clock.now() - begun >= Duration::from_millis(950));
    world.assert_counts(&[("bad", 20)]).await;
    running.stop().await;
}

#[tokio::test]
async fn the_command_prints_a_table() {
    let world = world_with_a_dead_letter().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_evp-processor"));
    let output = command
        .args(["dlq", "list"])
        .envs(world.environment())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("refused_by_store  default  bad"), "{text}");
    assert!(text.trim_end().ends_with("1 of 1 dead letters"), "{text}");
}
