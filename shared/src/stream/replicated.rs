//! Appends that count only when a replica has them: `redis.durability = "replicated"`.
//!
//! WAIT asks about the writes of its own connection, so it travels in one pipeline with the append,
//! over a connection that nothing else uses: whoever shared it would wait too. Where that
//! connection breaks in between, the pipeline fails as a whole, so no answer of WAIT belongs to
//! another connection than the append's.

use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::prelude::{Error as RedisError, Value};
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand};
use fred::util::redis_keyslot;

use super::{StreamError, once};

/// Replicas that must have an append.
const REPLICAS: u64 = 1;

/// The connection for appends, and how long a replica may take.
#[derive(Debug, Clone)]
pub(super) struct Replicated {
    pub(super) client: Client,
    pub(super) patience: Duration,
}

impl Replicated {
    /// Runs a script whose first key is in the slot of all others, and waits for a replica to have
    /// what it wrote.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<Value, StreamError> {
        let by_sha = self.send("EVALSHA", script.sha1(), &keys, &args);
        let (reply, replicas) = match by_sha.await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let source = script.lua().cloned().unwrap_or_default();
                self.send("EVAL", &source, &keys, &args).await?
            }
            other => other?,
        };
        if replicas < REPLICAS {
            return Err(StreamError::NotReplicated);
        }
        Ok(reply)
    }

    /// One pipeline: the script, and WAIT. Returns the reply and the number of replicas: none where
    /// WAIT itself was refused, for then the script has run all the same.
    async fn send(
        &self,
        command: &'static str,
        script: &str,
        keys: &[String],
        args: &[Value],
    ) -> Result<(Value, u64), RedisError> {
        let slot = keys.first().map_or(0, |key| redis_keyslot(key.as_bytes()));
        let named = |name| CustomCommand::new_static(name, ClusterHash::Custom(slot), false);
        let mut call: Vec<Value> = Vec::with_capacity(2 + keys.len() + args.len());
        call.push(script.into());
        call.push(keys.len().to_string().into());
        call.extend(keys.iter().map(|key| Value::from(key.as_str())));
        call.extend_from_slice(args);
        let wait = [REPLICAS.to_string(), self.patience.as_millis().to_string()];
        let pipeline = self.client.pipeline().with_options(&once());
        let _: Value = pipeline.custom(named(command), call).await?;
        let _: Value = pipeline.custom(named("WAIT"), wait.to_vec()).await?;
        let mut replies = pipeline.try_all::<Value>().await.into_iter();
        let reply = replies.next().unwrap_or_else(|| Ok(Value::Null))?;
        let replicas = replies.next().and_then(Result::ok);
        let replicas = replicas.and_then(|replicas| replicas.as_u64()).unwrap_or(0);
        Ok((reply, replicas))
    }
}
