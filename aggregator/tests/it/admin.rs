//! What operators see and do.

use std::time::Duration;

use bson::{Binary, DateTime, Document, doc, oid::ObjectId, spec::BinarySubtype};
use evp_shared::audit::{Audit, State};
use evp_shared::event::span::SpanUnit;
use evp_shared::store::{DEAD_LETTERS, RECEIPTS, spans};
use evp_shared::stream::Life;
use evp_shared::testing::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{TestAggregator, binary, event, id};

pub(crate) fn letter(ms: u64, event_type: &str) -> Document {
    let id = id(ms, ms);
    let raw = bson::serialize_to_vec(&event(id, i64::try_from(ms).unwrap(), event_type)).unwrap();
    let bytes = |bytes: Vec<u8>| Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    };
    doc! {
        "_id": { "id": binary(id), "f": ObjectId::from_bytes([0x65, 0x53, 0xf1, 0, 0, 0, 0, 0, 7, 0, 0, 1]) },
        "p": 0, "reason": "refused_by_store", "detail": "code 121",
        "at": DateTime::from_millis(i64::try_from(ms).unwrap()),
        "tenant": "default", "eventType": event_type, "raw": bytes(raw),
    }
}

fn poison(ms: i64) -> Document {
    let bytes = |text: &str| Binary {
        subtype: BinarySubtype::Generic,
        bytes: text.as_bytes().to_vec(),
    };
    doc! {
        "_id": { "life": 1_700_000_000_000_i64, "p": 1, "entry": "5-1" },
        "p": 1, "reason": "undecodable", "detail": "field v is missing",
        "at": DateTime::from_millis(ms), "raw": { "n": bytes("1"), "m": bytes("\u{1}") },
    }
}

