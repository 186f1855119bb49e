//! One ingest in this process, on free ports, and a look at what it has put on its stream.

use std::collections::HashSet;
use std::time::Duration;

use evp_devstack::{RedisOptions, RedisServer};
use evp_ingest::{IngestConfig, RunError, run};
use evp_shared::access::record::TenantState;
use evp_shared::access::token::KeyKind;
use evp_shared::clock::Clock;
use evp_shared::config::Source;
use evp_shared::document::ID_OFFSET;
use evp_shared::event::id::CanonicalId;
use evp_shared::frame::OpenFrame;
use evp_shared::health::Health;
use evp_shared::service::{Left, Reloads, Service, ServiceConfig as _};
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::GroupReader;
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::{PATIENCE, TestRedis, wait_for};
use fred::interfaces::ClientLike as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::told::Told;

/// For tests of what is so where nobody is asked who they are.
pub(crate) const OPEN: &str = "[auth]\nmode = \"open\"\n";

/// For tests that make their own keys.
pub(crate) const KEYS: &str = "[auth]\nmode = \"keys\"";

pub(crate) struct TestIngest {
    /// Shows a key of the tenant `default`, unless the test says `[auth]` and shows its own.
    pub(crate) http: Client,
    /// One that may stand in a URL.
    public_key: Option<String>,
    pub(crate) address: String,
    pub(crate) health: Health,
    telemetry: Telemetry,
    shutdown: Shutdown,
    running: JoinSet<Result<Left, RunError>>,
}

impl TestIngest {
    /// Starts an ingest and waits until it is ready.
    pub(crate) async fn ready(redis: &TestRedis, toml: &str) -> Self {
        let ingest = Self::start(redis, toml).await;
        ingest.wait_until_ready().await;
        ingest
    }

    pub(crate) async fn start(redis: &TestRedis, toml: &str) -> Self {
        if toml.contains("[auth]") {
            return Self::start_at(redis.url(), redis.keys().prefix(), toml).await;
        }
        let mut told = Told::default();
        told.tenant("default", TenantState::Active);
        let secret = told.key("default", |_| {});
        let public = told.key("default", |key| key.kind = KeyKind::Public);
        told.say(redis).await;
        let ingest = Self::start_at(redis.url(), redis.keys().prefix(), toml).await;
        let shown = HeaderValue::try_from(format!("Bearer {secret}")).expect("a header");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, shown)]);
        let http = Client::builder().default_headers(headers);
        let ingest = Self {
            http: http.build().expect("a client"),
            public_key: Some(public),
            ..ingest
        };
        ingest.wait_until_alive().await;
        wait_for("the keys are known", || async {
            let reasons = ingest.health.readiness().reasons;
            reasons.iter().all(|reason| reason.name != "access")
        })
        .await;
        ingest
    }

    /// `requests`, written by hand, with a key in the URL of each POST of events.
    pub(crate) fn keyed(&self, requests: &str) -> String {
        let Some(key) = &self.public_key else {
            return requests.to_owned();
        };
        requests
            .replace("/events?", &format!("/events?key={key}&"))
            .replace("/events HTTP/", &format!("/events?key={key} HTTP/"))
    }

    pub(crate) async fn start_at(url: &str, prefix: &str, toml: &str) -> Self {
        let environment = [
            ("EVP__REDIS__URL", url),
            ("EVP__REDIS__KEY_PREFIX", prefix),
            ("EVP__REDIS__COMMAND_TIMEOUT", "1s"),
        ];
        let mut source = Source::from_text(toml, &environment).expect("TOML");
        let config = IngestConfig::read(&mut source);
        let config = source.finish(config).expect("a valid configuration");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let clock = Clock::system();
        let (health, shutdown) = (Health::new(clock.clone()), Shutdown::new());
        let telemetry = Telemetry::install().expect("a recorder");
        let service = Service {
            listener: Some(listener.into()),
            health: health.clone(),
            telemetry: telemetry.clone(),
            clock,
            shutdown: shutdown.clone(),
            grace: Duration::from_secs(10),
            reloads: Reloads::default(),
        };
        let mut running = JoinSet::new();
        running.spawn(run(config, service));
        Self {
            http: Client::new(),
            public_key: None,
            address,
            health,
            telemetry,
            shutdown,
            running,
        }
    }

    /// Whoever answers has registered what readiness depends on.
    async fn wait_until_alive(&self) {
        let alive = self.http.get(format!("http://{}/livez", self.address));
        let alive = alive.send().await.expect("an answer").status();
        assert!(alive.is_success(), "{alive}");
    }

    pub(crate) async fn wait_until_ready(&self) {
        self.wait_until_alive().await;
        wait_for("ingest is ready", || async { self.is_ready() }).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.health.readiness().ready
    }

    /// Waits until `requests` are under way. The gauge is the process's, so other tests' requests
    /// count too: ask for more than they have.
    pub(crate) async fn wait_until_in_flight(&self, requests: u32) {
        wait_for("requests are under way", || async {
            let text = self.telemetry.render();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("evp_ingest_in_flight_requests "));
            line.is_some_and(|value| value.parse::<f64>().unwrap() >= f64::from(requests))
        })
        .await;
    }

    /// What is measured, in this process: also by other tests.
    pub(crate) fn metrics(&self) -> String {
        self.telemetry.render()
    }

    pub(crate) fn request(&self, query: &str) -> RequestBuilder {
        self.http
            .post(format!("http://{}/events{query}", self.address))
    }

    /// Posts a body and returns its status and JSON.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answer_of(self.request("").body(body).send().await.expect("an answer")).await
    }

    pub(crate) fn order_shutdown(&self) {
        self.shutdown.trigger();
    }

    /// Waits for the end of the service.
    pub(crate) async fn ended(&mut self) -> Result<Left, RunError> {
        let ended = tokio::time::timeout(PATIENCE, self.running.join_next()).await;
        ended
            .expect("ends in time")
            .expect("one task")
            .expect("no panic")
    }

    pub(crate) async fn stop(mut self) {
        self.order_shutdown();
        assert_eq!(self.ended().await.expect("a clean end"), Left::NOTHING);
    }
}

