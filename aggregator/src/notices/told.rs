//! What was told of each source. Whoever tells next goes on from there.

use std::collections::BTreeMap;
use std::time::Duration;

use evp_shared::choice::Choice as _;
use serde::{Deserialize, Serialize};

use super::notice::{Notice, State};
use super::source::Source;

/// The last that was told of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// When, Unix ms.
    pub at_ms: u64,
    /// Since when it was bad, Unix ms.
    since_ms: u64,
    /// Whether it was over by then.
    over: bool,
}

impl Last {
    /// For how long it is bad at `now_ms`.
    pub fn lasts(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.since_ms))
    }
}

/// What was told of each source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeMap<Source, Last>);

impl Told {
    /// The last that was told of it.
    pub fn of(&self, source: Source) -> Option<&Last> {
        self.0.get(&source)
    }

    /// Whether it was told, and not that it is over.
    pub fn is_told(&self, source: Source) -> bool {
        self.of(source).is_some_and(|last| !last.over)
    }

    /// Nothing was told of it.
    pub fn forget(&mut self, source: Source) {
        self.0.remove(&source);
    }

    /// This is told at `now_ms`.
    pub fn note(&mut self, notice: &Notice, now_ms: u64) {
        let lasts_ms = u64::try_from(notice.lasts.as_millis()).unwrap_or(u64::MAX);
        let last = Last {
            at_ms: now_ms,
            since_ms: now_ms.saturating_sub(lasts_ms),
            over: notice.state == State::Over,
        };
        self.0.insert(notice.source, last);
    }

    /// As JSON, of the sources that `is_shared`.
    pub fn hand_over(&self, is_shared: fn(Source) -> bool) -> String {
        let shared = self.0.iter().filter(|(source, _)| is_shared(**source));
        let shared: BTreeMap<&str, &Last> = shared
            .map(|(source, last)| (source.as_str(), last))
            .collect();
        serde_json::to_string(&shared).unwrap_or_default()
    }

    /// Goes on from what another has handed over of the sources that `is_shared`. Of what is not
    /// understood nothing was told.
    pub fn go_on(&mut self, handed_over: &str, is_shared: fn(Source) -> bool) {
        let found: BTreeMap<String, Last> = serde_json::from_str(handed_over).unwrap_or_default();
        let known = |(name, last): (String, Last)| Some((Source::named(&name)?, last));
        self.0.retain(|source, _| !is_shared(*source));
        self.0.extend(found.into_iter().filter_map(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(source: Source, state: State) -> Notice {
        let lasts = Duration::from_secs(30);
        Notice {
            source,
            state,
            number: 7,
            lasts,
        }
    }

    #[test]
    fn another_goes_on_from_what_was_told_but_for_what_is_each_ones_own() {
        let is_shared = |source| source != Source::RedisAway;
        let (mut one, mut other) = (Told::default(), Told::default());
        one.note(&notice(Source::MongodbAway, State::Begun), 100_000);
        one.note(&notice(Source::RedisMemory, State::Over), 110_000);
        one.note(&notice(Source::RedisAway, State::Begun), 120_000);
        other.note(&notice(Source::RedisAway, State::Over), 130_000);
        other.note(&notice(Source::StorageBehind, State::Begun), 130_000);
        other.go_on(&one.hand_over(is_shared), is_shared);
        let told = Source::ALL.map(|source| other.is_told(source));
        assert_eq!(
            told,
            Source::ALL.map(|source| source == Source::MongodbAway)
        );
        let last = other.of(Source::MongodbAway).unwrap();
        assert_eq!(last.lasts(200_000), Duration::from_secs(130));
        assert_eq!(other.of(Source::RedisMemory).unwrap().at_ms, 110_000);
        assert_eq!(other.of(Source::RedisAway).unwrap().at_ms, 130_000);
    }

    #[test]
    fn what_is_not_understood_was_not_told() {
        let mut told = Told::default();
        for text in [
            "",
            "x",
            "[]",
            r#"{"sources_of_later":{"atMs":1,"sinceMs":1,"over":false}}"#,
        ] {
            told.go_on(text, |_| true);
            assert_eq!(told, Told::default(), "{text}");
        }
    }
}
