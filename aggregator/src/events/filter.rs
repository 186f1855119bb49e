//! Which events a list is of, out of query parameters. Pure.

use bson::{Document, doc};
use evp_shared::http::problem::Problem;
use evp_shared::store::Index;
use serde::{Deserialize, Serialize};

use super::position::range_of;
use crate::auth::Tenant;
use crate::error::bad_parameter;
use crate::params::Params;
use crate::time::{INSTANT_HINT, parse_instant};

/// Types one query may name. Source: mongod merges up to 200 index scans without sorting.
pub const TYPES_MAX: usize = 200;

/// Which events a list is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Whose events.
    pub tenant: Tenant,
    /// Of these types; of any when empty. Sorted.
    pub types: Vec<String>,
    /// Of this user.
    pub user_id: Option<String>,
    /// Of this session.
    pub session_id: Option<String>,
    /// With a `timestamp` in this window.
    pub window: Window,
    /// `from` and `to` as the client wrote them: the same on every page, where a relative window
    /// moves.
    pub written_window: [String; 2],
}

/// Unix ms, from the first that is in to the first that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// [`i64::MIN`] without a bound.
    #[serde(with = "postcard::fixint::be")]
    pub from_ms: i64,
    /// [`i64::MAX`] without a bound.
    #[serde(with = "postcard::fixint::be")]
    pub to_ms: i64,
}

impl Window {
    /// Without bounds.
    pub const ALL: Self = Self {
        from_ms: i64::MIN,
        to_ms: i64::MAX,
    };

    /// The part of `range` that lies in it, if any.
    pub(super) fn of(self, range: std::ops::Range<i64>) -> Option<Self> {
        let (from_ms, to_ms) = (range.start.max(self.from_ms), range.end.min(self.to_ms));
        (from_ms < to_ms).then_some(Self { from_ms, to_ms })
    }

    /// As a condition on `timestamp`; empty without bounds.
    pub fn condition(self) -> Document {
        let bound = |operator, ms| (operator, bson::DateTime::from_millis(ms).into());
        let from = (self.from_ms != i64::MIN).then(|| bound("$gte", self.from_ms));
        let to = (self.to_ms != i64::MAX).then(|| bound("$lt", self.to_ms));
        range_of("timestamp", [from, to])
    }
}

impl Filter {
    /// Reads `type`, `userId`, `sessionId`, `from` and `to`. A window that is relative to now may
    /// have become empty on a later page, where another one holds: see [`Self::first_page`].
    ///
    /// # Errors
    /// The first parameter with a value it does not take.
    pub fn parse(tenant: Tenant, params: &Params, now_ms: u64) -> Result<Self, Problem> {
        let instant =
            |name: &str| params.parsed(name, INSTANT_HINT, |text| parse_instant(text, now_ms));
        let written = |name| Ok::<_, Problem>(params.single(name)?.unwrap_or_default().to_owned());
        let window = Window {
            from_ms: instant("from")?.unwrap_or(i64::MIN),
            to_ms: instant("to")?.unwrap_or(i64::MAX),
        };
        Ok(Self {
            tenant,
            types: params.types("type", None, TYPES_MAX)?,
            user_id: params.id("userId")?,
            session_id: params.id("sessionId")?,
            window,
            written_window: [written("from")?, written("to")?],
        })
    }

    /// As it is, for a list that begins.
    ///
    /// # Errors
    /// Its window is empty.
    pub fn first_page(self) -> Result<Self, Problem> {
        if self.window.from_ms >= self.window.to_ms {
            return Err(bad_parameter("to", "send a time after from"));
        }
        Ok(self)
    }

    /// The condition on the field of `index`, where the filter has one. Values are strings, so no
    /// operator of MongoDB's can come from a client.
    pub fn condition(&self, index: Index) -> Option<bson::Bson> {
        match index {
            Index::Type if self.types.is_empty() => None,
            Index::Type => Some(any_of(&self.types)),
            Index::User => self.user_id.as_deref().map(bson::Bson::from),
            Index::Session => self.session_id.as_deref().map(bson::Bson::from),
        }
    }
}

/// A condition that holds for each of `values`.
pub fn any_of(values: &[String]) -> bson::Bson {
    match values {
        [one] => one.as_str().into(),
        _ => doc! { "$in": values.to_vec() }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;
    const KNOWN: &[&str] = &["type", "userId", "sessionId", "from", "to"];

    fn parse(query: &str) -> Result<Filter, Problem> {
        let uri = format!("/events?{query}").parse().unwrap();
        Filter::parse(
            Tenant::named("default"),
            &Params::parse(&uri, KNOWN)?,
            NOW_MS,
        )
    }

    #[test]
    fn a_window_is_half_open_and_not_empty() {
        let window = parse("from=-2h&to=-1h").unwrap().window;
        let hour = 3_600_000;
        let now = 1_800_000_000_000;
        assert_eq!((window.from_ms, window.to_ms), (now - 2 * hour, now - hour));
        assert_eq!(parse("").unwrap().window, Window::ALL);
        for wrong in ["from=-1h&to=-1h", "from=-1h&to=-2h"] {
            let empty = parse(wrong).unwrap().first_page().unwrap_err();
            assert_eq!(empty.member("parameter"), "to");
        }
    }

    #[test]
    fn each_wrong_value_is_named() {
        let table = [
            ("type=%7B%22$ne%22:1%7D", "type"),
            ("userId=", "userId"),
            ("sessionId=a%00b", "sessionId"),
            ("from=yesterday", "from"),
            ("to=5", "to"),
        ];
        for (query, name) in table {
            let query = if name == "to" { "from=6&to=5" } else { query };
            let read = parse(query).and_then(Filter::first_page);
            assert_eq!(read.unwrap_err().member("parameter"), name, "{query}");
        }
    }
}
