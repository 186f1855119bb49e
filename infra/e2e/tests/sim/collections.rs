//! The model's collections and marks, held against a real mongod.

use bson::{Bson, Document, doc};
use evp_e2e::sim::mongo::{Index, Mark, Mongo, MongoAnswer, MongoOp, ReadConcern, Row, SpanOp};
use evp_e2e::sim::span::Span;
use evp_processor::written::Written;
use evp_shared::testing::TestMongo;
use mongodb::error::ErrorKind;

use crate::conformance::{NOW_MS, modelled};

const SPAN: Span = Span::At(1);

struct Both {
    model: Mongo,
    mongo: TestMongo,
}

impl Both {
    /// The code of a real answer: of the command, or of its first write error.
    async fn real(&self, command: Document) -> i32 {
        match self.mongo.database().run_command(command).await {
            Ok(reply) => {
                let faults = reply.get_array("writeErrors");
                let first = faults.ok().and_then(|faults| faults[0].as_document());
                first.map_or(0, |fault| fault.get_i32("code").unwrap())
            }
            Err(error) => match *error.kind {
                ErrorKind::Command(error) => error.code,
                other => panic!("{other:?}"),
            },
        }
    }

    /// Does the same on both sides.
    async fn same(&mut self, op: MongoOp, command: Document) {
        let code = match self.model.run(NOW_MS, &op) {
            MongoAnswer::Done => 0,
            MongoAnswer::Inserted(written) if written[0] == Written::Inserted => 0,
            MongoAnswer::Mismatch => 361,
            MongoAnswer::Exists if matches!(op, MongoOp::Span(SpanOp::Create(_))) => 48,
            MongoAnswer::Inserted(_) | MongoAnswer::Exists => 11_000,
            other => panic!("{other:?}"),
        };
        assert_eq!(code, self.real(command).await, "{op:?}");
    }

    /// An insert with the UUIDs of the model's and the server's collection, or without one.
    async fn insert(&mut self, uuids: Option<&(u64, Bson)>) {
        let modelled = vec![modelled(1, "click")];
        let op = MongoOp::Store(SPAN, uuids.map(|one| one.0), modelled);
        let mut command = doc! { "insert": "events_1", "documents": [{ "_id": 1 }] };
        command.extend(uuids.map(|one| ("collectionUUID".to_owned(), one.1.clone())));
        self.same(op, command).await;
    }

    async fn index(&mut self, (model, real): &(u64, Bson)) {
        let op = SpanOp::Index(SPAN, Some(*model), Index::Recent);
        let command = doc! {
            "createIndexes": "events_1",
            "indexes": [{ "key": { "u": 1 }, "name": "user_recent" }],
            "collectionUUID": real.clone(),
        };
        self.same(MongoOp::Span(op), command).await;
    }

    async fn uuids(&self) -> Option<(u64, Bson)> {
        let list = doc! { "listCollections": 1, "filter": { "name": "events_1" } };
        let reply = self.mongo.database().run_command(list).await.unwrap();
        let batch = reply
            .get_document("cursor")
            .unwrap()
            .get_array("firstBatch");
        let real = batch.unwrap().first();
        let model = self.model.data().collections.get(&SPAN);
        assert_eq!(model.is_some(), real.is_some());
        let info = real?.as_document().unwrap().get_document("info").unwrap();
        Some((model?.uuid, info.get("uuid").unwrap().clone()))
    }

    /// Whether both hold nothing, by a find.
    async fn finds_nothing(&mut self) {
        let op = MongoOp::LookUp(SPAN, vec![modelled(1, "").event.id], ReadConcern::Majority);
        let MongoAnswer::LookedUp(found) = self.model.run(NOW_MS, &op) else {
            panic!("a find is always answered");
        };
        let find = doc! { "find": "events_1" };
        let reply = self.mongo.database().run_command(find).await.unwrap();
        let cursor = reply.get_document("cursor").unwrap();
        assert!(found.is_empty() && cursor.get_array("firstBatch").unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_model_makes_and_drops_collections_as_mongodb_does() {
    let mongo = TestMongo::new().await;
    let model = Mongo::new(false, None);
    let mut both = Both { model, mongo };
    for _ in 0..2 {
        let create = MongoOp::Span(SpanOp::Create(SPAN));
        both.same(create, doc! { "create": "events_1" }).await;
    }
    let before = both.uuids().await.unwrap();
    both.index(&before).await;
    both.insert(Some(&before)).await;
    both.insert(Some(&before)).await;
    let drop = MongoOp::Span(SpanOp::Drop(SPAN));
    both.same(drop, doc! { "drop": "events_1" }).await;
    both.finds_nothing().await;
    // With the UUID nothing is made anew, without it it is.
    both.insert(Some(&before)).await;
    assert!(both.uuids().await.is_none());
    both.insert(None).await;
    let after = both.uuids().await.unwrap();
    assert!(after.0 != before.0 && after.1 != before.1);
    both.insert(Some(&before)).await;
    both.index(&before).await;
}

#[tokio::test]
async fn the_model_keeps_rows_and_marks_as_mongodb_does() {
    let mongo = TestMongo::new().await;
    let model = Mongo::new(false, None);
    let mut both = Both { model, mongo };
    let row = Row {
        uuid: 7,
        is_sealed: false,
        indexes: [Index::Recent].into(),
    };
    for _ in 0..2 {
        let add = MongoOp::Span(SpanOp::AddRow(SPAN, row.clone()));
        let insert = doc! { "insert": "meta", "documents": [{ "_id": "events_1" }] };
        both.same(add, insert).await;
    }
    for floor_ms in [5_u64, 9, 7] {
        let raise = MongoOp::Span(SpanOp::Raise(Mark::Floor, floor_ms));
        let max = doc! { "$max": { "at": i64::try_from(floor_ms).unwrap() } };
        let update = doc! { "q": { "_id": "floor" }, "u": max, "upsert": true };
        both.same(raise, doc! { "update": "meta", "updates": [update] })
            .await;
    }
    let find = doc! { "find": "meta", "filter": { "_id": "floor", "at": 9 } };
    let reply = both.mongo.database().run_command(find).await.unwrap();
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap().len(), 1);
    assert_eq!(both.model.data().meta.floor_ms, 9);
}
