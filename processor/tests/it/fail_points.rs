//! A mongod of a test's own that fails when it is told to.

use bson::{Bson, Document, doc};
use evp_devstack::{MongoOptions, MongoServer};
use evp_shared::testing::TestMongo;

use crate::harness::{SPAN, World};

/// A world on a mongod of its own, which ends with what is returned beside it.
pub(crate) async fn world_that_fails() -> (MongoServer, World) {
    let mongod = MongoServer::start(MongoOptions {
        cache_gb: 0.25,
        extra: ["--setParameter", "enableTestCommands=1"]
            .map(str::to_owned)
            .to_vec(),
        ..MongoOptions::default()
    });
    let mongod = mongod.await.unwrap();
    let world = World {
        mongo: TestMongo::at(mongod.url()).await,
        ..World::new().await
    };
    (mongod, world)
}

/// Makes mongod treat commands as `how` says, while `mode` lasts.
pub(crate) async fn fail(world: &World, mode: impl Into<Bson>, how: Document) {
    let order = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": how };
    let admin = world.mongo.database().client().database("admin");
    admin.run_command(order).await.unwrap();
}

/// As [`fail`], for inserts into the events of the epoch, and so for probes.
pub(crate) async fn fail_events(world: &World, mode: impl Into<Bson>, mut how: Document) {
    let events = format!("{}.{SPAN}", world.mongo.database_name());
    how.extend(doc! { "failCommands": ["insert"], "namespace": events });
    fail(world, mode, how).await;
}

/// Makes mongod fail no more.
pub(crate) async fn stop_failing(world: &World) {
    fail(world, "off", doc! {}).await;
}
