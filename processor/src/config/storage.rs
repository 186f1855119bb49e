//! `[storage]`: how long events are kept, and what that asks of the rest.

use std::time::Duration;

use evp_shared::config::{SecretUrl, Source};
use evp_shared::event::id::IdentityMode;
use evp_shared::event::span::SpanUnit;

use super::ProcessorConfig;

evp_shared::config_section! {
    /// How long events are kept.
    pub struct StorageConfig in "storage" {
        /// How long events are kept, by the time in their ids; without it, for ever. A span that is
        /// older is dropped as a whole. What is older when it arrives is refused (`too_old`), and so
        /// is what has no time (`undated`). At least two spans. Lower frees disk space about a day
        /// later; higher brings nothing back. Not with `dedupe.identity = "id"`.
        keep: Option<Duration> = "";
        /// For tests: by how much the waits of sealing and dropping are shortened. Above 1 only with
        /// Redis and MongoDB on this machine's loopback.
        hurry: u32 = "1", "1"..="1000000";
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Longest `keep` with spans of an hour. Source: 480 of them, with 57 years of a database's past, are
/// what mongod has open files for.
const KEEP_BY_HOUR_MAX: Duration = Duration::from_secs(20 * 86_400);

impl ProcessorConfig {
    /// Names what of `[storage]` contradicts the rest.
    pub(super) fn judge_storage(&self, source: &mut Source) {
        if let Some(problem) = self.span_problem() {
            source.problem("storage.span", problem);
        }
        if let Some(problem) = self.keep_problem() {
            source.problem("storage.keep", problem);
        }
        let is_here = is_loopback(&self.redis.url) && is_loopback(&self.mongo.uri);
        if self.storage.hurry > 1 && !is_here {
            source.problem(
                "storage.hurry",
                "shortens the waits that keep events from being lost: it is for tests with Redis \
                 and MongoDB on 127.0.0.1; leave it out",
            );
        }
    }

    fn span_problem(&self) -> Option<&'static str> {
        if self.span != SpanUnit::Hour {
            return None;
        }
        match self.storage.keep {
            None => Some(
                "is \"hour\" without storage.keep: set storage.keep to at most 20d, or mongod runs \
                 out of open files; or take \"day\"",
            ),
            Some(keep) if keep > KEEP_BY_HOUR_MAX => Some(
                "is \"hour\" with a storage.keep above 20d: lower storage.keep, or take \"day\"",
            ),
            Some(_) => None,
        }
    }

    fn keep_problem(&self) -> Option<String> {
        let keep = self.storage.keep?;
        if self.identity.mode == IdentityMode::TenantId {
            return Some(
                "needs ids with a time in them, and dedupe.identity = \"id\" makes some without: \
                 leave storage.keep out, or take a new database with \"id_time\""
                    .to_owned(),
            );
        }
        let (least, written) = match self.span {
            SpanUnit::Hour => (DAY / 12, "2h"),
            SpanUnit::Day => (2 * DAY, "2d"),
            SpanUnit::Month => (62 * DAY, "62d"),
        };
        let span = self.span.as_str();
        (keep < least).then(|| {
            format!("is less than two spans of a {span}: write {written} or more, or leave it out")
        })
    }
}

/// Whether all hosts of `url` are this machine's loopback; what cannot be told is not.
fn is_loopback(url: &SecretUrl) -> bool {
    let url = url.expose();
    if url.contains("+srv:") {
        return false;
    }
    let place = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = place.split('?').next().unwrap_or_default();
    let (login, place) = place.rsplit_once('@').unwrap_or(("", place));
    let hosts = place.split('/').next().unwrap_or_default();
    let is_local = |host: &str| {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => host.split(':').next(),
        };
        matches!(name, Some("127.0.0.1" | "localhost" | "::1"))
    };
    !login.contains('/') && hosts.split(',').all(is_local)
}

#[cfg(test)]
mod tests {
    use evp_shared::service::ServiceConfig as _;

    use super::*;

    fn problem(text: &str) -> Option<String> {
        let mut source = Source::from_text(text, &[]).unwrap();
        let config = ProcessorConfig::read(&mut source);
        source
            .finish(config)
            .err()
            .map(|problems| problems.to_string())
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let table = [
            ("[storage]\nkeep = \"2d\"", None),
            ("[storage]\nkeep = \"47h\"", Some("storage.keep")),
            ("[storage]\nspan = \"month\"\nkeep = \"62d\"", None),
            (
                "[storage]\nspan = \"month\"\nkeep = \"61d\"",
                Some("storage.keep"),
            ),
            ("[storage]\nspan = \"hour\"\nkeep = \"2h\"", None),
            (
                "[storage]\nspan = \"hour\"\nkeep = \"1h\"",
                Some("storage.keep"),
            ),
            ("[storage]\nspan = \"hour\"", Some("storage.span")),
            (
                "[storage]\nspan = \"hour\"\nkeep = \"21d\"",
                Some("storage.span"),
            ),
            ("[storage]\nspan = \"week\"", Some("storage.span")),
            (
                "[storage]\nkeep = \"9d\"\n[dedupe]\nidentity = \"id\"",
                Some("storage.keep"),
            ),
            ("[dedupe]\nidentity = \"id\"", None),
        ];
        for (text, expected) in table {
            let found = problem(text);
            assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
            let names = |found: &String| found.contains(expected.unwrap_or_default());
            assert!(found.as_ref().is_none_or(names), "{text}: {found:?}");
        }
    }

    #[test]
    fn waits_are_shortened_on_loopback_alone() {
        let with = |redis: &str, mongo: &str| {
            problem(&format!(
                "[storage]\nhurry = 60\n[redis]\nurl = \"{redis}\"\n[mongo]\nuri = \"{mongo}\""
            ))
        };
        let redis = "redis://:pw@localhost:6379";
        assert_eq!(with(redis, "mongodb://127.0.0.1:1,[::1]:2/?w=1"), None);
        for mongo in [
            "mongodb://127.0.0.1,db:27017/",
            "mongodb+srv://localhost/",
            "mongodb://db/x@127.0.0.1",
            "mongodb://db/?x=@127.0.0.1",
            "mongodb://127.0.0.1@db/",
        ] {
            let found = with(redis, mongo).unwrap_or_default();
            assert!(found.contains("storage.hurry"), "{mongo}: {found}");
        }
        assert!(with("redis://10.0.0.1", "mongodb://localhost").is_some());
    }
}
