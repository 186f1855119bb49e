//! Keys and tenants on a MongoDB that does not answer, or late.

use std::time::Duration;

use bson::{Document, doc};
use evp_devstack::MongoServer;
use evp_shared::access::record::Scope;
use evp_shared::access::store::AccessStore;
use evp_shared::access::token::Token;
use evp_shared::audit::{Audit, State};
use evp_shared::store::access;
use evp_shared::testing::{PATIENCE, TestMongo, TestRedis, wait_for};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::keys::{KEYS_UNTIMED, ask, known};
use crate::list_failing::mongod_that_fails;
use crate::managing::send;
use crate::service::{TestAggregator, key, prepare_all};

/// A service on a mongod of its own, and the key of an operator.
struct World {
    service: TestAggregator,
    operator: Token,
    _mongod: MongoServer,
}

impl World {
    /// `query` is how queries are answered.
    async fn new(query: &str) -> Self {
        let mongod = mongod_that_fails().await;
        let mongo = prepare_all(TestMongo::at(mongod.url()).await).await;
        let config = format!("{KEYS_UNTIMED}\n{query}");
        let service = TestAggregator::start_on(TestRedis::new().await, mongo, &config, &[]).await;
        let service = service.ready().await;
        let operator = key(&service.mongo, None, Scope::Operator).await.1;
        known(&service, &operator).await;
        Self {
            service,
            operator,
            _mongod: mongod,
        }
    }

    async fn set(&self, fail_point: &str, mode: &str, data: Document) {
        let order = doc! { "configureFailPoint": fail_point, "mode": mode, "data": data };
        let client = self.service.mongo.database().client().clone();
        client.database("admin").run_command(order).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_mongodb_does_not_answer_is_not_waited_for() {
    let world = World::new("time_limit = \"100ms\"").await;
    let never = doc! {
        "failCommands": ["find"], "blockConnection": true, "blockTimeMS": 600_000,
    };
    world.set("failCommand", "alwaysOn", never).await;
    let tenant = (Method::POST, "/admin/tenants");
    for (method, path) in [
        (Method::GET, "/admin/tenants"),
        (Method::GET, "/admin/keys"),
        (Method::GET, "/session"),
        tenant,
    ] {
        let asked = json!({ "id": "b" });
        let asked = send(&world.service, (method, path), &world.operator, &asked);
        let (status, body) = timeout(PATIENCE, asked).await.expect("an answer");
        assert_eq!(
            (status, &body["code"]),
            (503, &Value::from("store_unavailable")),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn what_an_admin_lists_takes_no_more_than_the_tenants_part() {
    let world = World::new("time_limit = \"2s\"\nconnections = 4").await;
    let service = &world.service;
    let one = key(&service.mongo, Some("a"), Scope::Admin).await.1;
    let other = key(&service.mongo, Some("b"), Scope::Admin).await.1;
    known(service, &other).await;
    let database = access(&service.mongo.database());
    let never = doc! {
        "failCommands": ["find"], "namespace": format!("{}.keys", database.name()),
        "blockConnection": true, "blockTimeMS": 600_000,
    };
    world.set("failCommand", "alwaysOn", never).await;
    // A quarter of four is one.
    let lists = (0..3).map(|_| ask(service, "/admin/keys", &one));
    let answers = join_all(lists).await;
    let are_refused = answers.iter().all(|(status, _)| *status == 503);
    let has_waited = answers.iter().any(|(_, text)| text.contains("one tenant"));
    assert!(are_refused && has_waited, "{answers:?}");
    let (status, text) = ask(service, "/admin/dead-letters", &other).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn a_rotation_whose_client_leaves_comes_to_its_end() {
    let world = World::new("time_limit = \"1m\"").await;
    let service = &world.service;
    let (old, _) = key(&service.mongo, Some("a"), Scope::Read).await;
    let store = AccessStore::new(&service.mongo.database());
    world
        .set("hangDuringBatchUpdate", "alwaysOn", doc! {})
        .await;

    let mut client = TcpStream::connect(service.address()).await.unwrap();
    let request = format!(
        "POST /admin/keys/{old}/rotate HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
        world.operator.expose()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let is_made = || async { store.records().await.unwrap().keys.len() == 3 };
    wait_for("the new key", is_made).await;
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // At its end the server has seen that the client left, and dropped the request.
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");

    world.set("hangDuringBatchUpdate", "off", doc! {}).await;
    let audit = Audit::new(&service.mongo.database());
    wait_for("the end of the rotation", || async {
        let page = audit.page(None, None, 1, Duration::ZERO).await.unwrap();
        page[0].what == "key.rotate" && page[0].state == State::Done
    })
    .await;
    assert!(store.key(&old).await.unwrap().revoked_ms.is_some());
}
