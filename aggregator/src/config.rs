//! The configuration of the aggregator.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use evp_shared::config::{
    AdminConfig, AnyKey, AuthConfig, ByteSize, Key, LogConfig, MongoConfig, RedisConfig,
    RuntimeConfig, ServerConfig, ShutdownConfig, Source, admin_listen, identity, server_listen,
};
use evp_shared::event::id::IdentityConfig;
use evp_shared::service::ServiceConfig;
use http::Uri;
use http::uri::Authority;

/// The public port.
pub const SERVER_LISTEN: Key<SocketAddr> = server_listen("127.0.0.1:8090");

/// The admin port.
pub const ADMIN_LISTEN: Key<SocketAddr> = admin_listen("127.0.0.1:9182");

/// How long reading events may take.
pub const QUERY_TIME_LIMIT: Key<Duration> = Key::new(
    "aggregator.query.time_limit",
    "2s",
    "Longest time MongoDB may work on one request. A list that runs out of it answers what it has \
     and a cursor to go on. Lower gives shorter pages for filters without an index; higher lets \
     one client keep MongoDB busy for longer.",
)
.range("100ms", "1m");

/// How old a counter in an answer may be.
pub const QUERY_CACHE_TTL: Key<Duration> = Key::new(
    "aggregator.query.cache_ttl",
    "1s",
    "How long counters read from Redis are answered from memory; `asOf` says when they were read. \
     Lower reads Redis more often; higher answers older counts.",
)
.range("10ms", "1m");

/// How many reads of events run at once.
pub const QUERY_CONNECTIONS: Key<NonZeroU32> = Key::new(
    "aggregator.query.connections",
    "32",
    "Connections to MongoDB, which is how many reads run at once; more wait. Lower protects the \
     inserts of a small machine; higher serves more clients.",
)
.range("1", "1000");

/// How many clients the live stream has.
pub const STREAM_CLIENTS: Key<NonZeroU32> = Key::new(
    "aggregator.stream.clients",
    "2500",
    "Clients of the live stream; one more is answered 503. Each costs a connection and about \
     30 KiB. Keep it below `server.connections`, or queries find no room.",
)
.range("1", "100000");

/// How much of the live stream is at hand.
pub const STREAM_BUFFER: Key<ByteSize> = Key::new(
    "aggregator.stream.buffer",
    "8MiB",
    "Memory for the newest events, which all clients of the live stream share. A client that is \
     slower than they leave it misses events, and is told how many. Lower makes more clients too \
     slow at high rates; higher costs memory while somebody watches.",
)
.range("1MiB", "1GiB");

/// Where browsers reach ingest.
pub const INGEST_URL: Key<String> = Key::new(
    "aggregator.ingest_url",
    "http://127.0.0.1:8080",
    "Where browsers and clients reach ingest. The dashboard's examples and the API's description \
     name it; the aggregator itself never calls it.",
);

/// Under which names the aggregator may be reached.
pub const HOSTS: Key<Vec<String>> = Key::new(
    "aggregator.hosts",
    "",
    "Host names under which the aggregator may be reached, such as that of a proxy in front of it, \
     besides localhost and loopback addresses. A request under any other name is refused: a page \
     whose name was made to lead here could read everything otherwise (DNS rebinding).",
);

/// The keys that only the aggregator has.
pub const KEYS: &[&dyn AnyKey] = &[
    &SERVER_LISTEN,
    &ADMIN_LISTEN,
    &INGEST_URL,
    &HOSTS,
    &STREAM_CLIENTS,
    &STREAM_BUFFER,
    &QUERY_TIME_LIMIT,
    &QUERY_CACHE_TTL,
    &QUERY_CONNECTIONS,
];

/// Sections of which the aggregator knows all keys.
const SECTIONS: &[&str] = &[
    "server",
    "admin",
    "redis",
    "mongo",
    "log",
    "runtime",
    "shutdown",
    "auth",
    "dedupe",
    "aggregator",
    "query",
];

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct AggregatorConfig {
    /// The public port.
    pub server: ServerConfig,
    /// The admin port.
    pub admin: AdminConfig,
    /// Where the counters are.
    pub redis: RedisConfig,
    /// Where the events are.
    pub mongo: MongoConfig,
    /// How an `eventId` becomes a canonical id.
    pub identity: IdentityConfig,
    /// See [`INGEST_URL`].
    pub ingest_url: String,
    /// See [`HOSTS`].
    pub hosts: Vec<String>,
    /// Bounds of queries.
    pub query: QueryConfig,
    /// Bounds of the live stream.
    pub stream: StreamConfig,
    /// How to log.
    pub log: LogConfig,
    /// What it runs on.
    pub runtime: RuntimeConfig,
    /// How to end.
    pub shutdown: ShutdownConfig,
    /// Who may ask.
    pub auth: AuthConfig,
}

