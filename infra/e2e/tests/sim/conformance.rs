//! The model's facts, held against real servers: the same operations have the same answers.
//!
//! Entry ids and lives are other numbers on the two sides, so they are compared by their order.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use evp_e2e::sim::ingest::event;
use evp_e2e::sim::mongo::{Mongo, MongoAnswer, MongoOp};
use evp_e2e::sim::redis::{CommitOp, Frame, Redis, RedisAnswer, RedisOp};
use evp_e2e::sim::span::Span;
use evp_processor::store::insert::Inserter;
use evp_processor::written::{StoredFacts, Written};
use evp_shared::counters::CountRow;
use evp_shared::frame::{Frame as RealFrame, FrameId, ProducerId};
use evp_shared::redis::reader_pool;
use evp_shared::stream::{
    AppendError, ClaimStep, Commit, Entry, EntryAck, EntryId, GroupReader, KeptWindow, Life,
    Registration, Settle, Stream, StreamError,
};
use evp_shared::testing::{TestMongo, TestRedis, wait_for};
use fred::interfaces::{HashesInterface, KeysInterface, LuaInterface, StreamsInterface};
use proptest::prelude::*;

const EVENTS: usize = 2;
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// One operation, on both sides.
#[derive(Debug, Clone)]
enum Step {
    Hello {
        knows: bool,
        producer: Option<u32>,
    },
    Append {
        frames: usize,
        is_late: bool,
    },
    Read {
        consumer: u32,
    },
    ReadPending {
        consumer: u32,
    },
    Claim {
        consumer: u32,
    },
    Commit {
        entries: usize,
        settles: usize,
        is_late: bool,
    },
    Tick,
    ComeBack,
    Flush,
    DeleteStream,
    DestroyGroup,
}

fn step() -> impl Strategy<Value = Step> {
    let producer = proptest::option::of(0..3_u32);
    prop_oneof![
        4 => (any::<bool>(), producer)
            .prop_map(|(knows, producer)| Step::Hello { knows, producer }),
        6 => (1..3_usize, proptest::bool::weighted(0.1))
            .prop_map(|(frames, is_late)| Step::Append { frames, is_late }),
        5 => (0..2_u32).prop_map(|consumer| Step::Read { consumer }),
        2 => (0..2_u32).prop_map(|consumer| Step::ReadPending { consumer }),
        2 => (0..2_u32).prop_map(|consumer| Step::Claim { consumer }),
        6 => (0..4_usize, 0..4_usize, proptest::bool::weighted(0.1))
            .prop_map(|(entries, settles, is_late)| Step::Commit { entries, settles, is_late }),
        2 => Just(Step::Tick),
        1 => Just(Step::ComeBack),
        1 => Just(Step::Flush),
        1 => Just(Step::DeleteStream),
        1 => Just(Step::DestroyGroup),
    ]
}

/// What both sides are asked, and what became of it so far.
struct Both {
    model: Redis,
    redis: TestRedis,
    stream: Stream,
    /// Model's and server's id of every entry, in the order of appending.
    entries: Vec<(EntryId, EntryId)>,
    /// Model's and server's number of every life.
    lives: Vec<(u64, u64)>,
    frames: u32,
    now_ms: u64,
}

impl Both {
    async fn new() -> Self {
        let redis = TestRedis::new().await;
        let stream = redis.stream(1);
        Self {
            model: Redis::new(1, None),
            redis,
            stream,
            entries: Vec::new(),
            lives: vec![(0, 0)],
            frames: 0,
            now_ms: NOW_MS,
        }
    }

    fn ask(&mut self, op: &RedisOp) -> RedisAnswer {
        self.now_ms += 5;
        self.model.run(self.now_ms, op)
    }

    fn life(&self, is_late: bool) -> (u64, u64) {
        let back = if is_late { 2 } else { 1 };
        self.lives[self.lives.len().saturating_sub(back)]
    }

    /// Does `step` on both sides; the two answers in words.
    async fn both(&mut self, step: &Step) -> (String, String) {
        match step {
            Step::Hello { knows, producer } => self.hello(*knows, *producer).await,
            Step::Append { frames, is_late } => self.append(*frames, *is_late).await,
            Step::Read { consumer } => self.read(*consumer, false).await,
            Step::ReadPending { consumer } => self.read(*consumer, true).await,
            Step::Claim { consumer } => self.claim(*consumer).await,
            Step::Commit {
                entries,
                settles,
                is_late,
            } => self.commit(*entries, *settles, *is_late).await,
            Step::Tick => self.commit(0, 0, false).await,
            Step::ComeBack | Step::Flush | Step::DeleteStream | Step::DestroyGroup => {
                self.by_hand(step).await
            }
        }
    }

