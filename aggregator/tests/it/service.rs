//! An aggregator of one test's own, on a free port, with a key prefix and a database of its own.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc, oid::ObjectId};
use evp_aggregator::AggregatorConfig;
use evp_shared::access::projector::Projector;
use evp_shared::access::rate::RateLimits;
use evp_shared::access::record::{Scope, TenantId};
use evp_shared::access::store::{AccessStore, NewKey, NewTenant};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::config::Source;
use evp_shared::counters::CountRow;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::SpanUnit;
use evp_shared::frame::{FrameId, ProducerId};
use evp_shared::health::Health;
use evp_shared::service::{Left, Reloads, Service, ServiceConfig};
use evp_shared::shutdown::Shutdown;
use evp_shared::store::{Index, prepare};
use evp_shared::stream::{Commit, KeptWindow, Life, Settle};
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::spans::store_events;
use evp_shared::testing::{TestMongo, TestRedis, wait_for};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// For tests of what is so where nobody is asked who they are.
pub(crate) const OPEN: &str = "[auth]\nmode = \"open\"\n";
/// Long enough for a busy machine; a test that needs a shorter one says so.
const CONFIG: &str = "[aggregator.query]\ntime_limit = \"20s\"\ncache_ttl = \"10ms\"";

pub(crate) struct TestAggregator {
    pub(crate) redis: TestRedis,
    pub(crate) mongo: TestMongo,
    pub(crate) health: Health,
    pub(crate) shutdown: Shutdown,
    config: String,
    indexes: Vec<Index>,
    base: String,
    /// Shows a key of the tenant's admin, unless the test says `[auth]` and shows its own.
    http: reqwest::Client,
    /// Shows an operator's.
    operator: reqwest::Client,
    operator_key: Option<Token>,
    reloads: Reloads<AggregatorConfig>,
    running: JoinSet<Left>,
}

