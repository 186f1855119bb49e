use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};
use evp_shared::clock::Clock;
use serde::{Deserialize, Serialize};

use crate::ledger::ByType;
use crate::{Books, Events, Journal, Ledger, Sent};

/// How long after its last fault a system may take until it is settled.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a scenario may end with; nothing, unless it says so.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Acknowledged events that may be gone: what was in Redis only when Redis was made to forget.
    pub lost_max: u64,
    /// Redis was made to forget what it had counted, so its totals do not say what became of the whole run.
    pub forgot: bool,
    /// Spans that end at or before this time, Unix ms, are dropped: what happened before it is counted
    /// and need not be stored.
    pub gone_ms: u64,
    /// How long it may take, when that is more than two minutes.
    pub within: Option<Duration>,
}

/// What a journal and the books come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Events in all requests, repetitions included.
    pub sent: u64,
    /// Distinct events answered 202.
    pub acknowledged: u64,
    /// Distinct stored events.
    pub stored: u64,
    /// Events stored before that came again.
    pub duplicates: i64,
    /// Dead letters.
    pub dead: u64,
    /// Acknowledged events whose span was dropped.
    #[serde(default)]
    pub dropped: u64,
    /// Acknowledged events that are nowhere.
    pub lost: u64,
    /// Of those, at most how many were reported as lost.
    pub reported: u64,
    /// Events counted more than once.
    pub double_counted: i64,
    #[serde(skip)]
    faults: Vec<String>,
}

