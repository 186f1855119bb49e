//! The configuration of the aggregator.

pub mod mail;
pub mod notices;

use std::num::NonZeroU32;
use std::time::Duration;

use evp_shared::config::{
    AuthMode, ByteSize, CanaryConfig, DeadLetterLimits, MongoConfig, Plaintext, ProcessConfig,
    RedisConfig, ServerConfig, Source, Value, identity,
};
use evp_shared::event::id::IdentityConfig;
use evp_shared::service::ServiceConfig;
use http::Uri;
use http::uri::Authority;

use self::mail::MailConfig;
use self::notices::NoticesConfig;

evp_shared::config_section! {
    /// Everything that can be configured.
    pub struct AggregatorConfig: keys(source) in "aggregator" {
        /// Where browsers and clients reach ingest. The dashboard's examples and the API's
        /// description name it; the aggregator itself never calls it.
        ingest_url: String = "http://127.0.0.1:8080";
        /// Host names under which the aggregator may be reached, such as that of a proxy in front
        /// of it, besides localhost and loopback addresses. A request under any other name is
        /// refused: a page whose name was made to lead here could read everything otherwise (DNS
        /// rebinding).
        hosts: Vec<String> = "";
        /// Where browsers reach the aggregator, such as `https://evp.example` of a proxy in front of
        /// it. Links that sign in lead there, its host needs no place in `aggregator.hosts`, and where
        /// it is https, sessions travel by https alone. To be set with `auth.mode = "keys"` and
        /// `server.plaintext = "behind_proxy"`: nothing else says how browsers come.
        public_url: Option<PublicUrl> = "";
    } with {
        /// How codes that sign in are sent.
        mail: MailConfig = MailConfig::read(source);
        /// Who is told that something is wrong.
        notices: NoticesConfig = NoticesConfig::read(source, &mail);
        /// Canaries.
        canary: CanaryConfig = CanaryConfig::read(source);
        /// How many dead letters there may be, which notices go by.
        dead_letters: DeadLetterLimits = DeadLetterLimits::read(source);
        /// Bounds of the live stream.
        stream: StreamConfig = StreamConfig::read(source);
        /// Bounds of queries.
        query: QueryConfig = QueryConfig::read(source);
        /// How an `eventId` becomes a canonical id.
        identity: IdentityConfig = identity(source);
        /// Where the counters are.
        redis: RedisConfig = RedisConfig::read(source);
        /// Where the events are.
        mongo: MongoConfig = MongoConfig::read(source);
        /// What every service has.
        process: ProcessConfig = ProcessConfig::read(source, "127.0.0.1:9182");
        /// The public port.
        server: ServerConfig = ServerConfig::read(source, "127.0.0.1:8090", process.auth);
    }
}

evp_shared::config_section! {
    /// Bounds of the live stream.
    #[derive(Copy)]
    pub struct StreamConfig in "aggregator.stream" {
        /// Clients of the live stream; one more is answered 503. Each costs a connection and about
        /// 30 KiB. Keep it below `server.connections`, or queries find no room.
        clients: usize = "2500", "1"..="100000";
        /// Memory for the newest events, which all clients of the live stream share. A client that
        /// is slower than they leave it misses events, and is told how many. Lower makes more
        /// clients too slow at high rates; higher costs memory while somebody watches.
        buffer_bytes["aggregator.stream.buffer"]: usize as ByteSize = "8MiB", "1MiB"..="1GiB";
    }
}

evp_shared::config_section! {
    /// Bounds of queries.
    #[derive(Copy)]
    pub struct QueryConfig in "aggregator.query" {
        /// Longest time MongoDB may work on one request. A list that runs out of it answers what it
        /// has and a cursor to go on. Lower gives shorter pages for filters without an index;
        /// higher lets one client keep MongoDB busy for longer.
        time_limit: Duration = "2s", "100ms"..="1m";
        /// How long counters read from Redis are answered from memory; `asOf` says when they were
        /// read. Lower reads Redis more often; higher answers older counts.
        cache_ttl: Duration = "1s", "10ms"..="1m";
        /// Connections to MongoDB, which is how many reads run at once; more wait. Lower protects
        /// the inserts of a small machine; higher serves more clients.
        connections: NonZeroU32 = "32", "1"..="1000";
    }
}

