//! The only speaker of stream commands: greets a partition, appends frames, reads them as a
//! member of the consumer group, and commits them.
//!
//! Every step is safe to repeat. Appending and committing are scripts that refuse to write when
//! Redis lives another *life* than the caller knows ([`life`]); why, and what follows from it, is
//! in docs/ARCHITECTURE.md.

mod access;
pub mod append;
pub mod commit;
pub mod counts;
pub mod entry;
mod erase;
pub mod follow;
pub mod group;
mod identity;
pub mod life;
pub mod look;
pub mod members;
mod notices;
mod quota;
mod replicated;
mod reply;
pub mod sketches;
mod storage;
pub mod tenant_counts;
pub mod uncommitted;
mod usage;
pub mod verify;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, LuaInterface};
use fred::prelude::{Error as RedisError, ErrorKind, Value};
use fred::types::config::Options;
use fred::types::scripts::Script;

use crate::counters::TypeCaps;
use crate::keys::{Keys, PartitionKeys};
use replicated::Replicated;

pub use access::{AccessHead, Said};
pub use append::AppendError;
pub use commit::{Commit, Committed, EntryAck, KeptWindow, Settle};
pub use counts::{Bucket, Totals};
pub use entry::{Entry, EntryId};
pub use follow::{FollowLimits, Followed};
pub use group::{ClaimStep, Claimed, GroupReader, PendingSummary};
pub use life::{Hello, Life, Made, ProducerState, Registration};
pub use look::{ConsumerState, PartitionState};
pub use notices::NoticesLease;
pub use quota::QuotaAsk;
pub use sketches::{SketchBucket, SketchUpdate};
pub use storage::StorageSaid;
pub use tenant_counts::TypeCounts;
pub use uncommitted::Uncommitted;
pub use usage::{USAGE_HOURS, UsageCounts};
pub use verify::{CountHash, FoundCounts, SetCounts};

/// Longest a command may take before its outcome counts as unknown. Above the connection's own
/// limit, which closes a silent socket: this is the net under it, for a command that is lost with
/// its connection is answered by nobody.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// Why Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Redis lives another life than the caller knows; nothing was written. Say hello first.
    #[error("redis lives another life than the caller knows")]
    NewLife,
    /// The stream or its group is missing; nothing was done. Say hello first.
    #[error("the stream or its group is missing")]
    NoGroup,
    /// Nothing was sent, because there is no connection.
    #[error("not connected to redis")]
    NotConnected,
    /// Redis answered, and the answer is that it did not do it.
    #[error("redis refused")]
    Refused {
        /// What Redis said.
        #[source]
        source: RedisError,
    },
    /// A key of EVP's holds something else; nothing was written.
    #[error("key {key} holds another type than EVP keeps there")]
    WrongType {
        /// The key.
        key: String,
    },
    /// No answer came: it may have been done or not.
    #[error("no answer from redis")]
    Unknown {
        /// What went wrong, unless time ran out.
        #[source]
        source: Option<RedisError>,
    },
    /// It was done, and no replica has it yet.
    #[error("no replica has it")]
    NotReplicated,
    /// An answer EVP does not understand.
    #[error("unexpected answer from redis: {found}")]
    Protocol {
        /// What was found.
        found: String,
    },
}

impl StreamError {
    /// Whether saying hello is what is to be done next.
    pub fn wants_hello(&self) -> bool {
        matches!(self, Self::NewLife | Self::NoGroup)
    }

    pub(crate) fn protocol(found: impl Into<String>) -> Self {
        Self::Protocol {
            found: found.into(),
        }
    }
}

impl From<RedisError> for StreamError {
    fn from(source: RedisError) -> Self {
        if source.details().starts_with("NOGROUP") {
            return Self::NoGroup;
        }
        if is_refusal(&source) {
            Self::Refused { source }
        } else {
            Self::Unknown {
                source: Some(source),
            }
        }
    }
}

