//! What a notice says: names of closed lists and numbers, so that nothing of a tenant's leaves with it.

use std::time::Duration;

use serde_json::json;

use super::source::Source;

evp_shared::choices! {
    /// How a source changed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum State {
        /// It is bad.
        Begun = "begun",
        /// It still is.
        Lasts = "lasts",
        /// It is good again.
        Over = "over",
    }
}

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Of what.
    pub source: Source,
    /// How it changed.
    pub state: State,
    /// The figure of a source that is bad, 0 where it has none.
    pub number: u64,
    /// For how long it is, or was, bad.
    pub lasts: Duration,
}

impl Notice {
    /// In one line.
    pub fn text(&self) -> String {
        let lasts = self.lasts.as_secs();
        match self.state {
            State::Begun => format!("EVP: {}", self.trouble()),
            State::Lasts => format!("EVP, still after {}: {}", spoken(lasts), self.trouble()),
            State::Over => format!("EVP, over after {}: {}", spoken(lasts), self.relief()),
        }
    }

    /// As fields.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "source": self.source.as_str(),
            "state": self.state.as_str(),
            "number": self.number,
            "lastsSeconds": self.lasts.as_secs(),
            "text": self.text(),
        })
    }

    /// The page of docs/runbooks that says what to do, by the alert of the same.
    pub fn runbook(&self) -> &'static str {
        match self.source {
            Source::RedisAway | Source::MongodbAway => "EvpNotReady",
            Source::NoProcessor => "EvpNoProgress",
            Source::StorageBehind => "EvpStorageBehind",
            Source::RedisMemory => "EvpRedisMemory",
            Source::DeadLettersAppear => "EvpDeadLetters",
            Source::DeadLettersNearlyFull => "EvpDeadLettersNearlyFull",
            Source::CanaryLate => "EvpCanaryLate",
        }
    }

    fn trouble(&self) -> String {
        let number = self.number;
        match self.source {
            Source::RedisAway => "Redis does not answer; events are refused".to_owned(),
            Source::MongodbAway => {
                "MongoDB does not answer; events are taken, and wait in Redis".to_owned()
            }
            Source::NoProcessor => {
                format!("no processor reads; {number} events wait in Redis")
            }
            Source::StorageBehind => {
                format!("storage is behind: what came {number} s ago is not stored yet")
            }
            Source::RedisMemory => format!(
                "Redis uses {number} % of its memory; from the limit of ingest on events are refused"
            ),
            Source::DeadLettersAppear => {
                format!("{number} dead letters appeared: events that cannot be stored")
            }
            Source::DeadLettersNearlyFull => format!(
                "the dead letters take {number} % of what they may; at the cap nothing more is stored"
            ),
            Source::CanaryLate => {
                format!("no canary was stored for {number} s; what is sent may not be stored")
            }
        }
    }

    fn relief(&self) -> &'static str {
        match self.source {
            Source::RedisAway => "Redis answers",
            Source::MongodbAway => "MongoDB answers",
            Source::NoProcessor => "a processor reads",
            Source::StorageBehind => "storage has caught up",
            Source::RedisMemory => "Redis has memory",
            Source::DeadLettersAppear => "no more dead letters appear",
            Source::DeadLettersNearlyFull => "the dead letters have room",
            Source::CanaryLate => "canaries are stored",
        }
    }
}

/// A time as people say it.
fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_what_is_wrong_and_for_how_long() {
        let of = |source, state, seconds| {
            let lasts = Duration::from_secs(seconds);
            Notice {
                source,
                state,
                number: 85,
                lasts,
            }
        };
        let table = [
            (
                of(Source::RedisMemory, State::Begun, 30),
                "EVP: Redis uses 85 % of its memory; from the limit of ingest on events are refused",
            ),
            (
                of(Source::StorageBehind, State::Lasts, 4 * 3_600),
                "EVP, still after 4 h: storage is behind: what came 85 s ago is not stored yet",
            ),
            (
                of(Source::MongodbAway, State::Over, 121),
                "EVP, over after 2 min: MongoDB answers",
            ),
        ];
        for (notice, text) in table {
            assert_eq!(notice.text(), text);
            assert_eq!(notice.json()["text"], text);
        }
        let fields = table[1].0.json();
        assert_eq!(fields["source"], "storage_behind");
        assert_eq!(fields["state"], "lasts");
        assert_eq!(
            (&fields["number"], &fields["lastsSeconds"]),
            (&85.into(), &14_400.into())
        );
    }

    #[test]
    fn each_source_has_a_page_that_says_what_to_do() {
        for source in Source::ALL {
            let notice = Notice {
                source,
                state: State::Begun,
                number: 0,
                lasts: Duration::ZERO,
            };
            let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks");
            let page = std::path::Path::new(pages).join(notice.runbook());
            assert!(page.with_extension("md").is_file(), "{page:?}");
        }
    }
}
