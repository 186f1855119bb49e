//! The processor's configuration.

pub(crate) mod limits;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use evp_shared::config::{
    AdminConfig, AnyKey, AuthConfig, ByteSize, Choice, IDENTITY_MODE, Key, LogConfig, MongoConfig,
    RedisConfig, RuntimeConfig, SALT_BITS, ShutdownConfig, Source, admin_listen, identity,
};
use evp_shared::event::id::IdentityConfig;
use evp_shared::service::ServiceConfig;
use evp_shared::store::Index;

pub use limits::{BulkLimits, DeadLetterLimits};

/// See [`admin_listen`].
pub const ADMIN_LISTEN: Key<std::net::SocketAddr> = admin_listen("127.0.0.1:9181");

/// Who this member of the consumer group is.
pub const NAME: Key<Option<String>> = Key::new(
    "processor.name",
    "",
    "Name of this consumer in the group, unique among running processors. A stable name (the \
     index of a stateful set) lets a restarted processor go on with its own pending entries at \
     once; without one, host and process id are used and others claim them after \
     `processor.claim_idle`.",
);

/// Documents per insert command.
pub const BULK_EVENTS: Key<NonZeroUsize> = Key::new(
    "processor.bulk_events",
    "2000",
    "Documents in one insert command at most. Fewer cost MongoDB more per document; more make \
     one failure redo more.",
)
.range("1", "100000");

/// Insert commands at once.
pub const BULKS_IN_FLIGHT: Key<NonZeroUsize> = Key::new(
    "processor.bulks_in_flight",
    "4",
    "Bulks on their way at once. Fewer leave MongoDB idle between commands; more only queue there \
     and hold memory.",
)
.range("1", "64");

/// How long MongoDB may take.
pub const INSERT_DEADLINE: Key<Duration> = Key::new(
    "processor.insert_deadline",
    "10s",
    "Longest wait for an answer of MongoDB; after it the outcome is unknown and the events are \
     delivered again. Lower repeats work when MongoDB is merely slow; it stays below \
     `processor.claim_idle`.",
)
.range("100ms", "5m");

/// When a consumer counts as gone.
pub const CLAIM_IDLE: Key<Duration> = Key::new(
    "processor.claim_idle",
    "15s",
    "How long an entry stays with a consumer that does not finish it. Lower makes two processors \
     work on the same entries when one is merely slow, which is harmless and costs work; higher \
     delays the events of a killed processor.",
)
.range("1s", "1h");

/// How often to look for entries of others.
pub const CLAIM_INTERVAL: Key<Duration> = Key::new(
    "processor.claim_interval",
    "5s",
    "Wait between two passes over the pending entries of others.",
)
.range("50ms", "10m");

/// How long a read waits.
pub const READ_BLOCK: Key<Duration> = Key::new(
    "processor.read_block",
    "500ms",
    "Longest wait of one read for new entries. It bounds how long a shutdown waits for the read.",
)
.range("10ms", "10s");

/// How long acknowledged entries stay.
pub const KEPT_AGE: Key<Duration> = Key::new(
    "live.kept_age",
    "30s",
    "How long acknowledged entries stay on the stream for live readers: a reader that was away \
     for less resumes without a gap. Costs Redis memory.",
)
.range("0s", "1h");

/// How many bytes of acknowledged entries stay.
pub const KEPT_BYTES: Key<ByteSize> = Key::new(
    "live.kept_bytes",
    "64MiB",
    "Bytes of acknowledged entries that stay on one partition's stream at most.",
)
.range("0B", "16GiB");

/// How many dead letters there may be.
pub const DEAD_LETTERS_MAX_EVENTS: Key<NonZeroU64> = Key::new(
    "dead_letters.max_events",
    "1000000",
    "Dead letters that are kept at most. At the cap reading pauses and what cannot be stored stays \
     pending until there is room: nothing is thrown away. Higher costs disk space in MongoDB.",
);

/// How many bytes of dead letters there may be.
pub const DEAD_LETTERS_MAX_BYTES: Key<ByteSize> = Key::new(
    "dead_letters.max_bytes",
    "1GiB",
    "Bytes of dead letters that are kept at most, uncompressed; see `dead_letters.max_events`.",
)
.range("1KiB", "1024GiB");

/// The secondary indexes.
pub const INDEXES: Key<Vec<Index>> = Key::new(
    "storage.indexes",
    "type,user",
    "Secondary indexes of the collection `events`: `type`, `user`, `session`, or none. Each costs \
     MongoDB 2 to 4 CPU seconds per million events and serves the lists by that field. Indexes \
     that exist already are not dropped.",
);

/// Whether users and sessions are sketched.
pub const SKETCHES: Key<SketchMode> = Key::new(
    "processor.sketches",
    "on",
    "Whether unique users and sessions and top users are sketched for `/analytics`. `off` saves up \
     to 0.3 CPU seconds per million events, and keeps user ids out of Redis, where those of top \
     users are kept for 8 days.",
);

/// See [`SKETCHES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SketchMode {
    /// They are.
    On,
    /// They are not.
    Off,
}

impl Choice for SketchMode {
    const CHOICES: &'static [(&'static str, Self)] = &[("on", Self::On), ("off", Self::Off)];
}

/// The keys that are the processor's own, for the reference.
pub const KEYS: &[&dyn AnyKey] = &[
    &ADMIN_LISTEN,
    &NAME,
    &BULK_EVENTS,
    &BULKS_IN_FLIGHT,
    &INSERT_DEADLINE,
    &CLAIM_IDLE,
    &CLAIM_INTERVAL,
    &READ_BLOCK,
    &SKETCHES,
    &KEPT_AGE,
    &KEPT_BYTES,
    &DEAD_LETTERS_MAX_EVENTS,
    &DEAD_LETTERS_MAX_BYTES,
    &INDEXES,
    &IDENTITY_MODE,
    &SALT_BITS,
];

