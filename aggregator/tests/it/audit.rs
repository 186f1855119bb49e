//! Who asked for what: written down for good, read by those it concerns.

use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use evp_shared::access::record::Scope;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::store::AUDIT;
use evp_shared::testing::wait_for;
use futures::TryStreamExt as _;
use mongodb::error::Error as MongoError;
use reqwest::Method;
use serde_json::{Value, json};

use crate::keys::{KEYS, ask, known};
use crate::managing::send;
use crate::service::{TestAggregator, key};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn changes_of_tenants_and_keys_are_written_down_and_seen_by_whom_they_concern() {
    let service = TestAggregator::start_as(KEYS).await;
    let operator = key(&service.mongo, None, Scope::Operator).await.1;
    let admin = key(&service.mongo, Some("a"), Scope::Admin).await.1;
    let reader = key(&service.mongo, Some("a"), Scope::Read).await.1;
    known(&service, &reader).await;
    let post = async |path: &str, by, body: Value| {
        let (status, body) = send(&service, (Method::POST, path), by, &body).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    post("/admin/tenants", &operator, json!({ "id": "b" })).await;
    let asked = json!({ "name": "y", "scope": "read" });
    let made = post("/admin/keys", &admin, asked).await;
    let id = made["id"].as_str().unwrap();
    post(&format!("/admin/keys/{id}/revoke"), &admin, json!({})).await;
    let refused = json!({ "name": "z", "scope": "read", "origins": ["x"] });
    let (status, _) = send(&service, (Method::POST, "/admin/keys"), &admin, &refused).await;
    assert_eq!(status, 400);

    let (status, all) = ask(&service, "/admin/audit", &operator).await;
    assert_eq!(status, 200, "{all}");
    assert!(!all.contains(made["key"].as_str().unwrap()), "{all}");
    let all = parsed(&all);
    let entries = all["entries"].as_array().unwrap();
    let said: Vec<_> = entries
        .iter()
        .map(|entry| [&entry["action"], &entry["tenant"], &entry["outcome"]])
        .collect();
    let expected = json!([
        ["key.add", "a", "failed"],
        ["key.revoke", "a", "done"],
        ["key.add", "a", "done"],
        ["tenant.add", "b", "done"],
    ]);
    assert_eq!(json!(said), expected, "{all}");
    assert_eq!(entries[2]["detail"]["key"], id, "{all}");
    assert!(
        entries[2]["who"].as_str().unwrap().contains("a key"),
        "{all}"
    );

    assert_eq!(entries[2]["from"], "127.0.0.1", "{all}");
    let (_, own) = ask(&service, "/admin/audit?limit=2", &admin).await;
    let own = parsed(&own);
    assert_eq!(own["entries"], json!(entries[..2]));
    let next = own["nextCursor"].as_str().unwrap();
    let (_, rest) = ask(&service, &format!("/admin/audit?cursor={next}"), &admin).await;
    assert_eq!(parsed(&rest), json!({ "entries": [entries[2]] }));
    assert_eq!(ask(&service, "/admin/audit", &reader).await.0, 403);
    let (status, body) = ask(&service, "/admin/audit?cursor=x", &admin).await;
    assert!(status == 400 && body.contains("cursor_invalid"), "{body}");
    service.stop().await;
}

#[tokio::test]
async fn nothing_that_is_written_down_is_changed_and_it_ends_after_400_days() {
    let service = TestAggregator::start().await;
    let database = service.mongo.database();
    let entries = service.mongo.access().collection::<Document>(AUDIT);
    let all = async || -> Vec<Document> {
        let found = entries.find(doc! {}).sort(doc! { "at": 1 }).await.unwrap();
        found.try_collect().await.unwrap()
    };
    let action = Action {
        what: "key.revoke",
        tenant: None,
        detail: doc! {},
    };
    let begun = async {
        let begun = all().await;
        assert_eq!(begun.len(), 1, "before anything is done");
        Ok::<_, MongoError>(begun)
    };
    let audit = Audit::new(&database);
    let actor = Actor::here("jane".to_owned());
    let outcome = |_: &_| Outcome::done(doc! {});
    let begun = audit.around(&actor, action, begun, outcome).await.unwrap();
    let done = all().await;
    assert_eq!((done.len(), &done[0]), (2, &begun[0]));

    // As builds before wrote it.
    let old = doc! {
        "_id": ObjectId::from_bytes([0; 12]), "at": bson::DateTime::from_millis(1_000),
        "who": { "user": "joe", "host": "box", "pid": 7_i64 }, "what": "dead_letters.purge",
        "filter": {}, "state": "done", "count": 2_i64,
        "endedAt": bson::DateTime::from_millis(2_000),
    };
    entries.insert_one(old).await.unwrap();
    let read = service.ok("/admin/audit").await;
    let expected = json!({
        "id": "000000000000000000000000", "at": "1970-01-01T00:00:01.000Z", "who": "joe",
        "from": "box", "tenant": null, "action": "dead_letters.purge",
        "detail": { "filter": {}, "count": 2 }, "outcome": "done",
        "endedAt": "1970-01-01T00:00:02.000Z",
    });
    assert_eq!(read["entries"][1], expected);

    let has_ends = || async {
        let indexes = entries.list_indexes().await.unwrap();
        let indexes: Vec<_> = indexes.try_collect().await.unwrap();
        let kept = indexes
            .iter()
            .filter_map(|index| index.options.as_ref()?.expire_after);
        kept.collect::<Vec<_>>() == [Duration::from_secs(400 * 24 * 3_600)]
    };
    wait_for("the index that ends entries", has_ends).await;
    service.stop().await;
}
