//! How requests become frames.

use evp_shared::service::Left;
use evp_shared::testing::TestRedis;
use futures::future::join_all;
use serde_json::json;

use crate::support::{TestIngest, frames, frames_of, ids_in, ids_of, list, own_redis};

#[tokio::test]
async fn concurrent_requests_share_frames() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "[ingest.append]\nin_flight = 1").await;
    // While Redis stands still the first append waits, and what comes after it joins.
    server.pause();
    let posts = async { join_all((0..200).map(|_| ingest.post(r#"{"type":"a"}"#))).await };
    let resume = async {
        ingest.wait_until_in_flight(200).await;
        server.resume();
    };
    let (answers, ()) = tokio::join!(posts, resume);
    assert!(
        answers.iter().all(|(status, _)| *status == 202),
        "{answers:?}"
    );
    let frames = frames(&redis).await;
    assert_eq!(ids_in(&frames).len(), 200);
    assert!(
        frames.len() < 100,
        "{} frames for 200 requests",
        frames.len()
    );
    ingest.stop().await;
}

#[tokio::test]
async fn a_request_larger_than_a_frame_lies_in_frames_of_its_own() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "").await;
    let (status, body) = ingest.post(list(3_500)).await;
    assert_eq!((status, &body["accepted"]), (202, &json!(3_500)));
    let frames = frames(&redis).await;
    let events: Vec<_> = frames.iter().map(|frame| frame.events).collect();
    assert_eq!(events, [1_000, 1_000, 1_000, 500]);
    let received: Vec<_> = frames
        .iter()
        .map(|frame| frame.header.received_at_ms)
        .collect();
    assert_eq!(received, vec![received[0]; 4], "one clock read for all");
    assert_eq!(ids_in(&frames), ids_of(&body).into_iter().collect());
    ingest.stop().await;
}

#[tokio::test]
async fn a_drain_answers_everybody() {
    let (server, redis) = own_redis("64mb").await;
    let mut ingest = TestIngest::ready(&redis, "").await;
    server.pause();
    let posts = async { join_all((0..600).map(|_| ingest.post(list(2)))).await };
    let stop = async {
        ingest.wait_until_in_flight(600).await;
        ingest.order_shutdown();
        server.resume();
    };
    let (answers, ()) = tokio::join!(posts, stop);
    assert!(
        answers.iter().all(|(status, _)| *status == 202),
        "{answers:?}"
    );
    assert_eq!(ingest.ended().await.expect("a clean end"), Left::NOTHING);
    assert_eq!(ids_in(&frames(&redis).await).len(), 1_200);
}

#[tokio::test]
async fn partitions_are_taken_in_turn() {
    let redis = TestRedis::new().await;
    let ingest = TestIngest::ready(&redis, "[redis]\npartitions = 4").await;
    for _ in 0..8 {
        assert_eq!(ingest.post(list(2)).await.0, 202);
    }
    let frames = frames_of(&redis, 4).await;
    let mut taken: Vec<_> = frames
        .iter()
        .map(|frame| frame.header.id.producer().partition())
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, [0, 0, 1, 1, 2, 2, 3, 3]);
    ingest.stop().await;
}
