//! A processor of one test's own, and what the test looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Document, doc};
use evp_processor::config::ProcessorConfig;
use evp_processor::run;
use evp_shared::audit::{Audit, Entry};
use evp_shared::clock::Clock;
use evp_shared::config::Source;
use evp_shared::event::span::{SPANS, SpanUnit};
use evp_shared::frame::{Frame, ProducerId};
use evp_shared::health::Health;
use evp_shared::service::{Left, Reloads, Service, ServiceConfig as _};
use evp_shared::shutdown::Shutdown;
use evp_shared::store::{AUDIT, DEAD_LETTERS, Index, RECEIPTS, Row, prepare, spans};
use evp_shared::stream::{Life, Stream};
use evp_shared::telemetry::Telemetry;
use evp_shared::testing::{TestMongo, TestRedis, events, wait_for};
use futures::TryStreamExt as _;
use tokio::task::JoinHandle;

/// Redis, MongoDB, and what a test does with them.
pub(crate) struct World {
    pub(crate) redis: TestRedis,
    pub(crate) mongo: TestMongo,
    pub(crate) stream: Stream,
    pub(crate) life: Life,
    pub(crate) now_ms: u64,
}

/// A running processor.
pub(crate) struct Running {
    pub(crate) health: Health,
    shutdown: Shutdown,
    task: JoinHandle<Left>,
}

impl Running {
    /// Orders the shutdown and returns what was left.
    pub(crate) async fn stop(self) -> Left {
        self.shutdown.trigger();
        self.task.await.unwrap()
    }
}

/// Where the events of frames lie that say nothing of their time: they are dated at the epoch.
pub(crate) const SPAN: &str = "events_1970";