/// An answer, with what every test asserts about it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl TestAggregator {
    /// With the default indexes.
    pub(crate) async fn start() -> Self {
        let redis = TestRedis::new().await;
        let mongo = prepared().await;
        Self::start_on(redis, mongo, CONFIG, &[])
            .await
            .ready()
            .await
    }

    pub(crate) async fn start_with(indexes: &[Index]) -> Self {
        let redis = TestRedis::new().await;
        let mongo = prepared().await;
        let service = Self::start_on(redis, mongo, CONFIG, &[]).await;
        let indexes = indexes.to_vec();
        Self { indexes, ..service }.ready().await
    }

    /// With the default indexes and this configuration.
    pub(crate) async fn start_as(config: &str) -> Self {
        let redis = TestRedis::new().await;
        let mongo = prepared().await;
        Self::start_on(redis, mongo, config, &[])
            .await
            .ready()
            .await
    }

    /// Stops it, and starts another one on the same servers.
    pub(crate) async fn restart(mut self) -> Self {
        self.shutdown.trigger();
        self.running.join_next().await.unwrap().unwrap();
        Self::start_on(self.redis, self.mongo, &self.config, &[])
            .await
            .ready()
            .await
    }

    /// Waits until both dependencies answer.
    pub(crate) async fn ready(self) -> Self {
        // Whoever serves has registered what readiness depends on.
        assert_eq!(self.raw(reqwest::Method::GET, "/livez").await.status(), 200);
        wait_for("readiness", || async { self.health.readiness().ready }).await;
        self
    }

    /// With the time of `clock`.
    pub(crate) async fn start_at(
        redis: TestRedis,
        mongo: TestMongo,
        config: &str,
        clock: &Clock,
    ) -> Self {
        Self::begin((redis, mongo), config, &[], clock).await
    }

    /// `environment` overrides where Redis and MongoDB are.
    pub(crate) async fn start_on(
        redis: TestRedis,
        mongo: TestMongo,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::begin((redis, mongo), config, environment, &Clock::system()).await
    }

    pub(crate) async fn begin(
        (redis, mongo): (TestRedis, TestMongo),
        config: &str,
        environment: &[(&str, &str)],
        clock: &Clock,
    ) -> Self {
        let (admin, operator) = if config.contains("[auth]") {
            (None, None)
        } else {
            keys(&redis, &mongo).await
        };
        let mut variables = vec![
            ("REDIS_URL", redis.url()),
            ("EVP__REDIS__KEY_PREFIX", redis.keys().prefix()),
            ("MONGO_URI", mongo.uri()),
            ("EVP__MONGO__DATABASE", mongo.database_name()),
            ("EVP__REDIS__PARTITIONS", "2"),
        ];
        variables.extend_from_slice(environment);
        let mut source = Source::from_text(config, &variables).unwrap();
        let (text, config) = (config, AggregatorConfig::read(&mut source));
        let config = source.finish(config).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (health, shutdown) = (Health::new(Clock::system()), Shutdown::new());
        let service = Service {
            listener: Some(listener.into()),
            health: health.clone(),
            telemetry: Telemetry::install().unwrap(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            grace: Duration::from_secs(5),
            reloads: Reloads::default(),
        };
        let reloads = service.reloads.clone();
        let mut running = JoinSet::new();
        running.spawn(async { evp_aggregator::run(config, service).await.unwrap() });
        Self {
            redis,
            mongo,
            health,
            shutdown,
            config: text.to_owned(),
            indexes: vec![Index::Type, Index::User],
            base,
            http: client(admin.as_ref()),
            operator: client(operator.as_ref()),
            operator_key: operator,
            reloads,
            running,
        }
    }

    /// Has it take over `config`, as on SIGHUP.
    pub(crate) fn reload(&self, config: &str) {
        let mut source = Source::from_text(config, &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        self.reloads.hand_out(source.finish(config).unwrap());
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// What a request of an operator that is written by hand has in its head.
    pub(crate) fn operators_head(&self) -> String {
        let key = self.operator_key.as_ref();
        key.map_or_else(String::new, |key| {
            format!("authorization: Bearer {}\r\n", key.expose())
        })
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let http = if path.starts_with("/admin") {
            &self.operator
        } else {
            &self.http
        };
        http.request(method, format!("{}{path}", self.base))
    }

    /// Sends JSON; the answer with its status.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.request(reqwest::Method::POST, path).json(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    pub(crate) async fn raw(&self, method: reqwest::Method, path: &str) -> Response {
        self.request(method, path).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = self.raw(reqwest::Method::GET, path).await;
        let status = response.status();
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        let body: Value = response.json().await.unwrap();
        let expected = if status.is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(kind, expected, "{path}: {body}");
        Answer { status, body }
    }

    /// The body of an answer that must be 200.
    pub(crate) async fn ok(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// The answer once it is as it should be: answers are up to a moment old.
    pub(crate) async fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let seen = std::cell::RefCell::new(Value::Null);
        wait_for(path, || async {
            let body = self.ok(path).await;
            let is_wanted = wanted(&body);
            seen.replace(body);
            is_wanted
        })
        .await;
        seen.into_inner()
    }

    /// Status, code and parameter of a problem.
    pub(crate) async fn problem(&self, path: &str) -> (u16, String, Option<String>) {
        let answer = self.get(path).await;
        let text = |name: &str| answer.body[name].as_str().map(str::to_owned);
        assert_eq!(answer.body["status"], answer.status.as_u16(), "{path}");
        (
            answer.status.as_u16(),
            text("code").unwrap(),
            text("parameter"),
        )
    }

    /// Stores `documents` in their spans, as a processor does.
    pub(crate) async fn insert(&self, documents: &[Document]) {
        store_events(&self.mongo.database(), &self.indexes, documents).await;
    }

    /// Settles a frame received at `second` on `partition`, as a processor does.
    pub(crate) async fn count(&self, partition: u16, second: u64, counts: &[(&str, u32)]) {
        self.count_of("default", partition, second, counts).await;
    }

    /// The same, of `tenant`.
    pub(crate) async fn count_of(
        &self,
        tenant: &str,
        partition: u16,
        second: u64,
        counts: &[(&str, u32)],
    ) {
        let stream = self.redis.stream(2);
        let life = stream
            .hello(partition, Life::UNKNOWN, None)
            .await
            .unwrap()
            .life;
        let settle = Settle {
            frame: frame_id(second, partition),
            receipt_at_ms: Clock::system().now_ms(),
            counts: counts
                .iter()
                .map(|(kind, count)| CountRow {
                    tenant: tenant.into(),
                    event_type: (*kind).into(),
                    count: *count,
                })
                .collect(),
            duplicates: 2,
            dead_letters: 1,
            expired: 0,
        };
        let commit = Commit {
            life,
            entries: &[],
            settles: &[settle],
            kept: KeptWindow {
                age: Duration::from_secs(60),
                bytes: 1 << 20,
                none: false,
            },
        };
        let committed = stream.commit(partition, &commit).await.unwrap();
        assert_eq!(committed.settled, 1);
    }

    /// Gives the order to stop and waits for the end.
    pub(crate) async fn stop(mut self) -> Left {
        self.shutdown.trigger();
        self.running.join_next().await.unwrap().unwrap()
    }
}

/// Keys that the services know: of the tenant's admin, and of an operator.
async fn keys(redis: &TestRedis, mongo: &TestMongo) -> (Option<Token>, Option<Token>) {
    let (_, admin) = key(mongo, Some("default"), Scope::Admin).await;
    let (_, operator) = key(mongo, None, Scope::Operator).await;
    // As the aggregator does it by itself, which may be of no use here.
    let store = AccessStore::new(&mongo.database());
    let projector = Projector::new(store, redis.stream(2));
    projector.project().await.unwrap();
    (Some(admin), Some(operator))
}

/// A key of `tenant`, or of nobody.
pub(crate) async fn key(mongo: &TestMongo, tenant: Option<&str>, scope: Scope) -> (String, Token) {
    let store = AccessStore::new(&mongo.database());
    let now_ms = Clock::system().now_ms();
    let tenant: Option<TenantId> = tenant.map(|tenant| tenant.parse().unwrap());
    let there = store.records().await.unwrap().tenants;
    if let Some(tenant) = &tenant
        && there.iter().all(|one| one.id != *tenant)
    {
        store
            .add_tenant(NewTenant::named(tenant.clone(), "one"), now_ms)
            .await
            .unwrap();
    }
    let new = NewKey {
        name: "a key".to_owned(),
        kind: KeyKind::Secret,
        scope,
        tenant,
        types: Vec::new(),
        origins: Vec::new(),
        limits: RateLimits::default(),
        expires_ms: None,
    };
    let (key, token) = store.add_key(new, now_ms).await.unwrap();
    (key.id, token)
}

fn client(key: Option<&Token>) -> reqwest::Client {
    let shown = key.map(|key| {
        let shown = HeaderValue::try_from(format!("Bearer {}", key.expose())).unwrap();
        (AUTHORIZATION, shown)
    });
    let builder = reqwest::Client::builder().no_proxy();
    let builder = builder.default_headers(shown.into_iter().collect());
    builder.build().unwrap()
}

/// A database that a processor has prepared.
pub(crate) async fn prepared() -> TestMongo {
    prepare_all(TestMongo::new().await).await
}

/// `mongo`, prepared as a processor does.
pub(crate) async fn prepare_all(mongo: TestMongo) -> TestMongo {
    let fingerprint = IdentityConfig::default().fingerprint();
    prepare(&mongo.database(), SpanUnit::Day, fingerprint)
        .await
        .unwrap();
    mongo
}

fn frame_id(second: u64, partition: u16) -> FrameId {
    // Of all tests: a number that comes again would be the same frame.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let second = u32::try_from(second).unwrap();
    FrameId::new(second, ProducerId::new(partition, 7), number)
}

/// A canonical id of a given time, the way EVP makes them, with `hash` as its hash.
pub(crate) fn id(ms: u64, hash: u64) -> [u8; 16] {
    let identity = IdentityConfig::default();
    let salt = u16::try_from(hash % (1 << identity.salt_bits)).unwrap();
    let mut id = *identity.first_id(salt, ms).as_bytes();
    id[8..].copy_from_slice(&hash.to_be_bytes());
    id[8] = 0x80 | (id[8] & 0x3f);
    id
}

/// An undated canonical id.
pub(crate) fn undated(hash: u64) -> [u8; 16] {
    id(0xFF << 40, hash)
}

pub(crate) fn binary(id: [u8; 16]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Uuid,
        bytes: id.to_vec(),
    })
}

/// An event of tenant `default` as EVP stores it.
pub(crate) fn event(id: [u8; 16], ms: i64, event_type: &str) -> Document {
    doc! {
        "_id": binary(id),
        "f": ObjectId::from_bytes([0x65, 0x53, 0xf1, 0, 0, 0, 0, 0, 7, 0, 0, 1]),
        "timestamp": DateTime::from_millis(ms),
        "tenant": "default",
        "eventType": event_type,
    }
}

pub(crate) fn now_s() -> u64 {
    Clock::system().now_ms() / 1_000
}
