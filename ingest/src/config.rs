//! The configuration of ingest.

use std::time::Duration;

use evp_shared::config::{
    ByteSize, CanaryConfig, Durability, ProcessConfig, RedisConfig, ServerConfig, Source, Value,
    identity,
};
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::{EventRules, UnknownFields};
use evp_shared::frame::Codec;
use evp_shared::http::body::BodyLimits as WireLimits;
use evp_shared::service::ServiceConfig;

use crate::admission::AdmissionLimits;
use crate::append::frames::{FrameLimits, HeldLimits};
use crate::decode::BodyLimits;

/// Frames of one call, together: bounds what one script holds Redis up for.
const CALL_BYTES: usize = 4 * 1024 * 1024;
/// How long acknowledged frames are held where Redis may forget them.
const REPLAY_WINDOW: Duration = Duration::from_secs(5);
/// A request that waited this share of its deadline for its turn shows that appends are too slow.
const APPEND_WAIT_SHARE: u32 = 2;

evp_shared::config_section! {
    /// Everything that is configured, checked and resolved.
    pub struct IngestConfig: keys(source) in "ingest" {
        /// Whether HTTP/2 without TLS (h2c, prior knowledge) is spoken on the public port besides
        /// HTTP/1.1; with TLS a client can have it anyway. It saves connections for clients that have
        /// many small requests at once.
        http2: Http2Mode = "false";
        /// Origins whose pages may send events from a browser, as `https://app.example`; none by
        /// default. A request of any other page is refused, one without an `Origin` is not.
        cors_origins["ingest.cors.origins"]: Vec<String> = "" => reloads;
    } with {
        /// What a body may cost on the wire.
        wire: WireLimits = wire(source);
        /// What one request may be.
        body: BodyLimits = body(source);
        /// What one event may be.
        rules: EventRules = rules(source);
        /// What a frame may be.
        frame: FrameLimits = frame(source);
        /// How frames are made and appended.
        append: AppendConfig = AppendConfig::read(source);
        /// From where on requests are refused.
        admission: AdmissionLimits = admission(source, append.deadline);
        /// Canaries.
        canary: CanaryConfig = CanaryConfig::read(source);
        /// What makes two events one.
        identity: IdentityConfig = identity(source);
        /// Redis.
        redis: RedisConfig = RedisConfig::read(source);
        /// What every service has.
        process: ProcessConfig = ProcessConfig::read(source, "127.0.0.1:9180");
        /// The public port.
        server: ServerConfig = ServerConfig::read(source, "127.0.0.1:8080", process.auth);
    }
}

evp_shared::config_section! {
    fn wire(source) -> WireLimits in "ingest.body" {
        /// Largest body as received. Higher lets one request hold more memory.
        wire_bytes["ingest.body.bytes"]: usize as ByteSize = "4MiB", "1KiB"..="64MiB";
        /// Longest time in which less than 16 KiB a second of a body come; 1 s while bodies that
        /// are not complete hold a quarter of `ingest.admission.in_flight_bytes`. Lower cuts
        /// clients on bad networks.
        idle: Duration = "10s", "100ms"..="5m";
        /// Longest time for a whole body. Higher lets slow clients hold memory.
        total: Duration = "30s", "100ms"..="10m";
    }
}

evp_shared::config_section! {
    fn body(source) -> BodyLimits in "ingest.body" {
        /// Largest body after decompression, and most bytes its events may become. Decoding a body
        /// takes up to 24 times its size for a moment on each worker.
        decoded_bytes_max["ingest.body.decoded_bytes"]: usize as ByteSize
            = "16MiB", "1KiB"..="256MiB";
        /// Most events in one request. A request is appended whole or not at all, in one call to
        /// Redis.
        events_max["ingest.body.events"]: u16 = "10000", "1"..="50000";
    }
}

evp_shared::config_section! {
    fn rules(source) -> EventRules in "ingest" {
        /// Largest event, as BSON. Larger ones make slow bulks.
        bytes_max["ingest.event_bytes"]: usize as ByteSize = "256KiB", "1KiB"..="1MiB";
        /// Deepest nesting of objects and arrays; the event itself is level 1. mongod takes 179.
        depth_max["ingest.event_depth"]: usize = "64", "2"..="150";
        /// What becomes of top-level fields EVP does not know: `reject` rejects the event, `keep`
        /// moves them under `metadata`.
        unknown_fields: UnknownFields = "reject";
    }
}

