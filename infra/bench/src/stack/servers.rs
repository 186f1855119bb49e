//! Redis and MongoDB of one run.

use std::time::Duration;

use evp_devstack::{MongoOptions, MongoServer, RedisOptions, RedisServer};
use evp_shared::config::{MongoConfig, RedisConfig};
use evp_shared::keys::Keys;
use evp_shared::redis::{connect, connected};
use evp_shared::stream::Stream;
use mongodb::Database;

use super::{Environment, Layout};
use crate::measure::watch::Role;

/// Above what any row needs, so that memory is measured and not met.
const REDIS_MAXMEMORY: &str = "6gb";
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Redis and MongoDB.
#[derive(Debug)]
pub struct Servers {
    redis: Option<RedisServer>,
    mongo: Option<MongoServer>,
    /// Where Redis is.
    pub redis_url: String,
    /// Where MongoDB is.
    pub mongo_uri: String,
    /// Name of the database and prefix of the keys, of this run alone.
    pub name: String,
}

impl Servers {
    /// Starts what is not given.
    ///
    /// # Errors
    /// A server cannot be found or started.
    pub async fn start(environment: &Environment, layout: Layout) -> anyhow::Result<Self> {
        let redis = async {
            if environment.redis_url.is_some() {
                return anyhow::Ok(None);
            }
            let options = RedisOptions {
                maxmemory: REDIS_MAXMEMORY.to_owned(),
                ..RedisOptions::default()
            };
            Ok(Some(RedisServer::start(options).await?))
        };
        let mongo = async {
            if environment.mongo_uri.is_some() {
                return anyhow::Ok(None);
            }
            let most_gb = environment.mongo_cache_gb;
            let options = MongoOptions {
                cache_gb: layout.cache_gb.map_or(most_gb, |gb| gb.min(most_gb)),
                replica_set: layout.replica_set.then_some(1),
                ..MongoOptions::default()
            };
            Ok(Some(MongoServer::start(options).await?))
        };
        let (redis, mongo) = futures::try_join!(redis, mongo)?;
        let given = |url: &Option<String>| url.clone().unwrap_or_default();
        Ok(Self {
            redis_url: redis
                .as_ref()
                .map_or_else(|| given(&environment.redis_url), RedisServer::url),
            mongo_uri: mongo
                .as_ref()
                .map_or_else(|| given(&environment.mongo_uri), MongoServer::url),
            name: format!("bench{:x}", evp_shared::clock::Clock::system().now_ms()),
            redis,
            mongo,
        })
    }

    /// The process ids of the servers we started.
    #[must_use]
    pub fn processes(&self) -> Vec<(Role, u32)> {
        let redis = self.redis.as_ref().and_then(RedisServer::pid);
        let mongo = self.mongo.as_ref().and_then(MongoServer::pid);
        let redis = redis.map(|pid| (Role::Redis, pid));
        redis
            .into_iter()
            .chain(mongo.map(|pid| (Role::Mongod, pid)))
            .collect()
    }

    /// The stream commands over this run's keys.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn stream(&self) -> anyhow::Result<Stream> {
        let client = connect(&RedisConfig::at(self.redis_url.clone(), COMMAND_TIMEOUT))?;
        connected(&client, COMMAND_TIMEOUT).await?;
        Ok(Stream::new(client, &Keys::new(&self.name), 1))
    }

    /// This run's database.
    ///
    /// # Errors
    /// The URI is malformed.
    pub async fn database(&self) -> anyhow::Result<Database> {
        let config = MongoConfig::at(&self.mongo_uri, &self.name);
        Ok(evp_shared::store::connect(&config, 8).await?)
    }

    /// Removes what this run left on servers that are not ours.
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn clean(&self) -> anyhow::Result<()> {
        use fred::interfaces::KeysInterface as _;
        if self.mongo.is_none() {
            self.database().await?.drop().await?;
        }
        if self.redis.is_none() {
            let stream = self.stream().await?;
            let keys: Vec<String> = {
                use fred::interfaces::LuaInterface as _;
                let script = "return redis.call('KEYS', ARGV[1])";
                let pattern = format!("{}:*", self.name);
                let client = stream.client();
                client.eval(script, Vec::<String>::new(), pattern).await?
            };
            for key in keys {
                let _deleted: u64 = stream.client().del(key).await?;
            }
        }
        Ok(())
    }
}
