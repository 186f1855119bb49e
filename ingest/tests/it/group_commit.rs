//! How requests become frames.

use evp_shared::testing::TestRedis;
use futures::future::join_all;
use serde_json::json;

use crate::support::{TestIngest, frames, ids_in, ids_of, list, own_redis};

#[tokio::test]
async fn concurrent_requests_share_frames() {
    let (server, redis) = own_redis("64mb").await;
    let ingest = TestIngest::ready(&redis, "[ingest.append]\nin_flight = 1").await;
    // While Redis stands still the first append waits, and what comes after it joins.
    server.pause();
    let posts = async { join_all((0..200).map(|_| ingest.post(r#"{"type":"a"}"#))).await };
    let resume = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
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
    let redis = TestRedis::new().await;
    let mut ingest = TestIngest::ready(&redis, "").await;
    let posts =
        async { join_all((0..50).map(|_| ingest.request("").body(list(100)).send())).await };
    let stop = async {
        // The order comes while requests are under way.
        tokio::task::yield_now().await;
        ingest.order_shutdown();
    };
    let (answers, ()) = tokio::join!(posts, stop);
    let mut acknowledged = 0;
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer.status(), 202);
        acknowledged += 100;
    }
    ingest.ended().await.expect("a clean end");
    let stored = ids_in(&frames(&redis).await).len();
    assert!(
        stored >= acknowledged,
        "{stored} stored, {acknowledged} acknowledged"
    );
}
