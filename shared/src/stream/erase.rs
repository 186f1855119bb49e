//! Taking a person out of what Redis holds beside the stream itself.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike, HashesInterface, KeysInterface, ListInterface};
use fred::prelude::Value;
use fred::types::{ClusterHash, CustomCommand};

use super::{
    Commit, FollowLimits, KeptWindow, REPLACE_SKETCH, Stream, StreamError, answered, reply,
};
use crate::keys::SketchKind;
use crate::sketch::TopItems;

/// Keys that one step of a walk over all keys looks at.
const KEYS_A_STEP: &str = "1000";

/// How long an erasure is counted, in s: far longer than a processor is without a look.
const ERASURES_KEPT: i64 = 3_600;

/// How often a sketch is read again that was written meanwhile: it is once a second.
const ATTEMPTS: usize = 5;

impl Stream {
    /// What changes with every erasure, and when there was none for long.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn erasures(&self) -> Result<Option<String>, StreamError> {
        answered(self.client.get(self.keys.erasures())).await
    }

    /// Tells processors to begin their sketches of top users anew, and to leave what they wrote.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn begin_sketches_anew(&self) -> Result<(), StreamError> {
        let key = self.keys.erasures();
        let _: i64 = answered(self.client.incr(&key)).await?;
        let _: i64 = answered(self.client.expire(&key, ERASURES_KEPT, None)).await?;
        Ok(())
    }

    /// How many sketches of top users of `tenant` name `user`; where `erases`, they do not any
    /// more. Those of running processors have to be begun anew before.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn top_users_naming(
        &self,
        tenant: &str,
        user: &str,
        erases: bool,
    ) -> Result<u64, StreamError> {
        let start = self.keys.sketches(SketchKind::TopUsers);
        let pattern = format!("{}*", glob(&start));
        let (mut cursor, mut naming) = ("0".to_owned(), 0);
        loop {
            let command = CustomCommand::new_static("SCAN", ClusterHash::Random, false);
            let args = [&*cursor, "MATCH", &*pattern, "COUNT", KEYS_A_STEP].map(str::to_owned);
            let step = answered(self.client.custom(command, args.to_vec())).await?;
            let (next, keys): (String, Vec<String>) = step;
            for key in keys {
                let rest = key.strip_prefix(&start).unwrap_or_default();
                if rest.splitn(3, ':').nth(2) == Some(tenant) {
                    naming += self.sketches_naming(&key, user, erases).await?;
                }
            }
            if next == "0" {
                return Ok(naming);
            }
            cursor = next;
        }
    }

    async fn sketches_naming(
        &self,
        key: &str,
        user: &str,
        erases: bool,
    ) -> Result<u64, StreamError> {
        let fields: HashMap<String, Bytes> = answered(self.client.hgetall(key)).await?;
        let mut naming = 0;
        for (field, mut found) in fields {
            for _ in 0..ATTEMPTS {
                let sketch = TopItems::decode(&found);
                let Some(without) = sketch.and_then(|sketch| sketch.without(user)) else {
                    break;
                };
                let without = Bytes::from(without.encode());
                if !erases || self.replace_sketch(key, &field, found, without).await? {
                    naming += 1;
                    break;
                }
                let anew: Option<Bytes> = answered(self.client.hget(key, &*field)).await?;
                found = anew.unwrap_or_default();
            }
        }
        Ok(naming)
    }

    async fn replace_sketch(
        &self,
        key: &str,
        field: &str,
        old: Bytes,
        new: Bytes,
    ) -> Result<bool, StreamError> {
        let args: Vec<Value> = vec![field.into(), old.into(), new.into()];
        let reply = self
            .run(&REPLACE_SKETCH, vec![key.to_owned()], args)
            .await?;
        Ok(reply::parse::<u64>(&mut reply.into_iter())? == 1)
    }

    /// How many entries of `partition` are kept for live readers.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn kept_entries(&self, partition: u16) -> Result<u64, StreamError> {
        let key = self.keys(partition)?.kept.clone();
        answered(self.client.llen(key)).await
    }

    /// Takes all entries off the stream of `partition` that are kept for live readers; returns how
    /// many they were.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn empty_kept_window(&self, partition: u16) -> Result<u64, StreamError> {
        if self.kept_entries(partition).await? == 0 {
            return Ok(0);
        }
        let nothing = FollowLimits {
            entries: 0,
            bytes: 0,
        };
        let found = self.follow(partition, Bound::Unbounded, nothing).await?;
        let life = found.life;
        let tick = Commit {
            life,
            entries: &[],
            settles: &[],
            kept: KeptWindow {
                age: Duration::ZERO,
                bytes: 0,
                none: true,
            },
        };
        let mut dropped = 0;
        loop {
            let done = self.commit(partition, &tick).await?;
            dropped += done.dropped;
            if done.dropped == 0 {
                return Ok(dropped);
            }
        }
    }
}

/// `text` as a pattern of Redis that matches nothing else.
fn glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(glob("evp:{sketch}:"), "evp:{sketch}:");
        assert_eq!(glob("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
    }
}