pub(crate) async fn with_letters(letters: &[Document]) -> TestAggregator {
    let service = TestAggregator::start().await;
    let collection = service
        .mongo
        .database()
        .collection::<Document>(DEAD_LETTERS);
    collection.insert_many(letters).await.unwrap();
    service
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_pipeline_is_seen_with_its_consumers_and_servers() {
    let service = TestAggregator::start().await;
    let database = service.mongo.database();
    let calendar = spans::claim_calendar(&database, SpanUnit::Day).await;
    let span = calendar.unwrap().span_of(Some(1_377_000_000_000));
    spans::make(&database, &span, &[]).await.unwrap();
    let empty = service.ok("/admin/pipeline").await;
    assert_eq!(empty["partitions"][1]["entries"], 0, "{empty}");
    service
        .count(1, crate::service::now_s(), &[("click", 3)])
        .await;

    let seen = service.eventually("/admin/pipeline", |seen| seen["totals"]["stored"] == 3);
    let seen = seen.await;
    assert_eq!(seen["totals"]["duplicates"], 2);
    assert_eq!(seen["totals"]["deadLettered"], 1);
    let partition = &seen["partitions"][1];
    assert_eq!(partition["partition"], 1);
    assert_eq!(partition["pending"], 0);
    assert_eq!(partition["lag"], 0, "{partition}");
    assert_eq!(partition["oldestPendingAgeMs"], Value::Null);
    assert!(partition["memoryBytes"].as_u64().unwrap() > 0);
    assert!(seen["redis"]["usedMemoryBytes"].as_u64().unwrap() > 0);
    assert!(
        seen["redis"]["version"]
            .as_str()
            .unwrap()
            .starts_with(char::is_numeric)
    );
    assert!(seen["mongodb"]["version"].as_str().unwrap().contains('.'));
    assert_eq!(seen["deadLetters"]["events"], 0);
    let storage = &seen["storage"];
    assert_eq!(
        (&storage["floor"], &storage["total"]),
        (&Value::Null, &1.into())
    );
    let span = &storage["spans"][0];
    assert_eq!(
        (&span["name"], &span["state"]),
        (&"events_2013".into(), &"hot".into())
    );
    assert_eq!(
        (&span["next"], &span["events"]),
        (&"seal".into(), &0.into())
    );
    assert!(seen["storedThrough"].as_u64() >= seen["asOf"].as_u64().map(|at| at - 60_000));
}

#[tokio::test]
async fn what_every_span_takes_is_not_asked_again_with_every_state() {
    let service = TestAggregator::start().await;
    let database = service.mongo.database();
    let calendar = spans::stored_calendar(&database, Duration::ZERO).await;
    let calendar = calendar.unwrap().unwrap();
    let make = async |ms| {
        let span = calendar.span_of(Some(ms));
        spans::make(&database, &span, &[]).await.unwrap();
    };
    make(1_377_000_000_000).await;
    let first = service.ok("/admin/pipeline").await;
    assert_eq!(first["storage"]["total"], 1);
    make(1_277_000_000_000).await;
    let later = service.eventually("/admin/pipeline", |seen| seen["asOf"] != first["asOf"]);
    assert_eq!(later.await["storage"], first["storage"]);
}

#[tokio::test]
async fn a_span_whose_size_cannot_be_read_hides_the_spans_alone() {
    let service = TestAggregator::start().await;
    let database = service.mongo.database();
    let calendar = spans::stored_calendar(&database, Duration::ZERO).await;
    let span = calendar.unwrap().unwrap().span_of(Some(1_377_000_000_000));
    spans::make(&database, &span, &[]).await.unwrap();
    let name = span.to_string();
    database.collection::<Document>(&name).drop().await.unwrap();
    // A view has no size.
    let view = doc! { "create": &name, "viewOn": "meta", "pipeline": [] };
    database.run_command(view).await.unwrap();
    let seen = service.ok("/admin/pipeline").await;
    assert_eq!(seen["storage"], Value::Null);
    assert!(seen["mongodb"]["version"].as_str().unwrap().contains('.'));
}

#[tokio::test]
async fn info_says_where_ingest_is() {
    let service = TestAggregator::start().await;
    let info = service.ok("/admin/info").await;
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["ingestUrl"], "http://127.0.0.1:8080");
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page_and_shown_whole() {
    let times = [
        1_000_000_000_000_u64,
        1_000_000_000_001,
        1_000_000_000_001,
        1_000_000_000_003,
    ];
    let mut letters: Vec<_> = times
        .iter()
        .enumerate()
        .map(|(n, ms)| letter(*ms + n as u64 * 10_000, if n == 0 { "a" } else { "b" }))
        .collect();
    // Two at the same time, told apart by their ids.
    let at = letters[1].get_datetime("at").unwrap().to_owned();
    letters[2].insert("at", at);
    letters.push(poison(999_000_000_000));
    let service = with_letters(&letters).await;

    let all = service.ok("/admin/dead-letters").await;
    assert_eq!(ids(&all).len(), 5);
    assert_eq!(all["nextCursor"], Value::Null);
    let (mut paged, mut path) = (Vec::new(), "/admin/dead-letters?limit=2".to_owned());
    loop {
        let page = service.ok(&path).await;
        paged.extend(ids(&page));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/admin/dead-letters?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, ids(&all));

    let newest = &all["items"][0];
    assert_eq!(newest["reason"], "refused_by_store");
    assert_eq!(newest["message"], "code 121");
    assert_eq!(newest["at"], 1_000_000_030_003_u64);
    assert!(newest["bytes"].as_u64().unwrap() > 100);
    let whole = service
        .ok(&format!("/admin/dead-letters/{}", paged[0]))
        .await;
    assert_eq!(whole["event"]["eventType"], "b");
    assert_eq!(whole["id"], newest["id"]);
    let entry = service.ok("/admin/dead-letters/1700000000000.1.5-1").await;
    assert_eq!(entry["event"], Value::Null);
    assert_eq!(entry["entry"], "5-1");
    assert_eq!(entry["fields"]["n"], "1");
    assert_eq!(entry["fields"]["m"], json!({ "hex": "01" }));
    assert_eq!(entry["fields"]["decodesNow"], false);

    let path = "/admin/dead-letters/1700000000000.1.5-2";
    assert_eq!(service.problem(path).await.1, "dead_letter_not_found");
    assert_eq!(service.problem("/admin/dead-letters/x").await.0, 404);
    assert_eq!(
        service.problem("/admin/dead-letters?limit=201").await.1,
        "invalid_parameter"
    );
    assert_eq!(
        service.problem("/admin/dead-letters?cursor=x").await.1,
        "cursor_invalid"
    );
}

#[tokio::test]
async fn filters_leave_out_what_they_do_not_name() {
    let from = 1_000_000_000_000;
    let letters = [
        letter(from, "a"),
        letter(from + 10_000, "b"),
        letter(from + 20_000, "b"),
        poison(999_000_000_000),
    ];
    let service = with_letters(&letters).await;
    let by_type = service.ok("/admin/dead-letters?type=a").await;
    assert_eq!(ids(&by_type).len(), 1);
    let by_reason = service.ok("/admin/dead-letters?reason=undecodable").await;
    assert_eq!(ids(&by_reason), ["1700000000000.1.5-1"]);
    let since = service.ok("/admin/dead-letters?from=1000000010000").await;
    assert_eq!(ids(&since).len(), 2);
}

#[tokio::test]
async fn a_purge_deletes_what_was_meant_and_is_audited_once_it_is_no_dry_run() {
    let letters = [letter(1_000, "a"), letter(2_000, "a"), letter(3_000, "b")];
    let service = with_letters(&letters).await;
    let audit = Audit::new(&service.mongo.database());
    let audited = async || audit.page(None, None, 9, Duration::ZERO).await.unwrap();
    let path = "/admin/dead-letters/purge";

    let (status, mut dry) = service
        .post(path, &json!({ "filter": { "type": "a" } }))
        .await;
    let to = dry["to"].take();
    let untouched = json!({
        "dryRun": true, "from": null, "to": null, "matched": 2, "replayed": 0, "purged": 0, "remaining": 2,
    });
    assert_eq!((status, dry), (200, untouched));
    assert!(audited().await.is_empty());

    // Kept since the dry run, it was not looked at.
    let kept_since = letter(to.as_u64().unwrap(), "a");
    let collection = service.mongo.database().collection(DEAD_LETTERS);
    collection.insert_one(kept_since).await.unwrap();
    let asked = json!({ "filter": { "type": "a", "to": to }, "dryRun": false });
    let (_, done) = service.post(path, &asked).await;
    assert_eq!(
        (&done["purged"], &done["remaining"]),
        (&json!(2), &json!(0))
    );
    let left = service.ok("/admin/dead-letters").await;
    assert_eq!(ids(&left).len(), 2);
    let left = service.ok("/admin/dead-letters?type=b").await;

    let asked = json!({ "ids": ids(&left), "dryRun": false });
    let (_, done) = service.post(path, &asked).await;
    assert_eq!(done["purged"], 1);
    let entries = audited().await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].what, "dead_letters.purge");
    assert_eq!(entries[1].state, State::Done);
    assert_eq!(entries[1].detail.get_i64("count").unwrap(), 2);
}

