//! `GET /events/{id}`: stored, dead-lettered, or not there.

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use bytes::Bytes;
use evp_shared::clock::Clock;
use evp_shared::event::id::{CanonicalId, Identity, IdentityConfig, MadeId};
use evp_shared::frame::{Frame, ProducerId};
use evp_shared::store::DEAD_LETTERS;
use evp_shared::stream::Life;
use evp_shared::testing::{self, wait_for};

use crate::service::{TestAggregator, binary, event};

const SENT_MS: i64 = 1_700_000_000_123;

fn identity() -> Identity {
    Identity::new(IdentityConfig::default())
}

fn stored(id: CanonicalId, event_id: Option<&str>) -> Document {
    let mut document = event(*id.as_bytes(), SENT_MS, "click");
    if let Some(event_id) = event_id {
        document.insert("eventId", event_id);
    }
    document
}

#[tokio::test]
async fn an_event_is_found_by_its_canonical_id_and_by_its_event_id() {
    let aggregator = TestAggregator::start().await;
    let identity = identity();
    let v7 = "018bcfe5-687b-7abc-9def-0123456789ab";
    let timed = identity.of_client_id("default", v7, Some(5));
    let dated = identity.of_client_id("default", "order/7 ü", Some(SENT_MS));
    let undated = identity.of_client_id("default", "order-8", None);
    let made = MadeId::new(1_700_000_000_000, &[7; 10]);
    let made_text = made.encode(&mut [0; 36]).to_owned();
    let unnamed = identity.of_made_id("default", &made);
    aggregator
        .insert(&[
            stored(timed, Some(v7)),
            stored(dated, Some("order/7 ü")),
            stored(undated, Some("order-8")),
            stored(unnamed, None),
        ])
        .await;
    let found = [
        (timed.to_string(), timed),
        (timed.to_string().to_uppercase(), timed),
        (v7.to_owned(), timed),
        (format!("{v7}?timestamp=1"), timed),
        (dated.to_string(), dated),
        (format!("order%2F7%20%C3%BC?timestamp={SENT_MS}"), dated),
        (
            "order%2F7%20%C3%BC?timestamp=1700000000.123".to_owned(),
            dated,
        ),
        (
            "order%2F7%20%C3%BC?timestamp=2023-11-14T22:13:20.123Z".to_owned(),
            dated,
        ),
        ("order-8".to_owned(), undated),
        (made_text, unnamed),
    ];
    for (path, id) in found {
        let body = aggregator.ok(&format!("/events/{path}")).await;
        assert_eq!(body["id"], id.to_string(), "{path}");
        assert_eq!(body["status"], "stored");
    }
    // Of an event whose identity holds its timestamp, the event id alone says too little.
    for path in ["order%2F7%20%C3%BC", "order-8?timestamp=5", "order-9"] {
        assert_eq!(
            aggregator.get(&format!("/events/{path}")).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_event_of_another_event_id_is_not_taken_for_the_one_asked_for() {
    let aggregator = TestAggregator::start().await;
    let id = identity().of_client_id("default", "mine", None);
    aggregator.insert(&[stored(id, Some("theirs"))]).await;
    assert_eq!(aggregator.get("/events/mine").await.status, 404);
    dead_letter(&aggregator, id, &stored(id, Some("mine"))).await;
    let body = aggregator.ok("/events/mine").await;
    assert_eq!(
        (body["status"].as_str(), body["eventId"].as_str()),
        (Some("deadLettered"), Some("mine"))
    );
    let body = aggregator.ok(&format!("/events/{id}")).await;
    assert_eq!(body["eventId"], "theirs");
}

#[tokio::test]
async fn what_has_the_canonical_id_asked_for_goes_before_what_is_called_so() {
    let aggregator = TestAggregator::start().await;
    let own = |text: &str| text.parse::<CanonicalId>().unwrap();
    let called = |text: &str| identity().of_client_id("default", text, None);
    // Before and after whatever is made of them.
    for text in [
        "00000000-0001-8abc-9def-0123456789ab",
        "ffffffff-ffff-8abc-9def-0123456789ab",
    ] {
        let both = [
            stored(own(text), Some("mine")),
            stored(called(text), Some(text)),
        ];
        dead_letter(&aggregator, own(text), &both[0]).await;
        dead_letter(&aggregator, called(text), &both[1]).await;
        let body = aggregator.ok(&format!("/events/{text}")).await;
        assert_eq!(
            (&body["status"], &body["eventId"]),
            (&"deadLettered".into(), &"mine".into())
        );
        aggregator.insert(&both).await;
        let body = aggregator.ok(&format!("/events/{text}")).await;
        assert_eq!(
            (&body["status"], &body["eventId"]),
            (&"stored".into(), &"mine".into())
        );
    }
}

async fn dead_letter(aggregator: &TestAggregator, id: CanonicalId, document: &Document) {
    let frame = ObjectId::from_bytes([1; 12]);
    let letter = doc! {
        "_id": { "id": binary(*id.as_bytes()), "f": frame },
        "reason": "refused_by_store",
        "detail": "document failed validation",
        "at": DateTime::from_millis(SENT_MS),
        "raw": Bson::Binary(bson::Binary {
            subtype: bson::spec::BinarySubtype::Generic,
            bytes: document.to_vec().unwrap(),
        }),
    };
    let letters = aggregator
        .mongo
        .database()
        .collection::<Document>(DEAD_LETTERS);
    letters.insert_one(letter).await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_says_why_it_is_one() {
    let aggregator = TestAggregator::start().await;
    let id = identity().of_client_id("default", "order-7", None);
    dead_letter(&aggregator, id, &stored(id, Some("order-7"))).await;
    for path in [id.to_string(), "order-7".to_owned()] {
        let body = aggregator.ok(&format!("/events/{path}")).await;
        let expected = serde_json::json!({
            "id": id.to_string(),
            "eventId": "order-7",
            "eventType": "click",
            "timestamp": "2023-11-14T22:13:20.123Z",
            "receivedAt": "2023-11-14T22:13:20.000Z",
            "status": "deadLettered",
            "reason": "refused_by_store",
            "deadLetteredAt": "2023-11-14T22:13:20.123Z",
            "detail": "document failed validation",
        });
        assert_eq!(body, expected);
    }
    // Of another tenant, it is nobody else's business.
    let other = identity().of_client_id("default", "order-8", None);
    let mut foreign = stored(other, Some("order-8"));
    foreign.insert("tenant", "other");
    dead_letter(&aggregator, other, &foreign).await;
    assert_eq!(
        aggregator.get(&format!("/events/{other}")).await.status,
        404
    );
}

/// A frame received at `received_at_ms`.
fn frame(received_at_ms: u64) -> Frame {
    let producer = ProducerId::new(1, 7);
    testing::events::frame(producer, 1, received_at_ms, &[("a", "click")])
}

#[tokio::test]
async fn what_is_not_there_is_answered_with_how_far_storing_has_come() {
    let aggregator = TestAggregator::start().await;
    let clock = Clock::system();
    let not_found = async || {
        let answer = aggregator.get("/events/order-7").await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body["code"], "event_not_found");
        answer.body["storedThrough"].as_str().unwrap().to_owned()
    };
    let before_ms = clock.now_ms();
    let through = evp_shared::event::timestamp::parse_rfc3339(&not_found().await).unwrap();
    let through = u64::try_from(through).unwrap();
    assert!(
        (before_ms..=clock.now_ms()).contains(&through),
        "nothing waits to be stored"
    );

    // An entry that nobody has read, on one of the two partitions.
    let stream = aggregator.redis.stream(2);
    let life = stream.hello(1, Life::UNKNOWN, None).await.unwrap().life;
    stream
        .append(1, life, &[frame(1_700_000_000_500)])
        .await
        .unwrap();
    // What was read before is answered for another 10 ms.
    wait_for("an entry that waits holds storedThrough back", || async {
        not_found().await == "2023-11-14T22:13:20.500Z"
    })
    .await;

    // Poison counts from its id: the server's clock, which is this machine's.
    let poison = Frame {
        meta: Bytes::from_static(b"poison"),
        ..frame(0)
    };
    let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
    stream.append(0, life, &[poison]).await.unwrap();
    assert_eq!(
        not_found().await,
        "2023-11-14T22:13:20.500Z",
        "the oldest of all partitions"
    );
}