evp_shared::config_section! {
    fn frame(source) -> FrameLimits in "ingest.frame" {
        /// Most events in one frame. Larger frames cost Redis less and make what is repeated after
        /// a failure larger; each may have a type of its own, and the commit script takes 5,000
        /// counter cells, four of a type.
        events: usize = "1000", "1"..="1250";
        /// Largest frame, uncompressed.
        bytes: usize as ByteSize = "512KiB", "4KiB"..="4MiB";
    } with {
        call_bytes: usize = CALL_BYTES;
    }
}

evp_shared::config_section! {
    /// How frames are made and appended.
    #[derive(Copy)]
    pub struct AppendConfig in "ingest.append" {
        /// Compression of frames: `none`, `lz4` (a third of the memory in Redis) or `zstd` (a
        /// sixth, for more CPU).
        codec["ingest.frame.codec"]: Codec = "lz4";
        /// Appends under way at once; while fewer are, a request is appended at once, else it joins
        /// a growing frame. What Redis receives during one sync of its log, it syncs together: more
        /// of them need fewer syncs. Higher makes frames smaller. With many partitions raise it to
        /// their number.
        in_flight: usize = "4", "1"..="64";
        /// Longest time a request waits for its append before it is answered 503. Higher rides out
        /// longer pauses of Redis and holds more in memory meanwhile.
        deadline: Duration = "5s", "100ms"..="60s";
        /// How long acknowledged frames are held, to be appended again when Redis comes back
        /// without them. By default 0s with `redis.durability = "fsync"`, else 5s.
        replay_window: Option<Duration> = "", "0s"..="5m";
        /// Most bytes held for replay, for each partition.
        replay_bytes: usize as ByteSize = "32MiB", "0B"..="4GiB";
    }
}

evp_shared::config_section! {
    fn admission(source, append_deadline: Duration) -> AdmissionLimits in "ingest.admission" {
        /// Bytes of bodies, of events not yet appended and of large answers not yet sent; beyond it
        /// requests are answered 503. Bodies that are not complete hold half of it at most. At
        /// least `ingest.body.bytes` and `ingest.body.decoded_bytes` together: a compressed body
        /// takes both.
        in_flight_bytes: usize as ByteSize = "64MiB", "1MiB"..="16GiB" => reloads;
        /// Events appended and not yet stored, over all partitions; beyond it requests are answered
        /// 503. Looked at up to five times a second: what comes meanwhile is taken.
        backlog_events: u64 = "20000000", "1"..="100000000000" => reloads;
        /// Their bytes, uncompressed; beyond it requests are answered 503.
        backlog_bytes: u64 as ByteSize = "8GiB", "1MiB"..="1024GiB" => reloads;
        /// Used share of Redis' memory limit from which on requests are answered 503, before Redis
        /// itself refuses.
        memory_permille["ingest.admission.memory_share"]: u32 as Share = "0.9", "0.1"..="1" => reloads;
    } with {
        append_wait: Duration = append_deadline / APPEND_WAIT_SHARE;
    }
}

evp_shared::choices! {
    /// Whether HTTP/2 is spoken as well.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Http2Mode {
        /// HTTP/1.1 only.
        Off = "false",
        /// Both.
        On = "true",
    }
}

/// A part of one, kept in thousandths.
#[derive(PartialEq, PartialOrd)]
struct Share(f64);

impl Value for Share {
    const KIND: &'static str = f64::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        f64::parse(text).map(Self)
    }
}

impl From<Share> for u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the share lies between 0 and 1"
    )]
    fn from(share: Share) -> Self {
        (share.0 * 1_000.0) as Self
    }
}

impl ServiceConfig for IngestConfig {
    fn read(source: &mut Source) -> Self {
        let config = Self::keys(source);
        config.check(source);
        config
    }

    fn process(&self) -> &ProcessConfig {
        &self.process
    }

    fn server(&mut self) -> Option<&mut ServerConfig> {
        Some(&mut self.server)
    }
}