/// Bounds of queries.
#[derive(Debug, Clone, Copy)]
pub struct QueryConfig {
    /// See [`QUERY_TIME_LIMIT`].
    pub time_limit: Duration,
    /// See [`QUERY_CACHE_TTL`].
    pub cache_ttl: Duration,
    /// See [`QUERY_CONNECTIONS`].
    pub connections: NonZeroU32,
}

/// Bounds of the live stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamConfig {
    /// See [`STREAM_CLIENTS`].
    pub clients: usize,
    /// See [`STREAM_BUFFER`].
    pub buffer_bytes: usize,
}

impl ServiceConfig for AggregatorConfig {
    fn read(source: &mut Source) -> Self {
        source.own_sections(SECTIONS);
        let server = ServerConfig::read(source, &SERVER_LISTEN);
        let admin = AdminConfig::read(source, &ADMIN_LISTEN);
        let listeners = [
            (SERVER_LISTEN.name, server.listen),
            (ADMIN_LISTEN.name, admin.listen),
        ];
        Self {
            server,
            admin,
            redis: RedisConfig::read(source),
            mongo: MongoConfig::read(source),
            identity: identity(source),
            ingest_url: ingest_url(source),
            hosts: source.get(&HOSTS),
            query: QueryConfig {
                time_limit: source.get(&QUERY_TIME_LIMIT),
                cache_ttl: source.get(&QUERY_CACHE_TTL),
                connections: source.get(&QUERY_CONNECTIONS),
            },
            stream: StreamConfig {
                clients: usize::try_from(source.get(&STREAM_CLIENTS).get()).unwrap_or(usize::MAX),
                buffer_bytes: source.get(&STREAM_BUFFER).as_usize(),
            },
            log: LogConfig::read(source),
            runtime: RuntimeConfig::read(source),
            shutdown: ShutdownConfig::read(source),
            auth: AuthConfig::read(source, &listeners),
        }
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

/// Without a slash at its end, so that a path can be put behind it.
fn ingest_url(source: &mut Source) -> String {
    let url: String = source.get(&INGEST_URL);
    if !is_http_url(&url) {
        source.problem(
            INGEST_URL.name,
            format!("is {url:?}: write http://HOST:PORT or https://HOST"),
        );
    }
    url.trim_end_matches('/').to_owned()
}

/// Whether browsers can be told to speak with it: its origin becomes part of a header, where some
/// characters of a URL would end a rule.
fn is_http_url(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url.authority().map(Authority::as_str).unwrap_or_default();
    let has_host = url.host().is_some_and(|host| !host.is_empty());
    is_http && has_host && authority.bytes().all(is_of_host) && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use evp_shared::config::check_defaults;

    use super::*;

    #[test]
    fn defaults_are_values_of_their_keys() {
        assert_eq!(check_defaults(KEYS), Vec::<String>::new());
    }

    #[test]
    fn sections_of_other_services_are_left_alone() {
        let text = "[ingest]\nx = 1\n[storage]\nsalt_bits = 2\nindexes = [\"type\"]";
        let mut source = Source::from_text(text, &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        let config = source.finish(config).unwrap();
        assert_eq!(config.identity.salt_bits, 2);
        assert_eq!(config.server.listen.port(), 8090);
        assert_eq!(config.admin.listen.port(), 9182);
    }

    #[test]
    fn the_url_of_ingest_is_one_of_http() {
        let read = |url: &str| {
            let text = format!("[aggregator]\ningest_url = {url:?}");
            let mut source = Source::from_text(&text, &[]).unwrap();
            let config = AggregatorConfig::read(&mut source);
            source.finish(config).map(|config| config.ingest_url)
        };
        assert_eq!(read("https://in.example/").unwrap(), "https://in.example");
        for good in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://a-b.c/prefix",
        ] {
            assert_eq!(read(good).unwrap(), good);
        }
        let wrong = [
            "",
            "ftp://x",
            "localhost:8080",
            "http://",
            "http://:8080",
            "http://a b",
            "http://a\nb",
            "http://ä",
            "http://user@a",
            "http://a;script-src",
            "http://a,b",
            "http://a'b",
            "http://a?b",
        ];
        for wrong in wrong {
            let problems = read(wrong).unwrap_err();
            let keys: Vec<_> = problems.problems().iter().map(|each| &each.key).collect();
            assert_eq!(keys, ["aggregator.ingest_url"], "{wrong:?}");
        }
    }

    #[test]
    fn a_listener_that_others_can_reach_is_refused() {
        let mut source = Source::from_text("[server]\nlisten = \"0.0.0.0:8090\"", &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        let problems = source.finish(config).unwrap_err();
        assert_eq!(problems.problems()[0].key, "server.listen");
    }
}