pub(crate) fn producer() -> ProducerId {
    ProducerId::new(0, 7)
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(TestRedis::new().await).await
    }

    pub(crate) async fn on(redis: TestRedis) -> Self {
        let mongo = TestMongo::new().await;
        let stream = redis.stream(1);
        let life = stream.hello(0, Life::UNKNOWN, None).await.unwrap().life;
        Self {
            redis,
            mongo,
            stream,
            life,
            now_ms: Clock::system().now_ms(),
        }
    }

    pub(crate) fn config(&self, name: &str) -> ProcessorConfig {
        self.config_with(name, "")
    }

    /// As [`Self::config`], with more lines of TOML.
    pub(crate) fn config_with(&self, name: &str, more: &str) -> ProcessorConfig {
        let text = format!(
            "[redis]\nurl = \"{}\"\nkey_prefix = \"{}\"\n\
             [mongo]\nuri = \"{}\"\ndatabase = \"{}\"\n\
             [processor]\nname = \"{name}\"\nclaim_idle = \"1s\"\nclaim_interval = \"50ms\"\n\
             insert_deadline = \"900ms\"\nread_block = \"50ms\"\n{more}",
            self.redis.url(),
            self.redis.keys().prefix(),
            self.mongo.uri(),
            self.mongo.database_name(),
        );
        let mut source = Source::from_text(&text, &[]).unwrap();
        let config = ProcessorConfig::read(&mut source);
        source.finish(config).unwrap()
    }

    pub(crate) fn start(&self, name: &str) -> Running {
        Self::start_as(self.config(name))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the test owns the task and joins it"
    )]
    pub(crate) fn start_as(config: ProcessorConfig) -> Running {
        let clock = Clock::system();
        let health = Health::new(clock.clone());
        let shutdown = Shutdown::new();
        let service = Service {
            listener: None,
            health: health.clone(),
            telemetry: Telemetry::install().unwrap(),
            clock,
            shutdown: shutdown.clone(),
            grace: Duration::from_secs(10),
            reloads: Reloads::default(),
        };
        let task = tokio::spawn(async move { run(config, service).await.unwrap() });
        Running {
            health,
            shutdown,
            task,
        }
    }

    pub(crate) fn frame(&self, number: u32, list: &[(&str, &str)]) -> Frame {
        events::frame(producer(), number, self.now_ms, list)
    }

    /// As [`Self::frame`], received `minutes` ago.
    pub(crate) fn frame_of(&self, minutes: u64, number: u32, list: &[(&str, &str)]) -> Frame {
        events::frame(producer(), number, self.now_ms - minutes * 60_000, list)
    }

    /// The environment of a command that works on this world.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("EVP__REDIS__URL", self.redis.url().to_owned()),
            (
                "EVP__REDIS__KEY_PREFIX",
                self.redis.keys().prefix().to_owned(),
            ),
            ("EVP__MONGO__URI", self.mongo.uri().to_owned()),
            (
                "EVP__MONGO__DATABASE",
                self.mongo.database_name().to_owned(),
            ),
        ]
    }

    /// Makes the span of ids of `time_ms`, as a processor does that then dies.
    pub(crate) async fn make_span(&self, time_ms: u64, indexes: &[Index]) -> Row {
        let database = self.mongo.database();
        let fingerprint = self.config("x").fingerprint();
        let calendar = prepare(&database, SpanUnit::Day, fingerprint).await;
        let span = calendar.unwrap().span_of(Some(time_ms));
        let row = spans::make(&database, &span, indexes).await.unwrap();
        row.unwrap()
    }

    /// Makes MongoDB refuse events of type `bad`, or take everything again.
    pub(crate) async fn refuse_bad(&self, refuse: bool) {
        let database = self.mongo.database();
        self.make_span(0, &[]).await;
        let validator = if refuse {
            doc! { "eventType": { "$ne": "bad" } }
        } else {
            doc! {}
        };
        let validator = doc! { "collMod": SPAN, "validator": validator };
        database.run_command(validator).await.unwrap();
    }

    /// Deletes this world's Redis keys that begin with `start` after their partition.
    pub(crate) async fn forget(&self, start: &str) {
        let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do \
                      redis.call('DEL', key) end return 0";
        let pattern = format!("{}:?0?:{start}*", self.redis.keys().prefix());
        let no_keys = Vec::<String>::new();
        let client = self.redis.client();
        let done: i64 = fred::interfaces::LuaInterface::eval(client, script, no_keys, pattern)
            .await
            .unwrap();
        assert_eq!(done, 0);
    }

    pub(crate) async fn append(&self, frames: &[Frame]) {
        self.stream.append(0, self.life, frames).await.unwrap();
    }

    /// Waits until everything appended is acknowledged.
    pub(crate) async fn settled(&self) {
        wait_for("everything is acknowledged", async || {
            let totals = self.stream.totals(0).await.unwrap();
            totals.appended_events > 0
                && totals.backlog_events() == 0
                && self.stream.pending(0).await.unwrap().entries == 0
        })
        .await;
    }

    /// Counts over all time, by type.
    pub(crate) async fn counts(&self) -> BTreeMap<String, i64> {
        let total = self.stream.count_total(0).await.unwrap();
        total
            .into_iter()
            .map(|(field, count)| (field.split_once('\u{1f}').unwrap().1.to_owned(), count))
            .collect()
    }

    /// Events stored.
    pub(crate) async fn stored(&self) -> u64 {
        let database = self.mongo.database();
        let names = database.list_collection_names().await.unwrap();
        let mut stored = 0;
        for name in names.iter().filter(|name| name.starts_with(SPANS.0)) {
            let events = database.collection::<Document>(name);
            stored += events.count_documents(doc! {}).await.unwrap();
        }
        stored
    }

    /// New events as the receipts have them.
    pub(crate) async fn receipted(&self) -> i64 {
        let receipts = self.all(RECEIPTS).await;
        let of_one = |receipt: &Document| -> i64 {
            let rows = receipt.get_array("n").unwrap().iter();
            rows.map(|row| row.as_array().unwrap()[2].as_i64().unwrap())
                .sum()
        };
        receipts.iter().map(of_one).sum()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Document> {
        self.all(DEAD_LETTERS).await
    }

    /// What is written down of what was asked for, newest first.
    pub(crate) async fn audited(&self) -> Vec<Entry> {
        let audit = Audit::new(&self.mongo.database());
        audit.page(None, None, 100, Duration::ZERO).await.unwrap()
    }

    pub(crate) async fn all(&self, collection: &str) -> Vec<Document> {
        let database = if collection == AUDIT {
            self.mongo.access()
        } else {
            self.mongo.database()
        };
        let collection = database.collection::<Document>(collection);
        collection
            .find(doc! {})
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap()
    }

    /// Asserts that events, receipts and counters agree on `counts`.
    pub(crate) async fn assert_counts(&self, counts: &[(&str, i64)]) {
        let expected: BTreeMap<_, _> = counts
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect();
        let sum: i64 = expected.values().sum();
        assert_eq!(self.counts().await, expected);
        assert_eq!(self.stored().await, u64::try_from(sum).unwrap());
        assert_eq!(self.receipted().await, sum);
    }
}
