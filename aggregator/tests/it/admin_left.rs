//! Operators that ask for something and do not wait for the end.

use std::time::Duration;

use bson::{Document, doc};
use evp_shared::audit::{Audit, State};
use evp_shared::store::{DEAD_LETTERS, RECEIPTS};
use evp_shared::stream::Life;
use evp_shared::testing::wait_for;
use mongodb::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::admin::{letter, with_letters};
use crate::service::TestAggregator;

/// Asks for a replay of the one letter there is, and leaves when its frame is on the stream.
async fn replay_and_leave(service: &TestAggregator) {
    let stream = service.redis.stream(2);
    stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let mut client = TcpStream::connect(service.address()).await.unwrap();
    let body = r#"{"filter":{},"dryRun":false}"#;
    let request = format!(
        "POST /admin/dead-letters/replay HTTP/1.1\r\nhost: localhost\r\n\
         {}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        service.operators_head(),
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    wait_for("a frame on the stream", || async {
        stream.totals(0).await.unwrap().appended_events == 1
    })
    .await;
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // At its end the server has seen that the client left, and dropped the request.
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
}

/// Writes the receipt of the letter's frame, as a processor does.
async fn process(database: &Database) {
    let letters = database.collection::<Document>(DEAD_LETTERS);
    let letter = letters.find_one(doc! {}).await.unwrap().unwrap();
    let replay = letter.get_document("replay").unwrap();
    let frame = replay.get_object_id("f").unwrap();
    let receipts = database.collection::<Document>(RECEIPTS);
    receipts.insert_one(doc! { "_id": frame }).await.unwrap();
}

async fn audited(database: &Database) -> (State, i64) {
    let audit = Audit::new(database);
    let page = audit.page(None, None, 1, Duration::ZERO).await;
    let entry = page.unwrap().remove(0);
    (entry.state, entry.detail.get_i64("count").unwrap_or(0))
}

#[tokio::test]
async fn a_replay_whose_client_leaves_is_done_and_audited() {
    let service = with_letters(&[letter(1_000, "a")]).await;
    let database = service.mongo.database();
    replay_and_leave(&service).await;
    assert_eq!(audited(&database).await, (State::Started, 0));
    process(&database).await;
    wait_for("the end of the replay", || async {
        audited(&database).await == (State::Done, 1)
    })
    .await;
    let left = service.ok("/admin/dead-letters").await;
    assert_eq!(left["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_service_that_stops_waits_for_a_replay_whose_client_has_left() {
    let service = with_letters(&[letter(1_000, "a")]).await;
    let database = service.mongo.database();
    replay_and_leave(&service).await;
    service.shutdown.trigger();
    process(&database).await;
    let _next = service.restart().await;
    assert_eq!(audited(&database).await, (State::Done, 1));
}
