use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, ensure};
use uuid::Uuid;

/// What a client knows of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Sent at least once, and never acknowledged: it may be stored or not.
    Unknown,
    /// Acknowledged with `202`, under this canonical id.
    Acknowledged(Uuid),
}

/// What clients may rely on, event by event.
#[derive(Debug, Default, Clone)]
pub struct Journal {
    events: BTreeMap<u32, Sent>,
    transmitted: u64,
    accepted: u64,
}

impl Journal {
    /// Notes that these events are about to be sent.
    pub fn sending(&mut self, numbers: Range<u32>) {
        self.transmitted += numbers.len() as u64;
        for number in numbers {
            self.events.entry(number).or_insert(Sent::Unknown);
        }
    }

    /// Notes a `202` with these canonical ids.
    ///
    /// # Errors
    /// An event was given another canonical id before.
    pub fn acknowledged(&mut self, numbers: Range<u32>, ids: &[Uuid]) -> Result<()> {
        ensure!(numbers.len() == ids.len(), "one id for each event");
        self.accepted += ids.len() as u64;
        for (number, id) in numbers.zip(ids) {
            let before = self.events.insert(number, Sent::Acknowledged(*id));
            if let Some(Sent::Acknowledged(before)) = before {
                ensure!(before == *id, "event {number} is both {before} and {id}");
            }
        }
        Ok(())
    }

    /// Adds what other clients know.
    ///
    /// # Errors
    /// The two were given different canonical ids for one event.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.transmitted += other.transmitted;
        self.accepted += other.accepted;
        for (number, sent) in &other.events {
            match (self.events.get(number), sent) {
                (Some(Sent::Acknowledged(own)), Sent::Acknowledged(id)) => {
                    ensure!(own == id, "event {number} is both {own} and {id}");
                }
                (Some(Sent::Acknowledged(_)), Sent::Unknown) => {}
                (Some(Sent::Unknown) | None, sent) => {
                    self.events.insert(*number, *sent);
                }
            }
        }
        Ok(())
    }

    /// All events that were sent.
    pub fn events(&self) -> impl Iterator<Item = (u32, Sent)> {
        self.events.iter().map(|(number, sent)| (*number, *sent))
    }

    /// What is known of one event; `None` when it was never sent.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Sent> {
        self.events.get(&number).copied()
    }

    /// Distinct events that were acknowledged.
    #[must_use]
    pub fn acknowledged_count(&self) -> u64 {
        self.events
            .values()
            .filter(|sent| matches!(sent, Sent::Acknowledged(_)))
            .count() as u64
    }

    /// Distinct events that were sent.
    #[must_use]
    pub fn sent_count(&self) -> u64 {
        self.events.len() as u64
    }

    /// Events in all requests, repetitions included.
    #[must_use]
    pub fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// Sum of what the answers said was accepted, repetitions included.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_outweighs_what_is_unknown_and_never_changes() {
        let id = Uuid::from_u128(1);
        let mut one = Journal::default();
        one.sending(0..2);
        let mut other = one.clone();
        other.acknowledged(0..1, &[id]).unwrap();
        one.merge(&other).unwrap();
        assert_eq!(one.get(0), Some(Sent::Acknowledged(id)));
        assert_eq!(one.get(1), Some(Sent::Unknown));
        assert_eq!((one.sent_count(), one.acknowledged_count()), (2, 1));
        assert_eq!((one.transmitted(), one.accepted()), (4, 1));
        assert!(one.acknowledged(0..1, &[Uuid::from_u128(2)]).is_err());
    }
}