pub(crate) async fn answer_of(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    let json = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).expect("JSON")
    };
    (status, json)
}

/// The code of a problem.
pub(crate) fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

/// A Redis of the test's own, to be killed, filled and emptied.
pub(crate) async fn own_redis(maxmemory: &str) -> (RedisServer, TestRedis) {
    let options = RedisOptions {
        maxmemory: maxmemory.to_owned(),
        ..RedisOptions::default()
    };
    let server = RedisServer::start(options).await.expect("a redis-server");
    let redis = TestRedis::at(server.url()).await;
    (server, redis)
}

/// Everything on the stream that no test reader has seen yet, frame by frame.
pub(crate) async fn frames(redis: &TestRedis) -> Vec<OpenFrame> {
    frames_of(redis, 1).await
}

/// As [`frames`], of the first `partitions` partitions.
pub(crate) async fn frames_of(redis: &TestRedis, partitions: u16) -> Vec<OpenFrame> {
    let stream = redis.stream(partitions);
    let mut frames = Vec::new();
    // A test may have killed redis-server: a group read is not sent again, this is.
    let _: String = redis.client().ping(None).await.expect("redis answers");
    loop {
        let reader = GroupReader::new(redis.client(), &stream, "test");
        let entries = reader
            .read_new(1_000, Duration::from_millis(1))
            .await
            .expect("the stream is there");
        if entries.is_empty() {
            return frames;
        }
        for entry in entries {
            frames.push(
                entry
                    .frame
                    .expect("not deleted")
                    .open()
                    .expect("a whole frame"),
            );
        }
    }
}

pub(crate) fn ids_in(frames: &[OpenFrame]) -> HashSet<CanonicalId> {
    let id_of = |document: &[u8]| {
        CanonicalId::from_bytes(document[ID_OFFSET..][..16].try_into().expect("16 bytes"))
    };
    frames.iter().flat_map(OpenFrame::iter).map(id_of).collect()
}

/// The canonical ids of an answer, without the nulls.
pub(crate) fn ids_of(answer: &Value) -> Vec<CanonicalId> {
    let ids = answer["ids"].as_array().expect("ids");
    ids.iter()
        .filter_map(Value::as_str)
        .map(|id| id.parse().expect("a canonical id"))
        .collect()
}

pub(crate) fn list(events: usize) -> String {
    format!(
        "[{}]",
        vec![r#"{"eventType":"a","metadata":{"k":"v"}}"#; events].join(",")
    )
}
