//! Doctor: whether Redis, MongoDB and this machine are what EVP needs, and what to do if not.
//!
//! Facts are gathered ([`gather`]) and judged ([`judge`]) apart, so that every judgement is tested
//! without a server.

pub mod gather;
pub mod judge;

use std::num::NonZeroU64;

use evp_shared::stream::Stream;
use mongodb::Database;

use crate::config::ProcessorConfig;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Pass,
    /// It cannot be seen from here.
    Unknown,
    /// It works, and will hurt.
    Warn,
    /// EVP's promises do not hold.
    Fail,
}

impl Level {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Redis answers.
    RedisAnswers,
    /// Its version.
    RedisVersion,
    /// It never evicts.
    RedisEviction,
    /// It keeps what `redis.durability` declares.
    RedisPersistence,
    /// Its append-only file is being written.
    RedisLog,
    /// A replica follows it, where `redis.durability` needs one.
    RedisReplica,
    /// Its memory lasts for a while without processors.
    RedisMemory,
    /// Its disk.
    RedisDisk,
    /// Its clock.
    RedisClock,
    /// Whose events it holds.
    RedisIdentity,
    /// MongoDB answers.
    MongoAnswers,
    /// Its version.
    MongoVersion,
    /// A majority takes writes.
    MongoWriteConcern,
    /// Its disk.
    MongoDisk,
    /// Its clock.
    MongoClock,
    /// Whose events it holds.
    MongoIdentity,
    /// The indexes of `events`.
    MongoIndexes,
    /// The shard key of `events`.
    MongoShardKey,
}

impl Check {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RedisAnswers => "redis_answers",
            Self::RedisVersion => "redis_version",
            Self::RedisEviction => "redis_eviction",
            Self::RedisPersistence => "redis_persistence",
            Self::RedisLog => "redis_log",
            Self::RedisReplica => "redis_replica",
            Self::RedisMemory => "redis_memory",
            Self::RedisDisk => "redis_disk",
            Self::RedisClock => "redis_clock",
            Self::RedisIdentity => "redis_identity",
            Self::MongoAnswers => "mongo_answers",
            Self::MongoVersion => "mongo_version",
            Self::MongoWriteConcern => "mongo_write_concern",
            Self::MongoDisk => "mongo_disk",
            Self::MongoClock => "mongo_clock",
            Self::MongoIdentity => "mongo_identity",
            Self::MongoIndexes => "mongo_indexes",
            Self::MongoShardKey => "mongo_shard_key",
        }
    }

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
}

impl Check {
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
    stream: Result<Stream, String>,
    database: Result<Database, String>,
    rate: NonZeroU64,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let redis = match &stream {
        Ok(stream) => gather::redis(config, stream).await,
        Err(error) => Err(error.clone()),
    };
    match redis {
        Ok(facts) => findings.extend(judge::redis(config, &facts, rate)),
        Err(error) => findings.push(judge::no_redis(&error)),
    }
    let mongo = match &database {
        Ok(database) => gather::mongo(database, gather::Probe::Write).await,
        Err(error) => Err(error.clone()),
    };
    match mongo {
        Ok(facts) => findings.extend(judge::mongo(config, &facts)),
        Err(error) => findings.push(judge::no_mongo(&error)),
    }
    findings
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