/// Whether `error` is an answer of the server, so that the command is known not to have run.
///
/// Redis' error replies begin with a word in capitals. fred's own errors carry other kinds or
/// texts, and count as unknown.
fn is_refusal(error: &RedisError) -> bool {
    let word = error.details().split([' ', ':']).next().unwrap_or_default();
    let from_server = matches!(
        error.kind(),
        ErrorKind::Unknown
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidCommand
            | ErrorKind::Auth
            | ErrorKind::Cluster
    );
    from_server
        && word.len() >= 3
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

type Lua = LazyLock<Script>;

static ACCESS: Lua = Lua::new(|| Script::from_lua(include_str!("stream/access.lua")));
static APPEND: Lua = Lua::new(|| Script::from_lua(include_str!("stream/append.lua")));
static HELLO: Lua = Lua::new(|| Script::from_lua(include_str!("stream/hello.lua")));
static COMMIT: Lua = Lua::new(|| Script::from_lua(include_str!("stream/commit.lua")));
static LEASE: Lua = Lua::new(|| Script::from_lua(include_str!("stream/lease.lua")));
static LEAVE: Lua = Lua::new(|| Script::from_lua(include_str!("stream/leave.lua")));
static FOLLOW: Lua = Lua::new(|| Script::from_lua(include_str!("stream/follow.lua")));
static NOTICES: Lua = Lua::new(|| Script::from_lua(include_str!("stream/notices.lua")));
static SKETCH: Lua = Lua::new(|| Script::from_lua(include_str!("stream/sketch.lua")));
static REPLACE_SKETCH: Lua =
    Lua::new(|| Script::from_lua(include_str!("stream/replace_sketch.lua")));
static SWEEP: Lua = Lua::new(|| Script::from_lua(include_str!("stream/sweep.lua")));
static READ_COUNTS: Lua = Lua::new(|| Script::from_lua(include_str!("stream/read_counts.lua")));
static SET_COUNTS: Lua = Lua::new(|| Script::from_lua(include_str!("stream/set_counts.lua")));

/// The stream commands of one deployment over one connection that is never blocked by a read.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
    keys: Keys,
    partitions: Arc<[PartitionKeys]>,
    /// Where set, appends go this way.
    replicated: Option<Replicated>,
    caps: TypeCaps,
}

impl Stream {
    /// Speaks for `partitions` partitions of the deployment named by `keys`.
    pub fn new(client: Client, keys: &Keys, partitions: u16) -> Self {
        Self {
            client,
            keys: keys.clone(),
            partitions: (0..partitions)
                .map(|partition| keys.partition(partition))
                .collect(),
            replicated: None,
            caps: TypeCaps::default(),
        }
    }

    /// Lets an append succeed only when a replica has it within `patience`; `client` is a
    /// connection that nothing else uses.
    #[must_use]
    pub fn replicated(mut self, client: Client, patience: Duration) -> Self {
        self.replicated = Some(Replicated { client, patience });
        self
    }

    /// The connection, for the commands that are no stream commands.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How many types of each tenant its scripts count by name.
    pub fn caps(&self) -> &TypeCaps {
        &self.caps
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u16 {
        u16::try_from(self.partitions.len()).unwrap_or(u16::MAX)
    }

    /// The keys of `partition`.
    ///
    /// # Errors
    /// [`StreamError::Protocol`] when there is no such partition.
    pub fn keys(&self, partition: u16) -> Result<&PartitionKeys, StreamError> {
        self.partitions
            .get(usize::from(partition))
            .ok_or_else(|| StreamError::protocol(format!("partition {partition} does not exist")))
    }

    /// Runs a script once; loads it first when the server does not know it.
    async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<Vec<Value>, StreamError> {
        if !self.client.is_connected() {
            return Err(StreamError::NotConnected);
        }
        let client = self.client.with_options(&once());
        let call = async {
            let first: Result<Value, RedisError> = client
                .evalsha(script.sha1().clone(), keys.clone(), args.clone())
                .await;
            match first {
                Err(error) if error.details().starts_with("NOSCRIPT") => {
                    let source = script.lua().cloned().unwrap_or_default();
                    client.eval(source, keys, args).await
                }
                other => other,
            }
        };
        reply::array(answered(call).await?)
    }

    /// As [`run`](Self::run), for what appends.
    async fn run_append(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<Vec<Value>, StreamError> {
        let Some(replicated) = &self.replicated else {
            return self.run(script, keys, args).await;
        };
        if !replicated.client.is_connected() {
            return Err(StreamError::NotConnected);
        }
        reply::array(answered(replicated.run(script, keys, args)).await?)
    }
}

/// Scripts and reads are sent once: their caller knows what a lost answer means.
fn once() -> Options {
    Options {
        max_attempts: Some(1),
        fail_fast: true,
        ..Options::default()
    }
}

/// Waits for the answer to a command or a script, within a bound.
async fn answered<T, E: Into<StreamError>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, StreamError> {
    // fred's futures are large, and a timeout holds its own twice.
    match tokio::time::timeout(ANSWER_DEADLINE, Box::pin(call)).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(StreamError::Unknown { source: None }),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