impl IngestConfig {
    /// What is held for a Redis that forgets.
    pub fn held(&self) -> HeldLimits {
        let by_durability = match self.redis.durability {
            Durability::Fsync => Duration::ZERO,
            Durability::Replicated | Durability::Everysec | Durability::Memory => REPLAY_WINDOW,
        };
        HeldLimits {
            age: self.append.replay_window.unwrap_or(by_durability),
            bytes: self.append.replay_bytes,
        }
    }

    fn check(&self, source: &mut Source) {
        if self.frame.bytes < self.rules.bytes_max {
            source.problem(
                "ingest.frame.bytes",
                "is less than ingest.event_bytes: raise it, or lower that",
            );
        }
        // A compressed body is held together with what comes out of it, and half is for bodies.
        let wire = self.wire.wire_bytes;
        if self.admission.in_flight_bytes < wire + self.body.decoded_bytes_max.max(wire) {
            source.problem(
                "ingest.admission.in_flight_bytes",
                "is less than ingest.body.bytes and ingest.body.decoded_bytes together: raise it, \
                 or lower them",
            );
        }
        for origin in &self.cors_origins {
            let has_scheme = origin.starts_with("http://") || origin.starts_with("https://");
            if !has_scheme || origin.ends_with('/') || http::HeaderValue::from_str(origin).is_err()
            {
                source.problem(
                    "ingest.cors.origins",
                    format!("has {origin:?}: write scheme, host and port, as https://app.example"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::config::ConfigProblems;

    use super::*;

    fn read(toml: &str) -> Result<IngestConfig, ConfigProblems> {
        let mut source = Source::from_text(toml, &[]).expect("TOML");
        let config = IngestConfig::read(&mut source);
        source.finish(config)
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        let config = read("").expect("defaults");
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.process.admin.to_string(), "127.0.0.1:9180");
        assert_eq!(config.rules, EventRules::default());
        assert_eq!(config.body.events_max, 10_000);
        assert_eq!(config.body.decoded_bytes_max, 16 << 20);
        assert_eq!(config.wire.wire_bytes, 4 << 20);
        assert_eq!(
            (config.frame.events, config.frame.bytes),
            (1_000, 512 << 10)
        );
        assert_eq!(config.admission.in_flight_bytes, 64 << 20);
        assert_eq!(config.held().age, Duration::ZERO);
    }

    #[test]
    fn weaker_durability_holds_frames_for_replay() {
        let config = read("[redis]\ndurability = \"everysec\"").expect("valid");
        assert_eq!(
            config.held(),
            HeldLimits {
                age: REPLAY_WINDOW,
                bytes: 32 << 20
            }
        );
        let config = read("[ingest.append]\nreplay_window = \"9s\"").expect("valid");
        assert_eq!(config.held().age, Duration::from_secs(9));
    }

    #[test]
    fn the_bytes_in_flight_hold_the_largest_body() {
        let toml = "[ingest.body]\nbytes = \"2MiB\"\ndecoded_bytes = \"6MiB\"\n\
                    [ingest.admission]\nin_flight_bytes = ";
        read(&format!("{toml}\"8MiB\"")).expect("valid");
        let problems = read(&format!("{toml}\"8191KiB\"")).expect_err("refused");
        let [problem] = problems.problems() else {
            panic!("{problems:?}");
        };
        assert_eq!(problem.key, "ingest.admission.in_flight_bytes");
    }

    #[test]
    fn contradictions_are_all_reported() {
        let toml = "[ingest]\nevent_bytes = \"1MiB\"\nunknown_fields = \"drop\"\n\
                    [ingest.cors]\norigins = [\"app.example\"]\n[dedupe]\nidentity = \"x\"\n\
                    [server]\nlisten = \"0.0.0.0:80\"";
        let problems = read(toml).expect_err("refused");
        let keys: Vec<_> = problems
            .problems()
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        for key in [
            "server.listen",
            "ingest.unknown_fields",
            "dedupe.identity",
            "ingest.frame.bytes",
            "ingest.cors.origins",
        ] {
            assert!(keys.contains(&key), "{key} in {keys:?}");
        }
    }
}
