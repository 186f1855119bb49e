//! Canaries: numbered events of EVP's own, by which it sees whether what it takes is stored.
//!
//! Each ingest numbers its own, under a name it makes up at its start, and goes on to the next number only
//! once the last one is appended: so a number that lacks between two that are stored was lost.

use std::fmt;
use std::str::FromStr;

/// Whose events they are: a name that no tenant can have, so that nobody can ask for them.
pub const TENANT: &str = "evp.canary";

/// Their type.
pub const EVENT_TYPE: &str = "canary";

/// Their `eventId`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryId {
    /// What the ingest calls itself.
    pub ingest: String,
    /// Its number, from 1 on.
    pub number: u64,
}

/// No `eventId` of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no id of a canary")]
pub struct NoCanaryId;

impl CanaryId {
    /// The first one of an ingest, which makes up its name here.
    pub fn first() -> Self {
        Self {
            ingest: format!("{:016x}", rand::random::<u64>()),
            number: 1,
        }
    }
}

impl fmt::Display for CanaryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ingest, self.number)
    }
}

impl FromStr for CanaryId {
    type Err = NoCanaryId;

    fn from_str(text: &str) -> Result<Self, NoCanaryId> {
        let (ingest, number) = text.rsplit_once('-').ok_or(NoCanaryId)?;
        Ok(Self {
            ingest: ingest.to_owned(),
            number: number.parse().map_err(|_| NoCanaryId)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_ingest_and_its_number() {
        let first = CanaryId::first();
        assert_eq!(first.number, 1);
        assert_ne!(first, CanaryId::first());
        assert_eq!(first.to_string().parse(), Ok(first));
        for text in ["", "a", "a-", "a-x", "a--1x"] {
            assert_eq!(text.parse::<CanaryId>(), Err(NoCanaryId), "{text}");
        }
    }
}
