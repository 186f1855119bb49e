//! A year of flights as `make demo-data` sends them, and what is told about their planes: the users
//! of these events.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use evp_devstack::Keys;
use evp_devstack::command::{demo_data, flights};
use evp_e2e::{System, until};
use evp_shared::event::span::SPANS;
use serde_json::Value;

use crate::everything_arrives_once::ask;

/// Rows of the data set.
const EVENTS: u64 = 336_776;

/// What is true of the flights.
#[derive(Debug, Default)]
struct Exact {
    users: BTreeMap<String, u64>,
    types: BTreeMap<String, u64>,
    /// By the collection they lie in: that of the year, UTC, as all are older than the database.
    /// The last evening in New York is 2014 in UTC.
    spans: BTreeMap<String, u64>,
}

impl Exact {
    async fn read() -> Result<Self> {
        let mut exact = Self::default();
        flights(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            *exact.users.entry(text("userId")).or_default() += 1;
            *exact.types.entry(text("eventType")).or_default() += 1;
            let year: String = text("timestamp").chars().take(4).collect();
            *exact.spans.entry(format!("events_{year}")).or_default() += 1;
        })
        .await?;
        Ok(exact)
    }

    /// Compares an answer with what is true, within what docs/API.md promises.
    fn judge(&self, answer: &Value) -> Result<()> {
        ensure!(answer["totals"]["events"] == EVENTS, "{}", answer["totals"]);
        let by_type = rows(&answer["byType"], "type")?;
        let types = self
            .types
            .iter()
            .map(|(name, count)| (name.as_str(), *count));
        let counted = by_type
            .iter()
            .map(|(name, row)| (*name, number(row, "count")));
        ensure!(types.eq(counted), "{by_type:?}");

        let unique = &answer["uniqueUsers"];
        let estimate = unique["estimate"].as_f64().context("an estimate")?;
        let error = unique["standardError"].as_f64().context("its error")?;
        let users = f64::from(u32::try_from(self.users.len())?);
        ensure!(error < 0.01, "{unique}");
        ensure!(
            (estimate / users - 1.0).abs() <= 2.0 * error,
            "{estimate} for {users}"
        );
        ensure!(
            answer["uniqueSessions"]["estimate"] == 0,
            "flights have no sessions"
        );
        self.judge_top(&answer["topUsers"])
    }

    fn judge_top(&self, top: &Value) -> Result<()> {
        let top = rows(top, "userId")?;
        ensure!(top.len() == 20, "{top:?}");
        for (user, row) in &top {
            let exact = self.users.get(*user).context("a user who never was")?;
            let (most, error) = (number(row, "count"), number(row, "error"));
            ensure!((most - error..=most).contains(exact), "{row}: {exact}");
            ensure!(error * 1_000 <= 7 * EVENTS, "{row}");
        }
        // Who is left out was not seen more often than the last one may have been.
        let last = top.values().map(|row| number(row, "count")).min();
        let missing = self
            .users
            .iter()
            .find(|(user, exact)| !top.contains_key(user.as_str()) && Some(**exact) > last);
        ensure!(missing.is_none(), "{missing:?} is missing in {top:?}");
        Ok(())
    }
}

/// Events of each span that has any.
async fn spans(system: &System) -> Result<BTreeMap<String, u64>> {
    let database = system.mongo.database();
    let mut spans = BTreeMap::new();
    for name in database.list_collection_names().await? {
        if name.starts_with(SPANS.0) {
            let collection = database.collection::<Document>(&name);
            let events = collection.count_documents(doc! {}).await?;
            spans.insert(name, events);
        }
    }
    spans.retain(|_, events| *events > 0);
    Ok(spans)
}

fn rows<'a>(list: &'a Value, name: &str) -> Result<BTreeMap<&'a str, &'a Value>> {
    let list = list.as_array().context("a list")?;
    list.iter()
        .map(|row| Some((row[name].as_str()?, row)))
        .collect::<Option<_>>()
        .context("rows with names")
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_and_top_users_of_the_flights_are_as_near_as_is_said() -> Result<()> {
    let exact = Exact::read().await?;
    let system = System::of("flights").aggregator().start().await?;
    let aggregator = system.aggregator.as_ref().context("an aggregator")?;
    let made = system.keys.as_ref().context("keys")?;
    let keys = Keys {
        write: Some(made.write.expose().to_owned()),
        operator: Some(made.operator.expose().to_owned()),
        ..Keys::default()
    };
    // The second time changes nothing: the same flight is the same event.
    for _ in 0..2 {
        demo_data(&system.ingests[0].url(), &aggregator.url(), &keys).await?;
    }
    let mut last = Ok(());
    let judged = until("figures near the exact ones", async || {
        last = match ask(&system, "/analytics?range=1h").await {
            Ok(answer) => exact.judge(&answer),
            Err(error) => Err(error),
        };
        last.is_ok()
    })
    .await;
    last.and(judged)?;
    let stored = spans(&system).await?;
    ensure!(exact.types.len() == 16, "{:?}", exact.types);
    ensure!(stored == exact.spans, "{stored:?}, not {:?}", exact.spans);
    system.pass();
    Ok(())
}
