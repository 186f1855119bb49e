use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;

use super::{ACCOUNTED_WITHIN, POLL};
use crate::error::chain;
use crate::{Error, Result};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// All-time counts of the aggregator: events stored, and events that were stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Totals {
    #[serde(rename = "stored")]
    pub(super) events: u64,
    pub(super) duplicates: u64,
}

impl Totals {
    pub(super) fn sum(self) -> u64 {
        self.events + self.duplicates
    }

    fn since(self, before: Self) -> Self {
        Self {
            events: self.events.saturating_sub(before.events),
            duplicates: self.duplicates.saturating_sub(before.duplicates),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Pipeline {
    totals: Totals,
}

/// Asks the aggregator for its totals.
pub(super) async fn read(client: &Client, aggregator: &str) -> Result<Totals> {
    let url = format!("{aggregator}/admin/pipeline");
    let failed = |error: reqwest::Error| {
        let cause = chain(&error);
        Error::DemoData(format!(
            "the aggregator does not answer ({cause}); is make run up?"
        ))
    };
    let response = client
        .get(&url)
        .timeout(REQUEST_TIMEOUT)
        .send()
        .await
        .map_err(failed)?;
    let pipeline: Pipeline = response
        .error_for_status()
        .map_err(failed)?
        .json()
        .await
        .map_err(failed)?;
    Ok(pipeline.totals)
}

/// Waits until the totals have grown by `accepted`, and returns by how much they have; by less
/// when that takes too long.
pub(super) async fn await_growth(
    client: &Client,
    aggregator: &str,
    before: Totals,
    accepted: u64,
) -> Result<Totals> {
    let mut added = Totals {
        events: 0,
        duplicates: 0,
    };
    let growing = async {
        loop {
            added = read(client, aggregator).await?.since(before);
            if added.sum() >= accepted {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(ACCOUNTED_WITHIN, growing).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(added),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_the_aggregators_answer() {
        let text = r#"{"asOf":1,"partitions":[],
            "totals":{"appended":9,"stored":7,"duplicates":2,"deadLettered":0,"backlog":0}}"#;
        let pipeline: Pipeline = serde_json::from_str(text).unwrap();
        let totals = Totals {
            events: 7,
            duplicates: 2,
        };
        assert_eq!(pipeline.totals, totals);
        let before = Totals {
            events: 5,
            duplicates: 2,
        };
        assert_eq!(
            totals.since(before),
            Totals {
                events: 2,
                duplicates: 0
            }
        );
        assert_eq!(totals.sum(), 9);
    }
}
