//! The live stream: what a client is told.

use evp_shared::testing::events::TestEvent;
use evp_shared::testing::wait_for;
use reqwest::Method;
use serde_json::json;

use crate::service::{TestAggregator, now_s};
use crate::sse::{SseClient, events, ids};

#[tokio::test]
async fn events_come_as_they_are_appended_and_as_lists_show_them() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "", None).await;
    service
        .append(1, 1, &[TestEvent::new("a", "click").of_user("u")])
        .await;
    let told = client.next().await;
    assert_eq!(told.name, "event");
    assert!(told.id.is_some());
    assert_eq!(told.data["eventType"], "click");
    assert_eq!(told.data["userId"], "u");
    assert_eq!(told.data["timestamp"], "1970-01-01T00:00:00.000Z");
    assert!(told.data["id"].is_string() && told.data["receivedAt"].is_string());
    assert_eq!(told.data.get("tenant"), None);

    let many = events("many", 900);
    service.append(0, 1, &many).await;
    assert_eq!(client.events(900).await, ids(&many));
}

#[tokio::test]
async fn all_clients_see_the_same_and_each_what_it_asked_for() {
    let service = TestAggregator::start().await.greeted().await;
    let mut all = SseClient::open(&service, "", None).await;
    let mut types = SseClient::open(&service, "?type=b,c&type=d", None).await;
    let mut user = SseClient::open(&service, "?userId=u1", None).await;
    let mut both = SseClient::open(&service, "?userId=u1&type=b", None).await;
    let sent: Vec<_> = (0..60_usize)
        .map(|n| {
            TestEvent::new(format!("e{n}"), ["a", "b", "c"][n % 3]).of_user(format!("u{}", n % 2))
        })
        .collect();
    for (number, frame) in (1..).zip(sent.chunks(20)) {
        service
            .append(u16::try_from(number % 2).unwrap(), number, frame)
            .await;
    }
    // In which order two partitions are read is not promised.
    let wanted = |filter: &dyn Fn(&TestEvent) -> bool| {
        let mut wanted: Vec<_> = sent.iter().filter(|event| filter(event)).cloned().collect();
        wanted.sort_by_key(|event| event.event_id.clone());
        ids(&wanted)
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let u1 = |event: &TestEvent| event.user_id.as_deref() == Some("u1");
    assert_eq!(sorted(all.events(60).await), wanted(&|_| true));
    assert_eq!(
        sorted(types.events(40).await),
        wanted(&|event| event.event_type != "a")
    );
    assert_eq!(sorted(user.events(30).await), wanted(&u1));
    assert_eq!(
        sorted(both.events(10).await),
        wanted(&|event| u1(event) && event.event_type == "b")
    );
}

#[tokio::test]
async fn a_rate_leaves_events_out_and_says_how_many() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "?rate=10", None).await;
    service.append(0, 1, &events("e", 200)).await;
    let (mut got, mut dropped) = (0, 0);
    while got + dropped < 200 {
        let told = client.next().await;
        match told.name.as_str() {
            "event" => got += 1,
            "dropped" => dropped += told.data["count"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    }
    assert_eq!(got + dropped, 200);
    assert!((10..=20).contains(&got), "{got}");
}

#[tokio::test]
async fn a_sample_is_the_same_for_everybody() {
    let service = TestAggregator::start().await.greeted().await;
    let mut one = SseClient::open(&service, "?sample=0.2", None).await;
    let mut other = SseClient::open(&service, "?sample=0.2", None).await;
    service.append(0, 1, &events("e", 900)).await;
    service.append(0, 2, &[TestEvent::new("e0", "last")]).await;
    // A share of 900, far beyond what chance makes of it.
    let sample = one.events(100).await;
    assert_eq!(sample, other.events(100).await);
}

#[tokio::test]
async fn counts_come_every_second_with_a_place_to_go_on_from() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "", None).await;
    service
        .count(0, now_s(), &[("click", 3), ("view", 1)])
        .await;
    let told = loop {
        let told = client.metrics().await;
        if told.data["totalEventsLastMinute"] == 4 {
            break told;
        }
    };
    assert_eq!(
        told.data["byType"],
        json!([
            { "_id": "click", "count": 3 }, { "_id": "view", "count": 1 },
        ])
    );
    assert!(told.data["asOf"].is_u64() && told.data["perSecond"].is_i64());
    assert!(told.id.is_some());
}

#[tokio::test]
async fn one_client_too_many_is_refused_until_another_leaves() {
    let service = TestAggregator::start_as("[aggregator.stream]\nclients = 1").await;
    let first = SseClient::open(&service, "", None).await;
    let refused = service.raw(Method::GET, "/stream").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(first);
    wait_for("the place of the one who left", || async {
        service.raw(Method::GET, "/stream").await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_client_that_stands_still_misses_what_leaves_the_buffer_and_is_told() {
    let service = TestAggregator::start_as("[aggregator.stream]\nbuffer = \"1MiB\"")
        .await
        .greeted()
        .await;
    let mut slow = SseClient::open(&service, "", None).await;
    let mut quick = SseClient::open(&service, "?type=last", None).await;
    // More than sockets and the connection take.
    for number in 1..=40 {
        let large = TestEvent {
            payload: 25_000,
            ..TestEvent::new(format!("e{number}"), "click")
        };
        let frame: Vec<_> = (0..20)
            .map(|n| TestEvent {
                event_id: format!("e{number}-{n}"),
                ..large.clone()
            })
            .collect();
        service.append(0, number, &frame).await;
    }
    service
        .append(0, 99, &[TestEvent::new("end", "last")])
        .await;
    let last = loop {
        // On a busy machine a frame may leave before the reader is through: that is told, too.
        let told = quick.next().await;
        if told.name != "dropped" {
            break told;
        }
    };
    assert_eq!(
        (last.name.as_str(), &last.data["eventId"]),
        ("event", &"end".into())
    );

    let (mut got, mut dropped) = (0, 0);
    loop {
        let told = slow.next().await;
        match told.name.as_str() {
            "dropped" => dropped += told.data["count"].as_u64().unwrap(),
            _ if told.data["eventId"] == "end" => break,
            _ => got += 1,
        }
    }
    while got + dropped < 800 {
        let told = slow.next().await;
        assert_eq!(told.name, "dropped");
        dropped += told.data["count"].as_u64().unwrap();
    }
    assert_eq!(got + dropped, 800);
    assert!(dropped > 0);
}

#[tokio::test]
async fn a_stream_ends_with_the_service() {
    let service = TestAggregator::start().await.greeted().await;
    let mut client = SseClient::open(&service, "", None).await;
    let left = service.stop().await;
    assert_eq!(left.0, 0, "no connection had to be cut");
    while client.more().await {}
}
