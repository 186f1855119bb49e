//! Each event is stored once and counted once.

use evp_shared::service::Left;

use crate::harness::World;

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
