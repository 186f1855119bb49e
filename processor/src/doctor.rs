//! Doctor: whether Redis, MongoDB and this machine are what EVP needs, and what to do if not.
//!
//! Facts are gathered ([`gather`]) and judged ([`judge`]) apart, so that every judgement is tested
//! without a server.

pub mod gather;
pub mod judge;
pub mod spans;

use std::num::NonZeroU64;

use evp_shared::stream::Stream;
use mongodb::Database;

use crate::config::ProcessorConfig;

evp_shared::choices! {
    /// How bad a finding is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Level {
        /// As it should be.
        Pass = "pass",
        /// It cannot be seen from here.
        Unknown = "unknown",
        /// It works, and will hurt.
        Warn = "warn",
        /// EVP's promises do not hold.
        Fail = "fail",
    }
}

evp_shared::choices! {
    /// What is checked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Check {
        /// Redis answers.
        RedisAnswers = "redis_answers",
        /// Its version.
        RedisVersion = "redis_version",
        /// It never evicts.
        RedisEviction = "redis_eviction",
        /// It keeps what `redis.durability` declares.
        RedisPersistence = "redis_persistence",
        /// Its append-only file is being written.
        RedisLog = "redis_log",
        /// A replica follows it, where `redis.durability` needs one.
        RedisReplica = "redis_replica",
        /// Its memory lasts for a while without processors.
        RedisMemory = "redis_memory",
        /// Its disk.
        RedisDisk = "redis_disk",
        /// Its clock.
        RedisClock = "redis_clock",
        /// Whose events it holds.
        RedisIdentity = "redis_identity",
        /// MongoDB answers.
        MongoAnswers = "mongo_answers",
        /// Its version.
        MongoVersion = "mongo_version",
        /// A majority takes writes.
        MongoWriteConcern = "mongo_write_concern",
        /// Its disk.
        MongoDisk = "mongo_disk",
        /// Its clock.
        MongoClock = "mongo_clock",
        /// Whose events it holds.
        MongoIdentity = "mongo_identity",
        /// The indexes of the newest span.
        MongoIndexes = "mongo_indexes",
        /// The shard key of the newest span.
        MongoShardKey = "mongo_shard_key",
        /// Spans and collections are the same, and no erasure is half done.
        Spans = "spans",
        /// Spans have the indexes they are to have.
        SpanIndexes = "span_indexes",
        /// The indexes that events come into, beside mongod's cache.
        SpanCache = "span_cache",
        /// Types of tenants, beside mongod's cache.
        TenantTypes = "tenant_types",
        /// Spans that ended are sealed.
        SpansSealed = "spans_sealed",
        /// Spans that are to end do.
        SpansEnding = "spans_ending",
        /// Files mongod may have open.
        MongoOpenFiles = "mongo_open_files",
    }
}

impl Check {
    /// Whether a processor must not start while it fails: what else fails may pass by itself.
    pub const fn refuses_start(self) -> bool {
        matches!(
            self,
            Self::RedisVersion
                | Self::RedisEviction
                | Self::RedisPersistence
                | Self::RedisIdentity
                | Self::MongoVersion
                | Self::MongoIdentity
                | Self::MongoIndexes
                | Self::MongoShardKey
        )
    }

    fn pass(self, found: impl Into<String>) -> Finding {
        self.finding(Level::Pass, found, "")
    }

    fn unknown(self, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Level::Unknown, found, fix)
    }

    fn warn(self, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Level::Warn, found, fix)
    }

    fn fail(self, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Level::Fail, found, fix)
    }

    fn finding(self, level: Level, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding {
            check: self,
            level,
            found: found.into(),
            fix: fix.into(),
        }
    }
}

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub fix: String,
}

/// The worst of `findings`.
pub fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Pass)
}

/// Checks everything; `rate` is the events per second to expect.
pub async fn examine(
    config: &ProcessorConfig,
    stream: anyhow::Result<Stream>,
    database: anyhow::Result<Database>,
    rate: NonZeroU64,
) -> Vec<Finding> {
    let both = stream.as_ref().ok().zip(database.as_ref().ok());
    let spans = match both {
        Some((stream, database)) => spans::gather(stream, database).await.ok(),
        None => None,
    };
    // What does not answer is a finding of its own.
    let spans = spans.map(|facts| judge::spans(config, &facts));
    let redis = async { gather::redis(config, &stream?).await };
    let redis = match redis.await {
        Ok(facts) => judge::redis(config, &facts, rate),
        Err(error) => vec![judge::no_redis(&error)],
    };
    let mongo = async { gather::mongo(&database?, gather::Probe::Write).await };
    let mongo = match mongo.await {
        Ok(facts) => judge::mongo(config, &facts),
        Err(error) => vec![judge::no_mongo(&error)],
    };
    [redis, mongo, spans.unwrap_or_default()].concat()
}

/// Checks what is cheap to check, for a processor that starts; what does not answer is left out.
pub async fn at_start(
    config: &ProcessorConfig,
    stream: &Stream,
    database: &Database,
) -> Vec<Finding> {
    let redis = gather::redis(config, stream).await;
    let mongo = gather::mongo(database, gather::Probe::Nothing).await;
    let redis = redis.map(|facts| judge::redis(config, &facts, judge::RATE));
    let mongo = mongo.map(|facts| judge::mongo(config, &facts));
    [redis, mongo].into_iter().flatten().flatten().collect()
}