#[tokio::test]
async fn a_replay_appends_and_deletes_what_the_processor_is_through_with() {
    let service = with_letters(&[letter(1_000, "a")]).await;
    let stream = service.redis.stream(2);
    stream.hello(0, Life::UNKNOWN, None).await.unwrap();
    let letters = service
        .mongo
        .database()
        .collection::<Document>(DEAD_LETTERS);
    let receipts = service.mongo.database().collection::<Document>(RECEIPTS);

    let asked = json!({ "filter": {}, "dryRun": false });
    let processor = async {
        wait_for("a frame on the stream", || async {
            stream.totals(0).await.unwrap().appended_events == 1
        })
        .await;
        let letter = letters.find_one(doc! {}).await.unwrap().unwrap();
        let frame = letter
            .get_document("replay")
            .unwrap()
            .get_object_id("f")
            .unwrap();
        receipts.insert_one(doc! { "_id": frame }).await.unwrap();
    };
    let ((status, mut done), ()) = tokio::join!(
        service.post("/admin/dead-letters/replay", &asked),
        processor
    );
    assert!(done["to"].take().is_u64());
    let expected = json!({
        "dryRun": false, "from": null, "to": null, "matched": 1, "replayed": 1, "purged": 0, "remaining": 0,
    });
    assert_eq!((status, done), (200, expected));
}

#[tokio::test]
async fn a_body_that_is_not_understood_changes_nothing() {
    let service = with_letters(&[letter(1_000, "a")]).await;
    let send = |body: String| {
        let request = service.request(Method::POST, "/admin/dead-letters/purge");
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let large = format!(r#"{{"ids":["{}"]}}"#, "x".repeat(300_000));
    let cases = [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"dryRun":false}"#, 400),
        (r#"{"ids":[],"dryRun":false}"#, 400),
        (r#"{"filter":{"typ":"a"},"dryRun":false}"#, 400),
        (r#"{"filter":{},"dryrun":false}"#, 400),
        (large.as_str(), 413),
    ];
    for (body, expected) in cases {
        let response = send(body.to_owned()).await.unwrap();
        let kind = response.headers()["content-type"].clone();
        assert_eq!(response.status(), expected, "{body:.60}");
        assert_eq!(kind, "application/problem+json");
    }
    assert_eq!(ids(&service.ok("/admin/dead-letters").await).len(), 1);
    for method in [Method::GET, Method::DELETE] {
        let wrong = service.raw(method, "/admin/dead-letters/purge").await;
        assert_eq!(wrong.status(), 405);
        assert_eq!(wrong.headers()["allow"], "POST");
    }
}
