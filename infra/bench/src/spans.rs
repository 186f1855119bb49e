//! How events lie in MongoDB: in spans; of a build before there were spans, in one collection.

use anyhow::Context as _;
use bson::{DateTime, doc};
use evp_shared::event::span::{Calendar, SPANS, Span, SpanUnit};
use evp_shared::store::{State, spans};
use mongodb::Database;

use crate::load::times::DAY_MS;

/// How long before a run its database was born, at least. What is older lies in a span of a year.
const BORN_DAYS_AGO: u64 = 40;

/// Whether the collection `name` holds events.
#[must_use]
pub fn holds_events(name: &str) -> bool {
    name == "events" || name.starts_with(SPANS.0)
}

/// The calendar of a database that was born well before a run at `now_ms`.
fn calendar(now_ms: u64) -> Calendar {
    Calendar::born(now_ms - BORN_DAYS_AGO * DAY_MS, SpanUnit::Day)
}

/// Makes an empty database older than it is, so that event times of the last weeks lie in spans of
/// days: without it those of a database that is made today would all lie in that of the year.
///
/// # Errors
/// MongoDB does not answer.
pub async fn backdate(database: &Database, now_ms: u64) -> anyhow::Result<()> {
    let calendar = calendar(now_ms);
    let layout = doc! {
        "_id": "layout",
        "v": 2,
        "birth": DateTime::from_millis(i64::try_from(calendar.birth_ms)?),
        "unit": "day",
    };
    spans::meta(database).insert_one(layout).await?;
    Ok(())
}

/// The span of `ms`, a time of the last weeks before `now_ms`.
#[must_use]
pub fn of(ms: u64, now_ms: u64) -> Span {
    calendar(now_ms).span_of(Some(ms))
}

/// Whether `span` is sealed.
///
/// # Errors
/// MongoDB does not answer, or the span has no row.
pub async fn is_sealed(database: &Database, span: &Span) -> anyhow::Result<bool> {
    let row = spans::row(database, span).await?;
    let row = row.with_context(|| format!("{span} has no row"))?;
    Ok(row.state == State::Sealed)
}

/// Whether nothing is left of `span`.
///
/// # Errors
/// MongoDB does not answer.
pub async fn is_gone(database: &Database, span: &Span) -> anyhow::Result<bool> {
    let names = database.list_collection_names().await?;
    let is_there = names.contains(&span.to_string());
    Ok(!is_there && spans::row(database, span).await?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_born_forty_days_before_its_run_or_earlier() {
        let at = |text: &str| {
            DateTime::parse_rfc3339_str(text)
                .unwrap()
                .timestamp_millis()
        };
        let born = |now: &str| calendar(u64::try_from(at(now)).unwrap()).birth_ms;
        let days = |now: &str| (at(now).unsigned_abs() - born(now)) / DAY_MS;
        assert_eq!(days("2026-11-29T13:00:00.5Z"), 59);
        assert_eq!(days("2026-11-10T00:00:00Z"), 40);
        assert_eq!(days("2026-11-09T23:59:59Z"), 69);
    }

    #[tokio::test]
    async fn its_services_take_it_for_that_old() {
        let server = evp_devstack::MongoServer::start(evp_devstack::MongoOptions::default());
        let server = server.await.unwrap();
        let config = evp_shared::config::MongoConfig::at(server.url(), "bench");
        let database = evp_shared::store::connect(&config, 2).await.unwrap();
        let now_ms = 1_795_957_200_000;
        backdate(&database, now_ms).await.unwrap();
        let claimed = spans::claim_calendar(&database, SpanUnit::Day).await;
        assert_eq!(claimed.unwrap(), calendar(now_ms));
    }

    #[test]
    fn events_lie_in_one_collection_or_in_spans() {
        for name in ["events", "events_undated", "events_2013", "events_20261129"] {
            assert!(holds_events(name), "{name}");
        }
        assert!(!holds_events("receipts") && !holds_events("event"));
    }
}