/// The resolved configuration.
#[derive(Debug, Clone)]
pub struct ProcessorConfig {
    /// The admin port.
    pub admin: AdminConfig,
    /// Redis.
    pub redis: RedisConfig,
    /// MongoDB.
    pub mongo: MongoConfig,
    /// Logs.
    pub log: LogConfig,
    /// What it runs on.
    pub runtime: RuntimeConfig,
    /// How to end.
    pub shutdown: ShutdownConfig,
    /// See [`NAME`].
    pub name: Option<String>,
    /// See [`BULK_EVENTS`], [`BULKS_IN_FLIGHT`].
    pub bulk: BulkLimits,
    /// See [`INSERT_DEADLINE`].
    pub insert_deadline: Duration,
    /// See [`CLAIM_IDLE`].
    pub claim_idle: Duration,
    /// See [`CLAIM_INTERVAL`].
    pub claim_interval: Duration,
    /// See [`READ_BLOCK`].
    pub read_block: Duration,
    /// See [`SKETCHES`].
    pub sketches: SketchMode,
    /// See [`KEPT_AGE`].
    pub kept_age: Duration,
    /// See [`KEPT_BYTES`].
    pub kept_bytes: u64,
    /// See [`DEAD_LETTERS_MAX_EVENTS`], [`DEAD_LETTERS_MAX_BYTES`].
    pub dead_letters: DeadLetterLimits,
    /// See [`INDEXES`].
    pub indexes: Vec<Index>,
    /// What fixes identity.
    pub identity: IdentityConfig,
}

impl ProcessorConfig {
    /// The fingerprint of the identity frames must have been made under.
    pub fn fingerprint(&self) -> u32 {
        self.identity.fingerprint()
    }
}

/// Sections of which the processor knows all keys.
const SECTIONS: &[&str] = &[
    "admin",
    "redis",
    "mongo",
    "log",
    "runtime",
    "shutdown",
    "auth",
    "dedupe",
    "storage",
    "processor",
    "live",
    "dead_letters",
];

/// Bytes of documents in one insert command: MongoDB drops a connection that sends 48 MB.
const BULK_BYTES: usize = 8 << 20;

/// Bulks that go with what is there: one is stored while the next one is filled.
const EAGER_BULKS: usize = 2;

/// Fewer events than that wait for the bulk in flight, some 5 ms, rather than be one themselves.
const EAGER_EVENTS: usize = 128;

impl ServiceConfig for ProcessorConfig {
    fn read(source: &mut Source) -> Self {
        source.own_sections(SECTIONS);
        let admin = AdminConfig::read(source, &ADMIN_LISTEN);
        AuthConfig::read(source, &[(ADMIN_LISTEN.name, admin.listen)]);
        let in_flight = source.get(&BULKS_IN_FLIGHT).get();
        let config = Self {
            admin,
            redis: RedisConfig::read(source),
            mongo: MongoConfig::read(source),
            log: LogConfig::read(source),
            runtime: RuntimeConfig::read(source),
            shutdown: ShutdownConfig::read(source),
            name: source.get(&NAME),
            bulk: BulkLimits {
                events: source.get(&BULK_EVENTS).get(),
                bytes: BULK_BYTES,
                eager: EAGER_BULKS.min(in_flight),
                eager_events: EAGER_EVENTS,
                in_flight,
            },
            insert_deadline: source.get(&INSERT_DEADLINE),
            claim_idle: source.get(&CLAIM_IDLE),
            claim_interval: source.get(&CLAIM_INTERVAL),
            read_block: source.get(&READ_BLOCK),
            sketches: source.get(&SKETCHES),
            kept_age: source.get(&KEPT_AGE),
            kept_bytes: source.get(&KEPT_BYTES).as_u64(),
            dead_letters: DeadLetterLimits {
                events: source.get(&DEAD_LETTERS_MAX_EVENTS).get(),
                bytes: source.get(&DEAD_LETTERS_MAX_BYTES).as_u64(),
            },
            indexes: source.get(&INDEXES),
            identity: identity(source),
        };
        if config.insert_deadline >= config.claim_idle {
            source.problem(
                INSERT_DEADLINE.name,
                "is not below processor.claim_idle: entries would be claimed while they are still \
                 being stored; lower it or raise processor.claim_idle",
            );
        }
        config
    }

    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn runtime(&self) -> RuntimeConfig {
        self.runtime
    }

    fn shutdown(&self) -> ShutdownConfig {
        self.shutdown
    }

    fn admin(&self) -> AdminConfig {
        self.admin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProcessorConfig, String> {
        let mut source = Source::from_text(text, &[]).map_err(|problems| problems.to_string())?;
        let config = ProcessorConfig::read(&mut source);
        source
            .finish(config)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        assert_eq!(
            evp_shared::config::check_defaults(KEYS),
            Vec::<String>::new()
        );
        let config = read("").unwrap();
        assert_eq!((config.bulk.events, config.bulk.bytes), (2_000, 8 << 20));
        assert_eq!(config.indexes, [Index::Type, Index::User]);
        assert_eq!(read("[storage]\nindexes = []").unwrap().indexes, []);
    }

    #[test]
    fn an_insert_that_outlasts_the_claim_idle_time_is_refused() {
        let problem = read("[processor]\ninsert_deadline = \"20s\"").unwrap_err();
        assert!(problem.contains("processor.insert_deadline"), "{problem}");
    }
}
