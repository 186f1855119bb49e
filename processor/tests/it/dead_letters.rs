//! What cannot be stored is kept with its reason, and its neighbours are stored.

use bson::doc;
use evp_shared::dead_letters::{DeadLetters, Filter};
use evp_shared::testing::wait_for;
use fred::interfaces::StreamsInterface as _;

use crate::harness::{SPAN, World};

#[tokio::test]
async fn a_poison_entry_is_kept_whole_and_blocks_nothing() {
    let world = World::new().await;
    world.append(&[world.frame(1, &[("a", "click")])]).await;
    let events = world.redis.keys().partition(0).events;
    let fields = vec![
        ("v", "1"),
        ("n", "1"),
        ("b", "10"),
        ("m", "garbage"),
        ("d", "more"),
    ];
    let entry: String = world
        .redis
        .client()
        .xadd(events, false, None::<()>, "*", fields)
        .await
        .unwrap();
    world.append(&[world.frame(2, &[("b", "click")])]).await;
    let running = world.start("p");
    wait_for("nothing is pending", async || {
        world.counts().await.get("click") == Some(&2)
            && world.stream.pending(0).await.unwrap().entries == 0
    })
    .await;
    world.assert_counts(&[("click", 2)]).await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get_str("reason").unwrap(), "undecodable");
    assert_eq!(
        letters[0]
            .get_document("_id")
            .unwrap()
            .get_str("entry")
            .unwrap(),
        entry
    );
    let raw = letters[0].get_document("raw").unwrap();
    assert_eq!(raw.get_binary_generic("m").unwrap(), b"garbage");
    running.stop().await;
}

#[tokio::test]
async fn an_event_mongodb_refuses_is_a_dead_letter_and_its_neighbours_are_stored() {
    let world = World::new().await;
    world.refuse_bad(true).await;
    let frame = world.frame(1, &[("a", "click"), ("b", "bad"), ("c", "click")]);
    world.append(&[frame]).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].get_str("reason").unwrap(), "refused_by_store");
    assert_eq!(letters[0].get_str("eventType").unwrap(), "bad");
    assert_eq!(
        world.stream.totals(0).await.unwrap().dead_lettered_events,
        1
    );
    running.stop().await;
}

#[tokio::test]
async fn at_the_cap_nothing_more_is_kept_and_entries_stay_pending_until_there_is_room() {
    let world = World::new().await;
    world.refuse_bad(true).await;
    let config = world.config_with("p", "[dead_letters]\nmax_events = 1\n");
    let running = World::start_as(config);
    world.append(&[world.frame(1, &[("a", "bad")])]).await;
    world.settled().await;
    world
        .append(&[world.frame(2, &[("b", "bad"), ("c", "click")])])
        .await;
    wait_for("readiness names the dead letters", async || {
        let reasons = running.health.readiness().reasons;
        let named = |name: &str| reasons.iter().any(|reason| reason.name == name);
        named("dead_letters") && named("mongo")
    })
    .await;
    assert_eq!(world.stream.pending(0).await.unwrap().entries, 1);
    assert_eq!(world.dead_letters().await.len(), 1);
    assert!(world.counts().await.is_empty());

    let letters = DeadLetters::new(world.mongo.database(), std::time::Duration::ZERO);
    let everything = Filter::default();
    assert_eq!(letters.purge(&everything, 10).await.unwrap(), 1);
    world.settled().await;
    assert_eq!(world.dead_letters().await.len(), 1);
    world.assert_counts(&[("click", 1)]).await;
    running.stop().await;
}

#[tokio::test]
async fn an_event_an_index_cannot_hold_leaves_alone_and_stops_nobody() {
    let world = World::new().await;
    let database = world.mongo.database();
    world.make_span(0, &[]).await;
    // The operator's own index: MongoDB answers 16755, which no list of permanent codes has.
    let index = doc! { "key": { "eventType": "2dsphere" }, "name": "place" };
    let filter = doc! { "eventType": "nowhere" };
    let mut partial = index.clone();
    partial.insert("partialFilterExpression", filter);
    let create = doc! { "createIndexes": SPAN, "indexes": [partial] };
    database.run_command(create).await.unwrap();
    world
        .append(&[
            world.frame(1, &[("a", "click"), ("b", "nowhere"), ("c", "click")]),
            world.frame(2, &[("d", "click")]),
            world.frame(3, &[("e", "nowhere")]),
        ])
        .await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 3)]).await;
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(letter.get_str("reason").unwrap(), "refused_by_store");
        let detail = letter.get_str("detail").unwrap();
        assert!(detail.contains("16755"), "{detail}");
    }
    running.stop().await;
}
