//! Keys and tenants on a MongoDB that does not answer, or late.

use bson::{Document, doc};
use evp_devstack::MongoServer;
use evp_shared::access::record::Scope;
use evp_shared::access::token::Token;
use evp_shared::testing::{PATIENCE, TestMongo, TestRedis};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::keys::{KEYS, known, send};
use crate::list_failing::mongod_that_fails;
use crate::service::{TestAggregator, key, prepare_all};

/// A service on a mongod of its own, and the key of an operator.
struct World {
    service: TestAggregator,
    operator: Token,
    _mongod: MongoServer,
}

impl World {
    async fn new(time_limit: &str) -> Self {
        let mongod = mongod_that_fails().await;
        let mongo = prepare_all(TestMongo::at(mongod.url()).await).await;
        let config = format!("{KEYS}\ntime_limit = \"{time_limit}\"");
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
    let world = World::new("100ms").await;
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
