//! Whether what was sent is what was stored and counted. A run that does not reconcile failed,
//! however fast it was.

use bson::{Bson, Document, doc};
use evp_shared::store::{DEAD_LETTERS, RECEIPTS};
use evp_shared::stream::{Stream, Totals};
use futures::TryStreamExt as _;
use mongodb::Database;

use crate::load::LoadReport;
use crate::spans::holds_events;

/// What MongoDB and Redis hold after a run that started with nothing.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Totals of the partition.
    pub totals: Totals,
    /// Documents in all collections of events, counted one by one.
    pub stored: u64,
    /// Events the receipts say were new.
    pub receipted: u64,
    /// Duplicates the receipts say there were.
    pub duplicates: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Sum of the counters over all time.
    pub counted: u64,
}

impl Evidence {
    /// Collects it.
    ///
    /// # Errors
    /// MongoDB or Redis does not answer.
    pub async fn collect(
        stream: &Stream,
        database: &Database,
        totals: Totals,
    ) -> anyhow::Result<Self> {
        let counters = stream.count_total(0).await?;
        let counted: i64 = counters.values().sum();
        let (receipted, duplicates) = receipts(database).await?;
        Ok(Self {
            totals,
            stored: events(database).await?,
            receipted,
            duplicates,
            dead_letters: count(database, DEAD_LETTERS).await?,
            counted: unsigned(counted),
        })
    }
}

async fn events(database: &Database) -> anyhow::Result<u64> {
    let mut all = 0;
    for name in database.list_collection_names().await? {
        if holds_events(&name) {
            all += count(database, &name).await?;
        }
    }
    Ok(all)
}

/// Counts the keys of `_id`: the size in a collection's metadata would be faster and may be wrong.
async fn count(database: &Database, collection: &str) -> anyhow::Result<u64> {
    let command = doc! {
        "count": collection,
        "query": { "_id": { "$gte": Bson::MinKey } },
        "hint": "_id_",
    };
    let reply = database.run_command(command).await?;
    Ok(number(&reply, "n"))
}

async fn receipts(database: &Database) -> anyhow::Result<(u64, u64)> {
    let new = doc! { "$sum": { "$map": {
    "input": "$n", "in": { "$arrayElemAt": ["$$this", 2] } } } };
    let sum = doc! { "$group": {
    "_id": Bson::Null, "new": { "$sum": new }, "duplicates": { "$sum": "$d" } } };
    let collection = database.collection::<Document>(RECEIPTS);
    let sums: Vec<Document> = collection.aggregate([sum]).await?.try_collect().await?;
    let Some(sums) = sums.first() else {
        return Ok((0, 0));
    };
    Ok((number(sums, "new"), number(sums, "duplicates")))
}

