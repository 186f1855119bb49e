//! A client of the live stream that was away comes back.

use evp_shared::clock::Clock;
use evp_shared::frame::ProducerId;
use evp_shared::stream::{Commit, EntryAck, EntryId, KeptWindow, Life};
use evp_shared::testing::events::{TestEvent, frame_of};
use fred::interfaces::HashesInterface as _;
use reqwest::Method;

use crate::service::TestAggregator;
use crate::sse::{SseClient, events, ids};

#[tokio::test]
async fn a_client_that_was_cut_sees_each_event_once() {
    let service = TestAggregator::start().await.greeted().await;
    let mut seen = Vec::new();
    let mut expected = Vec::new();
    let mut last_id = SseClient::open(&service, "", None).await.metrics().await.id;
    for round in 0..6_u32 {
        for partition in 0..2 {
            let sent = events(&format!("r{round}p{partition}-"), 3);
            service.append(partition, round, &sent).await;
            expected.extend(ids(&sent));
        }
        let client = SseClient::open(&service, "", last_id.as_deref()).await;
        let (event, id) = client.cut_after_one().await;
        seen.push(event);
        last_id = Some(id);
    }
    let mut client = SseClient::open(&service, "", last_id.as_deref()).await;
    seen.extend(client.events(expected.len() - seen.len()).await);
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    service
        .append(0, 99, &[TestEvent::new("next", "click")])
        .await;
    assert_eq!(
        client.events(1).await,
        ["next"],
        "nothing is repeated later"
    );
}

#[tokio::test]
async fn a_restart_of_the_aggregator_shows_no_gap_and_no_repeat() {
    let mut service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "?type=click", None).await;
    let (mut seen, mut expected) = (Vec::new(), Vec::new());
    for round in 0..3_u32 {
        let sent = events(&format!("r{round}-"), 250);
        service.append(0, round * 2, &sent).await;
        expected.extend(ids(&sent));
        // Cut somewhere in the middle of the frame.
        seen.extend(client.events(120).await);
        let last_id = client.last_id.clone();
        let unread = client.rest();
        seen.extend(unread);
        service = service.restart().await;
        let sent = events(&format!("away{round}-"), 40);
        service.append(1, round * 2 + 1, &sent).await;
        expected.extend(ids(&sent));
        client = SseClient::open(&service, "?type=click", last_id.as_deref()).await;
    }
    seen.extend(client.events(expected.len() - seen.len()).await);
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_frame_that_was_appended_twice_is_shown_once_across_a_resume() {
    let service = TestAggregator::start().await.greeted().await;
    let frame = |partition, number, id: &str| {
        let now_ms = Clock::system().now_ms();
        let events = [TestEvent::new(id, "click")];
        frame_of(ProducerId::new(partition, 9), number, now_ms, &events)
    };
    let (seen, first, other) = (
        frame(0, 0, "seen"),
        frame(0, 1, "first"),
        frame(1, 0, "other"),
    );
    let mut client = SseClient::open(&service, "", None).await;
    service.append_frame(0, &seen).await;
    assert_eq!(client.events(1).await, ["seen"]);
    let last_id = client.last_id.clone();
    drop(client);
    // One that begins anew knows no frame from before.
    let service = service.restart().await;
    for again in [&seen, &first, &seen, &first] {
        service.append_frame(0, again).await;
    }
    service.append_frame(1, &other).await;
    let mut client = SseClient::open(&service, "", last_id.as_deref()).await;
    let mut events = client.events(2).await;
    events.sort();
    assert_eq!(events, ["first", "other"]);
    // They come once more to the reader that follows, and to one who comes back to it.
    for (partition, again) in [(0, &seen), (1, &other), (0, &first)] {
        service.append_frame(partition, again).await;
    }
    service
        .append(0, 2, &[TestEvent::new("next", "click")])
        .await;
    assert_eq!(client.events(1).await, ["next"]);
    let mut client = SseClient::open(&service, "", last_id.as_deref()).await;
    let mut events = client.events(3).await;
    service
        .append(1, 3, &[TestEvent::new("then", "click")])
        .await;
    events.extend(client.events(1).await);
    events.sort();
    assert_eq!(events, ["first", "next", "other", "then"]);
}