    async fn hello(&mut self, knows: bool, producer: Option<u32>) -> (String, String) {
        let known = if knows { self.life(false) } else { (0, 0) };
        // Two producers want one id, each with a token of its own.
        let id = producer.map(|token| (ProducerId::new(0, token / 2), u64::from(token)));
        let op = RedisOp::Hello {
            partition: 0,
            known: known.0,
            producer: id,
        };
        let RedisAnswer::Hello(model) = self.ask(&op) else {
            panic!("hello is always answered");
        };
        let registration = id.map(|(id, token)| Registration {
            id,
            token: token.to_string(),
        });
        let real = self
            .stream
            .hello(0, Life(known.1), registration.as_ref())
            .await
            .unwrap();
        if self.life(false).0 != model.life.0 {
            self.lives.push((model.life.0, real.life.0));
        }
        let words = |hello: &evp_shared::stream::Hello, is_model: bool| {
            let life = |life: u64| {
                self.lives
                    .iter()
                    .rposition(|one| pick(*one, is_model) == life)
            };
            let lives: Vec<_> = hello
                .lives
                .iter()
                .map(|one| (life(one.0.0), self.nth(one.1, is_model)))
                .collect();
            format!(
                "{:?} {:?} {:?} lost {} lives {lives:?}",
                life(hello.life.0),
                hello.made,
                hello.producer,
                hello.lost_events
            )
        };
        (words(&model, true), words(&real, false))
    }

    /// An entry id by the order of appending.
    fn nth(&self, id: EntryId, is_model: bool) -> Option<usize> {
        self.entries
            .iter()
            .rposition(|one| pick(*one, is_model) == id)
    }

