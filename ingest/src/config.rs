//! The configuration of ingest.

mod keys;

use std::time::Duration;

use evp_shared::config::{
    AdminConfig, AuthConfig, ByteSize, Durability, LogConfig, RedisConfig, RuntimeConfig,
    ServerConfig, ShutdownConfig, Source, identity,
};
use evp_shared::event::EventRules;
use evp_shared::event::id::IdentityConfig;
use evp_shared::frame::Codec;
use evp_shared::http::body::BodyLimits as WireLimits;
use evp_shared::service::ServiceConfig;

pub use self::keys::{
    ADMIN_LISTEN, APPEND_DEADLINE, APPEND_IN_FLIGHT, APPEND_REPLAY_BYTES, APPEND_REPLAY_WINDOW,
    BACKLOG_BYTES, BACKLOG_EVENTS, BODY_BYTES, BODY_DECODED_BYTES, BODY_EVENTS, BODY_IDLE,
    BODY_TOTAL, CORS_ORIGINS, EVENT_BYTES, EVENT_DEPTH, FRAME_BYTES, FRAME_CODEC, FRAME_EVENTS,
    HTTP2, Http2Mode, IN_FLIGHT_BYTES, KEYS, MEMORY_SHARE, SERVER_LISTEN, UNKNOWN_FIELDS,
};
use crate::admission::AdmissionLimits;
use crate::append::frames::{FrameLimits, HeldLimits};
use crate::decode::BodyLimits;

/// Sections of which ingest knows all keys.
const SECTIONS: &[&str] = &[
    "server", "admin", "redis", "log", "runtime", "shutdown", "auth", "dedupe", "ingest",
];
/// Frames of one call, together: bounds what one script holds Redis up for.
const CALL_BYTES: usize = 4 * 1024 * 1024;
/// How long acknowledged frames are held where Redis may forget them.
const REPLAY_WINDOW: Duration = Duration::from_secs(5);
/// A request that waited this share of its deadline for its turn shows that appends are too slow.
const APPEND_WAIT_SHARE: u32 = 2;

/// Everything that is configured, checked and resolved.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The public port.
    pub server: ServerConfig,
    /// The admin port.
    pub admin: AdminConfig,
    /// Who may use the service.
    pub auth: AuthConfig,
    /// Redis.
    pub redis: RedisConfig,
    /// Logs.
    pub log: LogConfig,
    /// What it runs on.
    pub runtime: RuntimeConfig,
    /// Draining.
    pub shutdown: ShutdownConfig,
    /// Whether HTTP/2 is spoken as well.
    pub http2: Http2Mode,
    /// Origins whose pages may send events.
    pub cors_origins: Vec<String>,
    /// What a body may cost on the wire.
    pub wire: WireLimits,
    /// What one request may be.
    pub body: BodyLimits,
    /// What one event may be.
    pub rules: EventRules,
    /// What makes two events one.
    pub identity: IdentityConfig,
    /// What a frame may be.
    pub frame: FrameLimits,
    /// How frames are compressed.
    pub codec: Codec,
    /// Appends under way at once.
    pub appends_in_flight: usize,
    /// How long a request may wait for its append.
    pub append_deadline: Duration,
    /// What is held for a Redis that forgets.
    pub held: HeldLimits,
    /// From where on requests are refused.
    pub admission: AdmissionLimits,
}

