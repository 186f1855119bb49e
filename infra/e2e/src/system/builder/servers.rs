//! The servers of a scenario: those all tests share, or its own.

use std::collections::HashMap;

use anyhow::Result;
use evp_devstack::{MongoServer, RedisServer, ScratchDir};
use evp_shared::testing::{TestMongo, TestRedis, unique};

use super::Builder;
use crate::guard::{self, Guard, OPERATOR, url_as};
use crate::{Chance, Events, System, client};

impl Builder {
    /// The servers, without a service.
    pub(super) async fn servers(&self) -> Result<System> {
        if self.guarded {
            return self.guarded_servers().await;
        }
        let redis_server = match &self.redis {
            Some(options) => Some(RedisServer::start(options.clone()).await?),
            None => None,
        };
        let mongo_server = match &self.mongo {
            Some(options) => Some(MongoServer::start(options.clone()).await?),
            None => None,
        };
        let redis = match (&redis_server, self.redis_at) {
            (Some(server), _) => TestRedis::at(server.url()).await,
            (None, Some(address)) => TestRedis::at(format!("redis://{address}")).await,
            (None, None) => TestRedis::new().await,
        };
        let mongo = match &mongo_server {
            Some(server) => TestMongo::at(server.url()).await,
            None => TestMongo::new().await,
        };
        self.over((redis, redis_server), (mongo, mongo_server))
    }

    async fn guarded_servers(&self) -> Result<System> {
        // What the names of tests begin with.
        let guard = Guard::new("t*")?;
        let redis_server = RedisServer::start(guard.redis.clone()).await?;
        let mongo_server = MongoServer::start(guard.mongo.clone()).await?;
        guard::found(&mongo_server.url()).await?;
        let redis = TestRedis::at(url_as(OPERATOR, &redis_server.url())).await;
        let mongo = TestMongo::at(url_as(OPERATOR, &mongo_server.url())).await;
        guard::admit(&mongo.database()).await?;
        let mut system = self.over((redis, Some(redis_server)), (mongo, Some(mongo_server)))?;
        system.guard = Some(Box::new(guard));
        Ok(system)
    }

    fn over(
        &self,
        (redis, redis_server): (TestRedis, Option<RedisServer>),
        (mongo, mongo_server): (TestMongo, Option<MongoServer>),
    ) -> Result<System> {
        Ok(System {
            ingests: Vec::new(),
            processors: Vec::new(),
            aggregator: None,
            redis,
            mongo,
            redis_server,
            mongo_server,
            events: Events::new(unique("e")),
            chance: Chance::new(),
            http: client()?,
            reader: client()?,
            keys: None,
            teller: None,
            guard: None,
            partitions: self.partitions,
            figures: Vec::new(),
            proxies: HashMap::new(),
            scenario: self.scenario,
            passed: false,
            logs: ScratchDir::new()?,
        })
    }
}