    async fn append(&mut self, count: usize, is_late: bool) -> (String, String) {
        let life = self.life(is_late);
        let first = self.frames;
        self.frames += u32::try_from(count).unwrap();
        let frames: Vec<_> = (first..self.frames).map(frame).collect();
        let op = RedisOp::Append {
            partition: 0,
            life: life.0,
            frames,
        };
        let model = self.ask(&op);
        let frames: Vec<_> = (first..self.frames).map(real_frame).collect();
        let real = self.stream.append(0, Life(life.1), &frames).await;
        let model = match model {
            RedisAnswer::Appended(ids) => {
                let real = real.as_ref().map(Vec::as_slice).unwrap_or_default();
                self.entries
                    .extend(ids.iter().copied().zip(real.iter().copied()));
                format!("appended {}", ids.len())
            }
            RedisAnswer::NewLife | RedisAnswer::NoStream => "say hello".to_owned(),
            other => format!("{other:?}"),
        };
        let real = match real {
            Ok(ids) => format!("appended {}", ids.len()),
            Err(AppendError::SayHello) => "say hello".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        (model, real)
    }

    async fn read(&mut self, consumer: u32, pending: bool) -> (String, String) {
        let after = EntryId::ZERO;
        let op = if pending {
            RedisOp::ReadPending {
                partition: 0,
                consumer,
                after,
            }
        } else {
            RedisOp::ReadNew { consumer, count: 3 }
        };
        let model = self.ask(&op);
        let pool = reader_pool(self.redis.how(), 1).unwrap();
        let client = pool.get().await.unwrap();
        let name = format!("c{consumer}");
        let reader = GroupReader::new(&client, &self.stream, &name);
        let real = if pending {
            reader.read_pending(0, after, 100).await
        } else {
            reader.read_new(3, Duration::from_millis(1)).await
        };
        (self.model_entries(&model), self.real_entries(real))
    }

    async fn claim(&mut self, consumer: u32) -> (String, String) {
        let op = RedisOp::Claim {
            partition: 0,
            consumer,
            idle_ms: 0,
        };
        let model = self.ask(&op);
        let name = format!("c{consumer}");
        let step = ClaimStep {
            consumer: &name,
            idle: Duration::ZERO,
            cursor: EntryId::ZERO,
            count: 100,
        };
        let real = self
            .stream
            .claim(0, step)
            .await
            .map(|claimed| claimed.entries);
        (self.model_entries(&model), self.real_entries(real))
    }

    fn model_entries(&self, answer: &RedisAnswer) -> String {
        let RedisAnswer::Entries(entries) = answer else {
            return format!("{answer:?}");
        };
        let words = entries.iter().map(|entry| {
            let frame = entry.frame.as_ref().map(|frame| frame.id.to_string());
            (self.nth(entry.id, true), frame)
        });
        format!("{:?}", words.collect::<Vec<_>>())
    }

    fn real_entries(&self, entries: Result<Vec<Entry>, StreamError>) -> String {
        let entries = match entries {
            Err(StreamError::NoGroup) => return "NoGroup".to_owned(),
            other => other.unwrap(),
        };
        let words = entries.iter().map(|entry| {
            let meta = entry.frame.as_ref().and_then(|frame| frame.meta.clone());
            let frame = meta.map(|meta| String::from_utf8(meta.to_vec()).unwrap());
            (self.nth(entry.id, false), frame)
        });
        format!("{:?}", words.collect::<Vec<_>>())
    }

    async fn commit(&mut self, entries: usize, frames: usize, is_late: bool) -> (String, String) {
        let life = self.life(is_late);
        let newest = self.entries.iter().rev().take(entries);
        let ack = |id| EntryAck {
            id,
            events: u32::try_from(EVENTS).unwrap(),
            bytes: 0,
            stored_bytes: 1,
        };
        let (modelled, real): (Vec<_>, Vec<_>) = newest
            .map(|(model, real)| (ack(*model), ack(*real)))
            .unzip();
        let numbers = self.frames.saturating_sub(u32::try_from(frames).unwrap())..self.frames;
        let settles = |at_ms| {
            numbers
                .clone()
                .map(|number| settle(number, at_ms))
                .collect()
        };
        let op = RedisOp::Commit(CommitOp {
            life: life.0,
            acks: modelled,
            settles: settles(self.now_ms),
            kept_ms: u64::MAX,
            ..CommitOp::default()
        });
        let model = match self.ask(&op) {
            RedisAnswer::Committed(done) => committed(&done),
            other => format!("{other:?}"),
        };
        let now_ms = evp_shared::clock::Clock::system().now_ms();
        let settles: Vec<Settle> = settles(now_ms);
        let kept = KeptWindow {
            age: Duration::from_secs(3_600),
            bytes: 1 << 30,
            none: false,
        };
        let commit = Commit {
            life: Life(life.1),
            entries: &real,
            settles: &settles,
            kept,
        };
        let real = match self.stream.commit(0, &commit).await {
            Ok(done) => committed(&done),
            Err(StreamError::NewLife) => "NewLife".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        (model, real)
    }

    async fn by_hand(&mut self, step: &Step) -> (String, String) {
        let keys = self.redis.keys().partition(0);
        let client = self.redis.client();
        match step {
            Step::ComeBack => {
                let writes = self.model.written();
                self.model.come_back(writes, self.now_ms, 0);
                if client.exists::<i64, _>(&keys.life).await.unwrap() == 1 {
                    let other = ("replid", "another");
                    client.hset::<(), _, _>(&keys.life, other).await.unwrap();
                }
            }
            Step::Flush => {
                // Other tests share the server: this one's keys go, with its lives.
                let producer = |number| keys.producer(&ProducerId::new(0, number).to_string());
                let settled = keys.settled(&ProducerId::new(0, 7).to_string(), 0);
                let names = [
                    &keys.life,
                    &keys.events,
                    &keys.totals,
                    &keys.kept,
                    &keys.count_total,
                ];
                let mut all: Vec<String> = names.map(Clone::clone).into();
                all.extend([producer(0), producer(1), settled, keys.types("default")]);
                client.del::<(), _>(all).await.unwrap();
                self.ask(&RedisOp::Flush);
            }
            Step::DeleteStream => {
                client.del::<(), _>(&keys.events).await.unwrap();
                self.ask(&RedisOp::DeleteStream { partition: 0 });
            }
            _ => {
                // Without a stream that is an error, and changes nothing.
                let group = evp_shared::keys::GROUP;
                drop(
                    client
                        .xgroup_destroy::<i64, _, _>(&keys.events, group)
                        .await,
                );
                self.ask(&RedisOp::DestroyGroup { partition: 0 });
            }
        }
        if matches!(step, Step::Flush | Step::DeleteStream) {
            self.pass_a_moment().await;
        }
        (String::new(), String::new())
    }

    /// A stream that is made anew may give the ids of the old one again, the model's within a second
    /// and the server's within a ms, and then `nth` cannot tell which entry is meant.
    async fn pass_a_moment(&mut self) {
        self.now_ms += 1_000;
        let newest = self.entries.iter().map(|(_, real)| real.ms).max();
        let script = "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)";
        wait_for("the server's clock goes on", || async {
            let none: Vec<String> = Vec::new();
            let client = self.redis.client();
            let now: u64 = client.eval(script, none.clone(), none).await.unwrap();
            Some(now) > newest
        })
        .await;
    }
}

fn pick<T>((model, real): (T, T), is_model: bool) -> T {
    if is_model { model } else { real }
}

fn committed(done: &evp_shared::stream::Committed) -> String {
    // A tick on a stream that was deleted says so where failed writes are reported.
    let failures = done
        .failures
        .iter()
        .filter(|failure| *failure != "ERR no such key");
    let failures: Vec<_> = failures.collect();
    format!(
        "acknowledged {} settled {} counted {} duplicates {} dead {} lost {} backlog {} {:?}",
        done.acknowledged,
        done.settled,
        done.counted,
        done.duplicates,
        done.dead_letters,
        done.lost_events,
        done.backlog_events,
        failures
    )
}

fn frame_id(number: u32) -> FrameId {
    FrameId::new(1_700_000_000, ProducerId::new(0, 7), number)
}

fn frame(number: u32) -> Rc<Frame> {
    let events = (0..EVENTS).map(|one| event(one as u64, "click")).collect();
    Rc::new(Frame {
        id: frame_id(number),
        events,
        floor_at_ms: 0,
    })
}

fn real_frame(number: u32) -> RealFrame {
    RealFrame {
        id: frame_id(number),
        events: u32::try_from(EVENTS).unwrap(),
        bytes: 0,
        meta: Bytes::from(frame_id(number).to_string()),
        payload: Bytes::from_static(b"x"),
    }
}

fn settle(number: u32, receipt_at_ms: u64) -> Settle {
    Settle {
        frame: frame_id(number),
        receipt_at_ms,
        counts: vec![CountRow {
            tenant: "default".into(),
            event_type: "click".into(),
            count: 1,
        }],
        duplicates: 1,
        dead_letters: number % 2,
        expired: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn the_model_answers_as_the_scripts_do(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut both = Both::new().await;
            for (at, step) in steps.iter().enumerate() {
                let (model, real) = both.both(step).await;
                assert_eq!(model, real, "step {at} of {steps:?}");
            }
        });
    }
}

/// The event `number` of type `kind`, as the model keeps it.
pub(crate) fn modelled(number: u64, kind: &str) -> StoredFacts {
    StoredFacts {
        frame: [0; 12],
        event: event(number, kind),
    }
}

#[tokio::test]
async fn the_model_refuses_what_mongodb_refuses() {
    let mongo = TestMongo::new().await;
    let database = mongo.database();
    let validator = bson::doc! { "eventType": { "$ne": "bad" } };
    let create = bson::doc! { "create": "events", "validator": validator };
    database.run_command(create).await.unwrap();
    let inserter = Inserter::new(database, Duration::from_secs(10), 4);
    let mut model = Mongo::new(false, None);
    model.has_validator = true;
    let words = |written: &[Written]| -> Vec<String> {
        let word = |one: &Written| match one {
            Written::Refused { code, .. } => format!("refused {code}"),
            other => format!("{other:?}"),
        };
        written.iter().map(word).collect()
    };
    // The second call repeats the first, and asks for one `_id` with a type that is refused.
    for events in [
        [(1_i64, "click"), (2, "bad"), (1, "view")],
        [(1, "click"), (1, "bad"), (3, "view")],
    ] {
        let documents: Vec<Vec<u8>> = events
            .iter()
            .map(|(number, kind)| {
                let document = bson::doc! { "_id": number, "eventType": kind };
                bson::serialize_to_vec(&document).unwrap()
            })
            .collect();
        let slices: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
        let real = inserter.insert("events", &slices).await.unwrap();
        let documents = events.map(|(number, kind)| modelled(number.unsigned_abs(), kind));
        let store = MongoOp::Store(Span::Undated, None, documents.into());
        let MongoAnswer::Inserted(written) = model.run(NOW_MS, &store) else {
            panic!("the model has its majority");
        };
        assert_eq!(words(&written), words(&real));
    }
}

#[tokio::test]
async fn a_stream_made_anew_after_a_new_life_is_told_from_the_old_one() {
    let hello = || Step::Hello {
        knows: false,
        producer: None,
    };
    let append = || Step::Append {
        frames: 1,
        is_late: false,
    };
    let again = [Step::DeleteStream, hello(), append(), hello()];
    let steps = [hello(), append(), Step::ComeBack, hello()]
        .into_iter()
        .chain(again);
    let mut both = Both::new().await;
    for step in steps {
        let (model, real) = both.both(&step).await;
        assert_eq!(model, real, "{step:?}");
    }
}