fn number(document: &Document, name: &str) -> u64 {
    match document.get(name) {
        Some(Bson::Int32(number)) => unsigned(i64::from(*number)),
        Some(Bson::Int64(number)) => unsigned(*number),
        _ => 0,
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What does not add up of a run in which nothing was taken from the stream.
#[must_use]
pub fn faults_of_backlog(report: &LoadReport, totals: &Totals) -> Vec<String> {
    let mut faults = faults_of_answers(report);
    let appended = unsigned(totals.appended_events);
    let most = report.accepted + report.unconfirmed;
    if !(report.accepted..=most).contains(&appended) {
        faults.push(format!(
            "appended: {appended} is less than the {} accepted, or more than these and the {} \
             unknown",
            report.accepted, report.unconfirmed
        ));
    }
    faults
}

fn faults_of_answers(report: &LoadReport) -> Vec<String> {
    let mut faults = Vec::new();
    let refused: u64 = report.refused.values().sum();
    let outcomes =
        report.accepted + report.duplicates + report.rejected + refused + report.unconfirmed;
    if report.sent != outcomes {
        faults.push(format!(
            "sent = accepted + refused + unknown: {} is not {outcomes}",
            report.sent
        ));
    }
    if report.rejected != 0 {
        faults.push(format!("rejected events: {} is not 0", report.rejected));
    }
    faults
}

/// What does not add up; empty when everything does.
#[must_use]
pub fn faults(report: &LoadReport, evidence: &Evidence) -> Vec<String> {
    let mut faults = faults_of_answers(report);
    let mut equal = |what: &str, left: u64, right: u64| {
        if left != right {
            faults.push(format!("{what}: {left} is not {right}"));
        }
    };
    equal("dead letters", evidence.dead_letters, 0);
    let totals = &evidence.totals;
    equal("events of a lost backlog", unsigned(totals.lost_events), 0);
    equal("stored = receipted", evidence.stored, evidence.receipted);
    equal("stored = counted", evidence.stored, evidence.counted);
    equal(
        "stored = counted in totals",
        evidence.stored,
        unsigned(totals.counted_events),
    );
    equal(
        "duplicates in totals = in receipts",
        unsigned(totals.duplicate_events),
        evidence.duplicates,
    );
    let kept = evidence.stored + evidence.duplicates;
    if report.unconfirmed == 0 {
        equal("accepted = stored + duplicates", report.accepted, kept);
        if let Some(distinct) = report.distinct {
            equal("distinct ids accepted = stored", distinct, evidence.stored);
        }
    } else if !(report.accepted..=report.accepted + report.unconfirmed).contains(&kept) {
        faults.push(format!(
            "stored + duplicates: {kept} is less than the {} accepted, or more than these and the \
             {} unknown",
            report.accepted, report.unconfirmed
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn report() -> LoadReport {
        LoadReport {
            sent: 110,
            accepted: 100,
            refused: BTreeMap::from([(503, 10)]),
            distinct: Some(95),
            ..LoadReport::default()
        }
    }

    fn evidence() -> Evidence {
        Evidence {
            totals: Totals {
                counted_events: 95,
                duplicate_events: 5,
                ..Totals::default()
            },
            stored: 95,
            receipted: 95,
            duplicates: 5,
            dead_letters: 0,
            counted: 95,
        }
    }

    #[test]
    fn a_run_in_which_everything_was_stored_once_reconciles() {
        assert_eq!(faults(&report(), &evidence()), Vec::<String>::new());
        let unknown = LoadReport {
            accepted: 98,
            unconfirmed: 2,
            ..report()
        };
        assert_eq!(faults(&unknown, &evidence()), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_off_by_one_is_found() {
        type Spoil = fn(&mut LoadReport, &mut Evidence);
        let cases: [(&str, Spoil); 9] = [
            ("sent = ", |report, _| report.sent += 1),
            ("rejected", |report, _| report.rejected += 1),
            ("accepted = ", |report, _| report.accepted += 1),
            ("distinct", |report, _| report.distinct = Some(94)),
            ("stored = receipted", |_, evidence| evidence.stored -= 1),
            ("stored = receipted", |_, evidence| evidence.receipted -= 1),
            ("stored = counted", |_, evidence| evidence.counted += 1),
            ("dead letters", |_, evidence| evidence.dead_letters += 1),
            ("lost backlog", |_, evidence| {
                evidence.totals.lost_events = 1
            }),
        ];
        for (expected, spoil) in cases {
            let (mut report, mut evidence) = (report(), evidence());
            spoil(&mut report, &mut evidence);
            let found = faults(&report, &evidence).join("; ");
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_backlog_is_what_was_accepted() {
        let report = LoadReport {
            accepted: 98,
            unconfirmed: 2,
            ..report()
        };
        let faults = |appended_events| {
            let totals = Totals {
                appended_events,
                ..Totals::default()
            };
            faults_of_backlog(&report, &totals).len()
        };
        assert_eq!([97, 98, 100, 101].map(faults), [1, 0, 0, 1]);
    }

    #[test]
    fn what_is_unknown_bounds_what_may_be_stored() {
        let unknown = LoadReport {
            accepted: 97,
            unconfirmed: 2,
            sent: 109,
            ..report()
        };
        assert_eq!(faults(&unknown, &evidence()).len(), 1);
    }
}