impl Verdict {
    /// Waits until everything is committed and the books balance. Returns the verdict with the
    /// time it took.
    ///
    /// # Errors
    /// They do not balance in time; with everything that is wrong.
    pub async fn settle(
        ledger: &Ledger,
        journal: &Journal,
        expected: &Expected,
    ) -> Result<(Self, Duration)> {
        let clock = Clock::system();
        let since = clock.now();
        let mut last = None;
        loop {
            let waited = clock.now() - since;
            if ledger.is_settled().await.unwrap_or(false) {
                let verdict = Self::of(&ledger.read().await?, (journal, ledger.events()), expected);
                if verdict.faults.is_empty() {
                    return Ok((verdict, waited));
                }
                last = Some(verdict);
            }
            if waited > expected.within.unwrap_or(SETTLES_WITHIN) {
                match last {
                    Some(verdict) => bail!("{verdict}\n{}", verdict.faults.join("\n")),
                    None => bail!("not settled: a backlog of {:?}", ledger.backlog().await),
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Compares what clients may rely on with what is there.
    #[must_use]
    pub fn of(books: &Books, (journal, events): (&Journal, &Events), expected: &Expected) -> Self {
        let stored = books.stored.len() as u64;
        let counted: i64 = books.counters.values().sum();
        let dropped = dropped(books, (journal, events), expected);
        let mut verdict = Self {
            sent: journal.transmitted(),
            acknowledged: journal.acknowledged_count(),
            stored,
            duplicates: books.receipt_duplicates,
            dead: books.dead_letters.values().sum(),
            dropped: 0,
            lost: 0,
            reported: expected.lost_max,
            double_counted: counted
                .saturating_sub_unsigned(stored + dropped.len() as u64)
                .max(0),
            faults: Vec::new(),
        };
        verdict.dropped = dropped.len() as u64;
        verdict.compare_ids(books, journal);
        verdict.compare_counts(books, &dropped, expected);
        verdict.lost -= verdict.dropped;
        let lost = verdict.lost;
        verdict.expect(lost <= expected.lost_max, || {
            format!("{lost} acknowledged events lost")
        });
        let dead: BTreeMap<&str, u64> = books
            .dead_letters
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
            .collect();
        verdict.expect(dead == expected.dead_letters, || {
            format!("dead letters: {dead:?}")
        });
        verdict
    }

    fn compare_ids(&mut self, books: &Books, journal: &Journal) {
        let mut documents: HashMap<u32, u64> = HashMap::new();
        for (id, (number, event_type)) in &books.stored {
            *documents.entry(*number).or_default() += 1;
            self.expect(event_type == Events::event_type(*number), || {
                format!("event {number} is stored as {event_type}")
            });
            match journal.get(*number) {
                None => self.fault(format!("event {number} is stored and was never sent")),
                Some(Sent::Acknowledged(known)) => self.expect(known == *id, || {
                    format!("event {number} is stored as {id}, acknowledged as {known}")
                }),
                Some(Sent::Unknown) => {}
            }
        }
        let twice = documents.values().filter(|count| **count > 1).count();
        self.expect(twice == 0, || format!("{twice} events are stored twice"));
        let in_two = books.in_two_spans;
        self.expect(in_two == 0, || format!("{in_two} events are in two spans"));
        self.expect(books.invented == 0, || {
            format!("{} documents are of nobody", books.invented)
        });
        for (_, sent) in journal.events() {
            if let Sent::Acknowledged(id) = sent
                && !books.stored.contains_key(&id)
                && !books.dead_ids.contains(&id)
            {
                self.lost += 1;
            }
        }
    }

    fn compare_counts(&mut self, books: &Books, dropped: &[u32], expected: &Expected) {
        let mut stored = ByType::new();
        let there = books
            .stored
            .values()
            .map(|(_, event_type)| event_type.as_str());
        let gone = dropped.iter().map(|number| Events::event_type(*number));
        for event_type in there.chain(gone) {
            *stored.entry(event_type.to_owned()).or_default() += 1;
        }
        self.expect(books.receipts == stored, || {
            format!("receipts {:?}, stored {stored:?}", books.receipts)
        });
        self.expect(books.counters == stored, || {
            format!("counters {:?}, stored {stored:?}", books.counters)
        });
        for (step, sums) in &books.buckets {
            self.expect(*sums == stored, || {
                format!("{step:?} buckets {sums:?}, stored {stored:?}")
            });
        }
        let of_totals = (books.counted, books.duplicates, books.dead_lettered);
        let of_receipts = (
            books.receipts.values().sum(),
            books.receipt_duplicates,
            books.receipt_dead,
        );
        self.expect(expected.forgot || of_totals == of_receipts, || {
            format!("totals {of_totals:?}, receipts {of_receipts:?} (new, duplicate, dead)")
        });
    }

    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.fault(fault());
        }
    }

    /// The first of a kind say enough; a broken run has thousands.
    fn fault(&mut self, fault: String) {
        const SHOWN: usize = 20;
        if self.faults.len() < SHOWN {
            self.faults.push(fault);
        }
    }

    /// Acknowledged events that are nowhere and that nothing reported.
    #[must_use]
    pub fn unreported(&self) -> u64 {
        self.lost.saturating_sub(self.reported)
    }
}

/// Acknowledged events that are not there any more because their span was dropped.
fn dropped(books: &Books, (journal, events): (&Journal, &Events), expected: &Expected) -> Vec<u32> {
    let is_gone = |(number, sent): (u32, Sent)| match sent {
        Sent::Acknowledged(id)
            if events
                .timestamp_ms(number)
                .is_some_and(|ms| ms < expected.gone_ms) =>
        {
            let is_there = books.stored.contains_key(&id) || books.dead_ids.contains(&id);
            (!is_there).then_some(number)
        }
        _ => None,
    };
    journal.events().filter_map(is_gone).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {}, acknowledged {}, stored {}, duplicates {}, dead-lettered {}, lost {}, \
             double-counted {}",
            self.sent,
            self.acknowledged,
            self.stored,
            self.duplicates,
            self.dead,
            self.lost,
            self.double_counted
        )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn balanced() -> (Books, Journal) {
        let ids: Vec<Uuid> = (1..=2).map(Uuid::from_u128).collect();
        let mut journal = Journal::default();
        journal.sending(0..2);
        journal.acknowledged(0..2, &ids).unwrap();
        let mut books = Books::default();
        for (number, id) in (0..).zip(ids) {
            let event_type = Events::event_type(number).to_owned();
            *books.receipts.entry(event_type.clone()).or_default() += 1;
            *books.counters.entry(event_type.clone()).or_default() += 1;
            books.stored.insert(id, (number, event_type));
        }
        books.counted = 2;
        (books, journal)
    }

    fn faults(change: impl FnOnce(&mut Books, &mut Journal)) -> usize {
        let (mut books, mut journal) = balanced();
        change(&mut books, &mut journal);
        let events = Events::new("r");
        Verdict::of(&books, (&journal, &events), &Expected::default())
            .faults
            .len()
    }

    #[test]
    fn books_that_balance_have_no_fault() {
        assert_eq!(faults(|_, _| {}), 0);
        assert_eq!(
            faults(|_, journal| journal.sending(2..3)),
            0,
            "unknown, not stored"
        );
    }

    #[test]
    fn each_way_to_be_wrong_is_a_fault() {
        let click = Events::event_type(0);
        assert_eq!(
            faults(|_, journal| journal.acknowledged(2..3, &[Uuid::from_u128(3)]).unwrap()),
            1,
            "lost"
        );
        assert_eq!(
            faults(|books, _| *books.counters.get_mut(click).unwrap() += 1),
            1,
            "counted twice"
        );
        assert_eq!(
            faults(|books, _| books.receipts.clear()),
            2,
            "no receipt, so the totals say more too"
        );
        assert_eq!(faults(|books, _| books.invented = 1), 1, "of nobody");
        assert_eq!(faults(|books, _| books.in_two_spans = 1), 1, "in two spans");
        assert_eq!(
            faults(|books, _| books.dead_letters.extend([("x".to_owned(), 1)])),
            1,
            "a dead letter nobody expects"
        );
        assert_eq!(
            faults(|books, _| books
                .buckets
                .push((evp_shared::counters::Step::Minute, ByType::new()))),
            1,
            "an empty bucket"
        );
        assert!(
            faults(|books, _| {
                let again = (0, click.to_owned());
                books.stored.insert(Uuid::from_u128(9), again);
            }) > 1,
            "stored twice, under another id"
        );
    }
}
