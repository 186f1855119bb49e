//! `[redis]`

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::value::{Value, wrong};
use super::{SecretUrl, Source};

crate::config_section! {
    /// How to reach Redis, and what is expected of it.
    pub struct RedisConfig: keys(source) in "redis" {
        /// Address of Redis; `rediss://` for TLS. A cluster and Sentinels are refused: what the
        /// server keeps is asked of one node and has to hold for all that is written. `REDIS_URL`
        /// in the environment sets it too.
        url: SecretUrl = "redis://127.0.0.1:6379";
        /// What every key begins with. Services that belong together need the same one; two
        /// installations on one Redis need different ones. Changing it leaves the backlog behind.
        key_prefix: KeyPrefix = "evp";
        /// Number of streams; the same for all services. 1 is right for one Redis. More cost memory
        /// and round trips. To raise it, restart with the new number all processors, then the
        /// aggregators, then ingest: what is on a partition that no processor reads is not stored.
        /// Never lower it.
        partitions: NonZeroU16 = "1", "1"..="1024";
        /// What `202` promises: `fsync` is on disk, `replicated` also in the memory of a replica,
        /// `everysec` loses up to two seconds with the machine, `memory` loses everything with
        /// Redis. A Redis that promises less is refused. Weaker is faster; `replicated` adds a
        /// round trip between the servers to every append and refuses events while no replica
        /// follows.
        durability: Durability = "fsync";
        /// Longest time for one attempt to connect. Lower fails on slow networks; higher notices a
        /// dead host later.
        connect_timeout: Duration = "3s", "100ms"..="1m";
        /// Longest time for one command, after which its outcome is unknown and it is repeated.
        /// Lower repeats work while Redis rewrites its log; higher keeps clients waiting for a hung
        /// Redis.
        command_timeout: Duration = "5s", "100ms"..="1m";
        /// PEM file of the authority that signed the certificate of a `rediss://` server. Without
        /// it the public authorities are trusted.
        ca_file: Option<PathBuf> = "";
    }
}

crate::choices! {
    /// What an acknowledged event survives; named as in the configuration and in the header
    /// `evp-durability`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Durability {
        /// Written and fsynced before the answer: `appendfsync always`.
        Fsync = "fsync",
        /// Fsynced, and received by a replica (WAIT).
        Replicated = "replicated",
        /// Fsynced within about a second: `appendfsync everysec`.
        Everysec = "everysec",
        /// Kept in memory only.
        Memory = "memory",
    }
}

/// What all keys begin with; 1 to 64 of `a-z 0-9 : _ -`, so it can hold no hash tag of its own.
#[derive(Debug, Clone)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The prefix, without the colon that follows it in a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for KeyPrefix {
    const KIND: &'static str = "1 to 64 of `a-z0-9:_-`";

    fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let like = r#"1 to 64 characters of a-z, 0-9, ":", "_" and "-""#;
        Err(wrong(text, like))
    }
}

impl RedisConfig {
    /// The server at `url`, waited for no longer than `timeout`, for tools and tests.
    pub fn at(url: impl Into<String>, timeout: Duration) -> Self {
        Self {
            url: SecretUrl::new(url),
            connect_timeout: timeout,
            command_timeout: timeout,
            ..Self::keys(&mut Source::default())
        }
    }

    /// Reads the section.
    pub fn read(source: &mut Source) -> Self {
        let config = Self::keys(source);
        match config.url.scheme() {
            "redis" | "rediss" => {}
            scheme if scheme.ends_with("-cluster") || scheme.ends_with("-sentinel") => {
                let problem = "names a cluster or Sentinels, which cannot be used yet: write \
                               redis://host:6379 with the one server, or an address that follows it";
                source.problem("redis.url", problem);
            }
            _ => source.problem("redis.url", "is no Redis URL: write redis://host:6379"),
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_server_is_asked_what_it_keeps() {
        let table = [
            ("redis://h:1", None),
            ("rediss://h:1", None),
            ("redis-cluster://h:1", Some("names a cluster")),
            ("rediss-cluster://h:1", Some("names a cluster")),
            ("valkeys-cluster://h:1", Some("names a cluster")),
            ("redis-sentinel://h:1", Some("names a cluster or Sentinels")),
            ("http://h:1", Some("is no Redis URL")),
        ];
        for (url, expected) in table {
            let mut source = Source::from_text("", &[("REDIS_URL", url)]).unwrap();
            let config = RedisConfig::read(&mut source);
            let problem = source.finish(config).err().map(|found| found.to_string());
            assert_eq!(problem.is_some(), expected.is_some(), "{url}: {problem:?}");
            let told = |text: &String| {
                text.contains("redis.url") && text.contains(expected.unwrap_or_default())
            };
            assert!(problem.as_ref().is_none_or(told), "{url}: {problem:?}");
        }
    }

    #[test]
    fn key_prefixes_hold_no_hash_tag() {
        for good in ["evp", "a", "team-1:evp_x", &"x".repeat(64)] {
            assert!(KeyPrefix::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "Evp", "a{b}", "a b", "ä", &"x".repeat(65)] {
            assert!(KeyPrefix::parse(bad).is_err(), "{bad:?}");
        }
    }
}
