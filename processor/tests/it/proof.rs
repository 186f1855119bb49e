//! What a read found on a server of its own stays, or is not sure.

use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use evp_devstack::{MongoOptions, MongoServer};
use evp_processor::store::insert::{Inserter, StoreFailure};
use futures::TryStreamExt as _;
use mongodb::options::WriteConcern;
use mongodb::{Client, Collection, Database};
use tokio::sync::Mutex;

async fn server() -> (MongoServer, Database) {
    let server = MongoServer::start(MongoOptions::default()).await.unwrap();
    let client = Client::with_uri_str(server.url()).await.unwrap();
    let database = client.database("evp_proof");
    // What is not synced stays so until somebody waits for it, or half a second later.
    let interval = doc! { "setParameter": 1, "journalCommitInterval": 500 };
    let admin = client.database("admin");
    admin.run_command(interval).await.unwrap();
    (server, database)
}

/// Writes a document that nobody waits for, and finds it.
async fn write_and_find(of: &Collection<Document>) -> Vec<Document> {
    let unsynced = WriteConcern::builder().w(Some(1.into())).build();
    let insert = of
        .insert_one(doc! { "_id": ObjectId::new() })
        .write_concern(unsynced);
    insert.await.unwrap();
    found(of).await
}

async fn found(of: &Collection<Document>) -> Vec<Document> {
    of.find(doc! {}).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test]
async fn what_was_found_survives_a_kill() {
    let (mut server, database) = server().await;
    let inserter = Inserter::new(database.clone(), Duration::from_secs(10), 4);
    let events = database.collection("events");
    database.create_collection("events").await.unwrap();
    let sure = inserter.sure(async || Ok(write_and_find(&events).await));
    assert_eq!(sure.await.unwrap().len(), 1);
    server.kill().await;
    server.restart().await.unwrap();
    assert_eq!(found(&events).await.len(), 1);
}

#[tokio::test]
async fn what_another_process_showed_is_not_sure() {
    let (server, database) = server().await;
    let server = Mutex::new(server);
    let inserter = Inserter::new(database.clone(), Duration::from_secs(10), 4);
    let events = database.collection("events");
    let read = async || {
        let found = write_and_find(&events).await;
        assert!(!found.is_empty());
        let mut server = server.lock().await;
        server.kill().await;
        server.restart().await.unwrap();
        Ok::<_, StoreFailure>(found)
    };
    let sure = inserter.sure(read).await;
    assert!(matches!(sure, Err(StoreFailure::Restarted)), "{sure:?}");
}