#[tokio::test]
async fn one_that_is_told_nothing_for_long_goes_on_from_the_last_metrics() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "?type=rare", None).await;
    let entry = service.append(0, 1, &events("e", 5)).await;
    while client.metrics().await.data["totalEventsLastMinute"] != 0 {}
    client.metrics().await;
    client.metrics().await;
    let last_id = client.last_id.clone();
    drop(client);
    // What it has passed leaves the kept window.
    leave_window(&service, entry, 5).await;
    service.append(0, 2, &[TestEvent::new("it", "rare")]).await;
    let mut client = SseClient::open(&service, "?type=rare", last_id.as_deref()).await;
    assert_eq!(client.events(1).await, ["it"]);
}

#[tokio::test]
async fn beyond_the_kept_window_it_starts_anew() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "", None).await;
    service.append(0, 1, &events("a", 2)).await;
    client.events(2).await;
    let last_id = client.last_id.clone();
    drop(client);
    // One that still followed would say that it is torn.
    let service = service.restart().await;
    let entry = service.append(0, 2, &events("b", 3)).await;
    leave_window(&service, entry, 3).await;
    let mut client = SseClient::open(&service, "", last_id.as_deref()).await;
    let told = client.next().await;
    assert_eq!(
        (told.name.as_str(), &told.data["reason"]),
        ("reset", &"left_window".into())
    );
    service.append(0, 3, &[TestEvent::new("c", "click")]).await;
    assert_eq!(client.events(1).await, ["c"]);
}

#[tokio::test]
async fn an_id_of_no_feed_or_another_life_starts_anew() {
    let service = TestAggregator::start().await.greeted().await;
    let told = SseClient::open(&service, "", Some("x")).await.next().await;
    assert_eq!(
        (told.name.as_str(), &told.data["reason"]),
        ("reset", &"unknown_id".into())
    );
    let told = SseClient::open(&service, "?lastEventId=AQAA", None)
        .await
        .next()
        .await;
    assert_eq!(told.name, "reset");
    let no_text = reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    let requests = [
        service
            .request(Method::GET, "/stream")
            .header("last-event-id", no_text),
        service.request(Method::GET, "/stream?lastEventId=%ff%fe"),
    ];
    for request in requests {
        let told = SseClient::send(request).await.next().await;
        assert_eq!(
            (told.name.as_str(), &told.data["reason"]),
            ("reset", &"unknown_id".into())
        );
    }

    let last_id = SseClient::open(&service, "", None).await.metrics().await.id;
    let key = service.redis.keys().partition(0).life;
    let _: i64 = service
        .redis
        .client()
        .hset(key, ("life", "7"))
        .await
        .unwrap();
    let service = service.restart().await;
    let told = SseClient::open(&service, "", last_id.as_deref())
        .await
        .next()
        .await;
    assert_eq!(
        (told.name.as_str(), &told.data["reason"]),
        ("reset", &"new_life".into())
    );
}

#[tokio::test]
async fn who_watches_is_told_when_something_was_lost() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "", None).await;
    let key = service.redis.keys().partition(0).life;
    let _: i64 = service
        .redis
        .client()
        .hset(key, ("life", "7"))
        .await
        .unwrap();
    let told = client.next().await;
    assert_eq!(
        (told.name.as_str(), &told.data["reason"]),
        ("reset", &"torn".into())
    );
    assert_eq!(service.raw(Method::GET, "/livez").await.status(), 200);
}

/// Acknowledges an entry and lets it leave the kept window at once.
async fn leave_window(service: &TestAggregator, entry: EntryId, events: u32) {
    let stream = service.redis.stream(2);
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    let reader = service.redis.client();
    let group = evp_shared::stream::GroupReader::new(reader, &stream, "c");
    group
        .read_new(100, std::time::Duration::from_millis(1))
        .await
        .unwrap();
    let ack = EntryAck {
        id: entry,
        events,
        bytes: 1,
        stored_bytes: 1,
    };
    let commit = Commit {
        life,
        entries: &[ack],
        settles: &[],
        kept: KeptWindow {
            age: std::time::Duration::ZERO,
            bytes: 0,
            none: true,
        },
    };
    let committed = stream.commit(0, &commit).await.unwrap();
    assert_eq!(committed.acknowledged, 1);
}