impl ServiceConfig for IngestConfig {
    fn read(source: &mut Source) -> Self {
        source.own_sections(SECTIONS);
        let server = ServerConfig::read(source, &SERVER_LISTEN);
        let admin = AdminConfig::read(source, &ADMIN_LISTEN);
        let listeners = [
            (SERVER_LISTEN.name, server.listen),
            (ADMIN_LISTEN.name, admin.listen),
        ];
        let redis = RedisConfig::read(source);
        let append_deadline = source.get(&APPEND_DEADLINE);
        let config = Self {
            server,
            admin,
            auth: AuthConfig::read(source, &listeners),
            log: LogConfig::read(source),
            runtime: RuntimeConfig::read(source),
            shutdown: ShutdownConfig::read(source),
            http2: source.get(&HTTP2),
            cors_origins: source.get(&CORS_ORIGINS),
            wire: WireLimits {
                wire_bytes: size(source, &BODY_BYTES),
                idle: source.get(&BODY_IDLE),
                total: source.get(&BODY_TOTAL),
            },
            body: BodyLimits {
                decoded_bytes_max: size(source, &BODY_DECODED_BYTES),
                events_max: source.get(&BODY_EVENTS),
            },
            rules: EventRules {
                bytes_max: size(source, &EVENT_BYTES),
                depth_max: source.get(&EVENT_DEPTH),
                unknown_fields: source.get(&UNKNOWN_FIELDS),
            },
            identity: identity(source),
            frame: FrameLimits {
                events: source.get(&FRAME_EVENTS),
                bytes: size(source, &FRAME_BYTES),
                call_bytes: CALL_BYTES,
            },
            codec: source.get(&FRAME_CODEC),
            appends_in_flight: source.get(&APPEND_IN_FLIGHT),
            append_deadline,
            held: held_limits(source, redis.durability),
            admission: admission_limits(source, append_deadline),
            redis,
        };
        config.check(source);
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

    fn server(&mut self) -> Option<&mut ServerConfig> {
        Some(&mut self.server)
    }
}

impl IngestConfig {
    fn check(&self, source: &mut Source) {
        if self.frame.bytes < self.rules.bytes_max {
            source.problem(
                FRAME_BYTES.name,
                format!("is less than {}: raise it, or lower that", EVENT_BYTES.name),
            );
        }
        // A compressed body is held together with what comes out of it, and half is for bodies.
        let wire = self.wire.wire_bytes;
        if self.admission.in_flight_bytes < wire + self.body.decoded_bytes_max.max(wire) {
            source.problem(
                IN_FLIGHT_BYTES.name,
                format!(
                    "is less than {} and {} together: raise it, or lower them",
                    BODY_BYTES.name, BODY_DECODED_BYTES.name
                ),
            );
        }
        for origin in &self.cors_origins {
            let has_scheme = origin.starts_with("http://") || origin.starts_with("https://");
            if !has_scheme || origin.ends_with('/') || http::HeaderValue::from_str(origin).is_err()
            {
                source.problem(
                    CORS_ORIGINS.name,
                    format!("has {origin:?}: write scheme, host and port, as https://app.example"),
                );
            }
        }
    }
}

fn size(source: &mut Source, key: &evp_shared::config::Key<ByteSize>) -> usize {
    source.get(key).as_usize()
}

fn held_limits(source: &mut Source, durability: Durability) -> HeldLimits {
    let window = source.get(&APPEND_REPLAY_WINDOW);
    let bytes = size(source, &APPEND_REPLAY_BYTES);
    let by_durability = match durability {
        Durability::Fsync => Duration::ZERO,
        Durability::Replicated | Durability::Everysec | Durability::Memory => REPLAY_WINDOW,
    };
    HeldLimits {
        age: window.unwrap_or(by_durability),
        bytes,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the share lies between 0 and 1"
)]
fn admission_limits(source: &mut Source, append_deadline: Duration) -> AdmissionLimits {
    AdmissionLimits {
        in_flight_bytes: size(source, &IN_FLIGHT_BYTES),
        backlog_events: source.get(&BACKLOG_EVENTS),
        backlog_bytes: source.get(&BACKLOG_BYTES).as_u64(),
        memory_permille: (source.get(&MEMORY_SHARE) * 1_000.0) as u32,
        append_wait: append_deadline / APPEND_WAIT_SHARE,
    }
}

#[cfg(test)]
mod tests {
    use evp_shared::config::{ConfigProblems, check_defaults};

    use super::*;

    fn read(toml: &str) -> Result<IngestConfig, ConfigProblems> {
        let mut source = Source::from_text(toml, &[]).expect("TOML");
        let config = IngestConfig::read(&mut source);
        source.finish(config)
    }

    #[test]
    fn the_defaults_are_those_of_the_design() {
        assert_eq!(check_defaults(KEYS), Vec::<String>::new());
        let config = read("").expect("defaults");
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9180");
        assert_eq!(config.rules, EventRules::default());
        assert_eq!(config.body.events_max, 10_000);
        assert_eq!(config.body.decoded_bytes_max, 16 << 20);
        assert_eq!(config.wire.wire_bytes, 4 << 20);
        assert_eq!(
            (config.frame.events, config.frame.bytes),
            (1_000, 512 << 10)
        );
        assert_eq!(config.admission.in_flight_bytes, 64 << 20);
        assert_eq!(config.held.age, Duration::ZERO);
    }

    #[test]
    fn weaker_durability_holds_frames_for_replay() {
        let config = read("[redis]\ndurability = \"everysec\"").expect("valid");
        assert_eq!(
            config.held,
            HeldLimits {
                age: REPLAY_WINDOW,
                bytes: 32 << 20
            }
        );
        let config = read("[ingest.append]\nreplay_window = \"9s\"").expect("valid");
        assert_eq!(config.held.age, Duration::from_secs(9));
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