/// Where browsers come: scheme and host, and the port where it is not the scheme's own, as in the
/// `Origin` of their requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// As an `Origin`.
    pub fn origin(&self) -> &str {
        &self.0
    }

    /// Whether browsers come by https.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl Value for PublicUrl {
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        let origin = text.trim_end_matches('/').to_ascii_lowercase();
        let has_path = origin.splitn(4, '/').count() > 3;
        if has_path || !is_http_url(&origin) {
            return Err(format!(
                "is {text:?}: write https://HOST or http://HOST:PORT"
            ));
        }
        let own = if origin.starts_with("https:") {
            ":443"
        } else {
            ":80"
        };
        let origin = origin.strip_suffix(own).unwrap_or(&origin);
        Ok(Self(origin.to_owned()))
    }
}

impl AggregatorConfig {
    /// What links that lead here begin with.
    pub fn base_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.origin().to_owned(),
            None => {
                let scheme = if self.is_https() { "https" } else { "http" };
                format!("{scheme}://{}", self.server.listen)
            }
        }
    }

    /// Whether browsers come by https.
    pub fn is_https(&self) -> bool {
        self.server.tls.is_some() || self.public_url.as_ref().is_some_and(PublicUrl::is_https)
    }
}

impl ServiceConfig for AggregatorConfig {
    fn read(source: &mut Source) -> Self {
        let mut config = Self::keys(source);
        if !is_http_url(&config.ingest_url) {
            source.problem(
                "aggregator.ingest_url",
                format!(
                    "is {:?}: write http://HOST:PORT or https://HOST",
                    config.ingest_url
                ),
            );
        }
        if config.process.auth == AuthMode::Keys
            && config.server.plaintext == Plaintext::BehindProxy
            && config.public_url.is_none()
        {
            source.problem(
                "aggregator.public_url",
                "is not set, while server.plaintext = \"behind_proxy\": set it to where browsers come, \
                 such as https://evp.example, or sessions would travel in plain text too",
            );
        }
        // So that a path can be put behind it.
        config.ingest_url = config.ingest_url.trim_end_matches('/').to_owned();
        config
    }

    fn process(&self) -> &ProcessConfig {
        &self.process
    }

    fn server(&mut self) -> Option<&mut ServerConfig> {
        Some(&mut self.server)
    }
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
    use super::*;

    #[test]
    fn defaults_are_values_of_their_keys() {
        let mut source = Source::from_text("", &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        source.finish(config).unwrap();
    }

    #[test]
    fn sections_of_other_services_are_left_alone() {
        let text = "[ingest]\nx = 1\n[storage]\nsalt_bits = 2\nindexes = [\"type\"]";
        let mut source = Source::from_text(text, &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        let config = source.finish(config).unwrap();
        assert_eq!(config.identity.salt_bits, 2);
        assert_eq!(config.server.listen.port(), 8090);
        assert_eq!(config.process.admin.port(), 9182);
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
    fn the_public_url_is_an_origin() {
        for (text, origin) in [
            ("https://EVP.example/", "https://evp.example"),
            ("https://evp.example:443", "https://evp.example"),
            ("http://evp.example:8090", "http://evp.example:8090"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().origin(), origin);
        }
        for wrong in [
            "evp.example",
            "ftp://x",
            "https://x/evp",
            "https://x?a",
            "https://",
        ] {
            assert!(PublicUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn behind_a_proxy_browsers_are_known_to_come_by_https() {
        let read = |text: &str| {
            let mut source = Source::from_text(text, &[]).unwrap();
            let config = AggregatorConfig::read(&mut source);
            source.finish(config)
        };
        let proxied = "[server]\nplaintext = \"behind_proxy\"\n";
        let problems = read(proxied).unwrap_err();
        assert_eq!(problems.problems()[0].key, "aggregator.public_url");
        let url = "[aggregator]\npublic_url = \"https://evp.example\"\n";
        assert!(read(&format!("{proxied}{url}")).unwrap().is_https());
        read(&format!("{proxied}[auth]\nmode = \"open\"")).unwrap();
    }

    #[test]
    fn a_listener_that_others_can_reach_is_refused() {
        let mut source = Source::from_text("[server]\nlisten = \"0.0.0.0:8090\"", &[]).unwrap();
        let config = AggregatorConfig::read(&mut source);
        let problems = source.finish(config).unwrap_err();
        assert_eq!(problems.problems()[0].key, "server.listen");
    }
}
