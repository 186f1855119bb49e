//! Each event is stored once and counted once.

use bson::{Document, doc};
use evp_shared::service::Left;

use crate::harness::{SPAN, World};

#[tokio::test]
async fn appended_events_are_stored_counted_and_acknowledged() {
    let world = World::new().await;
    world
        .append(&[
            world.frame(1, &[("a", "click"), ("b", "click"), ("c", "view")]),
            world.frame(2, &[("d", "view")]),
        ])
        .await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2), ("view", 2)]).await;
    assert_eq!(running.stop().await, Left::NOTHING);
    // Nothing was pending under it, so it is out of the group.
    assert_eq!(world.stream.leave(0, "p").await.unwrap(), 0);
}

#[tokio::test]
async fn an_event_of_two_frames_is_one_new_and_one_duplicate() {
    let world = World::new().await;
    world
        .append(&[world.frame(1, &[("a", "click"), ("b", "click")])])
        .await;
    world
        .append(&[world.frame(2, &[("b", "click"), ("c", "click")])])
        .await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 3)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_looked_up_and_not_inserted() {
    let world = World::new().await;
    let events = [("a", "click"), ("b", "click"), ("c", "view")];
    world.append(&[world.frame(1, &events)]).await;
    let running = world.start("p");
    world.settled().await;
    let database = world.mongo.database();
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    world.append(&[world.frame(2, &events)]).await;
    world.settled().await;
    world.assert_counts(&[("click", 2), ("view", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 3);
    let of_events = async |op: &str| {
        let of = doc! { "op": op, "ns": format!("{}.{SPAN}", database.name()) };
        let profile = database.collection::<Document>("system.profile");
        profile.count_documents(of).await.unwrap()
    };
    assert_eq!(
        (of_events("query").await, of_events("insert").await),
        (1, 0)
    );
    // One that is new among them is inserted, as are the others where none is there.
    world
        .append(&[world.frame(3, &[("a", "click"), ("d", "click")])])
        .await;
    world.settled().await;
    world.assert_counts(&[("click", 3), ("view", 1)]).await;
    assert_eq!(of_events("insert").await, 1);
    running.stop().await;
}

#[tokio::test]
async fn an_event_twice_in_one_frame_is_one_new_and_one_duplicate() {
    let world = World::new().await;
    world
        .append(&[world.frame(1, &[("a", "click"), ("a", "click"), ("b", "view")])])
        .await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 1), ("view", 1)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_frame_appended_twice_counts_once_also_long_after() {
    let world = World::new().await;
    let frame = world.frame(1, &[("a", "click"), ("b", "click")]);
    world.append(&[frame.clone(), frame.clone()]).await;
    let running = world.start("p");
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    world.append(&[frame]).await;
    world.settled().await;
    world.assert_counts(&[("click", 2)]).await;
    assert_eq!(world.stream.totals(0).await.unwrap().duplicate_events, 0);
    running.stop().await;
}

#[tokio::test]
async fn two_processors_share_the_work_and_count_it_once() {
    let world = World::new().await;
    let running = [world.start("p"), world.start("q")];
    for number in 0..100 {
        let ids: Vec<String> = (0..50).map(|event| format!("{number}-{event}")).collect();
        let list: Vec<_> = ids.iter().map(|id| (id.as_str(), "click")).collect();
        world.append(&[world.frame(number, &list)]).await;
    }
    world.settled().await;
    world.assert_counts(&[("click", 5_000)]).await;
    for one in running {
        assert_eq!(one.stop().await, Left::NOTHING);
    }
}
