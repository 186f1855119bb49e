//! The test kit: real servers for tests, each test with names of its own.
//!
//! `make test` starts one redis-server and one mongod and passes their URLs in
//! `EVP_TEST_REDIS_URL` and `EVP_TEST_MONGO_URL`; a test run by hand starts its own pair, once per
//! process. Tests run in parallel, so each takes a random key prefix and database, removed when
//! the test is over. A missing server is a failure with a hint, never a skip.

pub mod events;
pub mod spans;
pub mod tls;

use std::time::Duration;

use evp_devstack::{MongoOptions, MongoServer, RedisOptions, RedisServer};
use fred::clients::Client;
use fred::interfaces::{ClientLike, LuaInterface};
use fred::prelude::Value;
use tokio::sync::OnceCell;

use crate::config::RedisConfig;
use crate::keys::Keys;
use crate::redis::connect;
use crate::stream::Stream;

/// Longest a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

const SERVER_TIMEOUT: Duration = Duration::from_secs(5);

static REDIS: OnceCell<Option<RedisServer>> = OnceCell::const_new();
static MONGO: OnceCell<Option<MongoServer>> = OnceCell::const_new();

/// URL of the Redis that tests share.
///
/// # Panics
/// No redis-server can be found or started.
pub async fn redis_url() -> String {
    if let Ok(url) = std::env::var("EVP_TEST_REDIS_URL") {
        return url;
    }
    let start = async { Some(started(RedisServer::start(RedisOptions::default()).await)) };
    let server = REDIS.get_or_init(|| start).await;
    server.as_ref().map(RedisServer::url).unwrap_or_default()
}

/// URI of the MongoDB that tests share.
///
/// # Panics
/// No mongod can be found or started.
pub async fn mongo_uri() -> String {
    if let Ok(uri) = std::env::var("EVP_TEST_MONGO_URL") {
        return uri;
    }
    let start = async { Some(started(MongoServer::start(MongoOptions::default()).await)) };
    let server = MONGO.get_or_init(|| start).await;
    server.as_ref().map(MongoServer::url).unwrap_or_default()
}

#[expect(
    clippy::panic,
    reason = "a missing server is a failed test, with the hint as its text"
)]
fn started<T>(server: Result<T, evp_devstack::Error>) -> T {
    server.unwrap_or_else(|error| panic!("no server to test against: {error}"))
}

/// Keys of one test's own on a Redis.
#[derive(Debug)]
pub struct TestRedis {
    url: String,
    keys: Keys,
    client: Client,
}

impl TestRedis {
    /// Takes a random prefix on the shared Redis.
    pub async fn new() -> Self {
        Self::at(redis_url().await).await
    }

    /// Takes a random prefix on the Redis at `url`, for tests that stop or starve theirs.
    ///
    /// # Panics
    /// There is no Redis at `url`.
    #[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
    pub async fn at(url: String) -> Self {
        let how = RedisConfig::at(url.clone(), SERVER_TIMEOUT);
        let client = connect(&how).expect("redis url");
        client.wait_for_connect().await.expect("redis");
        let keys = Keys::new(&unique("t"));
        Self { url, keys, client }
    }

    /// URL of the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to connect to the server.
    pub fn how(&self) -> RedisConfig {
        RedisConfig::at(self.url.clone(), SERVER_TIMEOUT)
    }

    /// This test's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A connection for what the test itself looks at.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The stream commands over this test's keys.
    pub fn stream(&self, partitions: u16) -> Stream {
        Stream::new(self.client.clone(), &self.keys, partitions)
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let (how, prefix) = (self.how(), self.keys.prefix().to_owned());
        on_a_thread(async move {
            let Ok(client) = connect(&how) else { return };
            let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do \
                          redis.call('DEL', key) end return 0";
            // The server may be gone already; then so are the keys.
            let gone = async {
                client.wait_for_connect().await?;
                client
                    .eval::<Value, _, _, _>(script, Vec::<String>::new(), prefix)
                    .await
            };
            drop(tokio::time::timeout(Duration::from_secs(2), gone).await);
        });
    }
}

/// A database of one test's own on a MongoDB.
#[derive(Debug)]
pub struct TestMongo {
    uri: String,
    database: String,
    client: mongodb::Client,
}

impl TestMongo {
    /// Takes a random database on the shared MongoDB.
    pub async fn new() -> Self {
        Self::at(mongo_uri().await).await
    }

    /// Takes a random database on the MongoDB at `uri`.
    ///
    /// # Panics
    /// `uri` is malformed.
    #[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
    pub async fn at(uri: String) -> Self {
        install_crypto();
        let client = mongodb::Client::with_uri_str(&uri)
            .await
            .expect("mongodb uri");
        Self {
            uri,
            database: unique("t"),
            client,
        }
    }

    /// URI of the server.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Name of this test's database.
    pub fn database_name(&self) -> &str {
        &self.database
    }

    /// This test's database, for what the test itself looks at.
    pub fn database(&self) -> mongodb::Database {
        self.client.database(&self.database)
    }

    /// The one beside it, of who may come in and of the audit.
    pub fn access(&self) -> mongodb::Database {
        crate::store::access(&self.database())
    }
}

impl Drop for TestMongo {
    fn drop(&mut self) {
        let (uri, database) = (self.uri.clone(), self.database.clone());
        on_a_thread(async move {
            let gone = async {
                let client = mongodb::Client::with_uri_str(&uri).await?;
                let database = client.database(&database);
                crate::store::access(&database).drop().await?;
                database.drop().await
            };
            // The server may be gone already; then so is the database.
            drop(tokio::time::timeout(Duration::from_secs(2), gone).await);
        });
    }
}

/// Waits until `condition` holds, looking every few ms.
///
/// # Panics
/// It does not hold within [`PATIENCE`]; the message names `what`.
#[expect(
    clippy::panic,
    reason = "a condition that never holds is a failed test"
)]
pub async fn wait_for<F>(what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("not within {PATIENCE:?}: {what}");
    }
}

/// Makes ring the process's one TLS provider, as each service's `main` does.
pub fn install_crypto() {
    // A second call finds the first one's provider, which is the same.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A name no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

/// Runs `clean` to its end from a destructor, which cannot await.
fn on_a_thread(clean: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            runtime.block_on(clean);
        }
    });
    drop(thread.join());
}
