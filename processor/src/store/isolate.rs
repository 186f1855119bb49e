//! A frame that fails alone while MongoDB takes others: the documents at fault leave, one by one,
//! span by span.
//!
//! Nothing but this tells a document MongoDB chokes on (an index that cannot hold it, a command
//! that always times out) from a MongoDB that is down or slow. A frame is taken apart when it has
//! failed alone twice in a row: halves of one that was only late would add to what made it late. A
//! document is refused when it failed alone `TRIES` times, with a probe that went through after
//! each: one failure is a fail-over's.
//!
//! A probe takes the way of the document it speaks for: into the same collection, as long, and no
//! shorter when compressed. It is taken away again. One that a crash leaves behind has an `_id` of
//! text and no other field of an event, so no query of EVP finds it, and every later probe and
//! start takes it away.

use bson::spec::BinarySubtype;
use bson::{Binary, Document, RawDocumentBuf, doc, rawdoc};
use evp_shared::store::spans::ANOTHER_COLLECTION;
use evp_shared::store::{State, spans};
use mongodb::error::{Error as MongoError, ErrorKind};
use rand::Rng as _;

use crate::store::events::Events;
use crate::store::insert::{StoreFailure, halves};
use crate::store::spans::Known;
use crate::written::Written;

/// What the `_id` of a probe begins with; an event's is a UUID. The second one sorts after all of them.
const PROBES: (&str, &str) = ("probe:", "probe;");
/// Bytes of a probe besides its noise.
const PROBE_BYTES: usize = 49;

/// Spans that are looked at for probes at a start.
const CLEANED_MAX: usize = 32;

/// Inserts of a document alone that must fail before it is refused. Each that has no answer holds
/// one of the commands that may be without one, so there are few.
const TRIES: usize = 3;

/// Codes that no document causes. Probes do not show them all: a probe's own shard may work.
/// Source: MongoDB's error_codes.yml, categories NotPrimaryError, ShutdownError and NetworkError;
/// 133, no primary of a shard is found; 13 and 18, rights that were taken away; 8 (what WiredTiger
/// says of a full disk) and 14031, no room; 100, too few members; 112, 365 and 11601, others were in
/// the way, or a person; 361, the span is another one.
const OF_NO_DOCUMENT: [i32; 23] = [
    6,
    7,
    8,
    13,
    18,
    89,
    91,
    100,
    112,
    133,
    189,
    202,
    365,
    9_001,
    10_058,
    10_107,
    11_600,
    11_601,
    11_602,
    13_435,
    13_436,
    14_031,
    ANOTHER_COLLECTION,
];

impl StoreFailure {
    /// Whether a document may be the reason.
    fn may_be_a_document(&self) -> bool {
        match self {
            Self::Deadline(_) | Self::Protocol => true,
            Self::Mongo(error) => may_be_a_document(error),
            Self::Systemic { code, .. } => !OF_NO_DOCUMENT.contains(code),
            Self::Stuck
            | Self::WriteConcern(_)
            | Self::NoSpan(_)
            | Self::DeadLetters(_)
            | Self::Restarted
            | Self::DeadLettersFull { .. } => false,
        }
    }
}

fn may_be_a_document(error: &MongoError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => !OF_NO_DOCUMENT.contains(&command.code),
        // Nothing was sent.
        ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::Shutdown => false,
        // A lost connection too, which a document may kill: one that was lost for another reason
        // is there again with the next try.
        _ => true,
    }
}

impl Events {
    /// As an insert into `known`; where that fails and a probe does not, halves until the documents at
    /// fault stand alone, and refuses those that go on to fail.
    ///
    /// # Errors
    /// [`StoreFailure`] where probes fail too: MongoDB is at fault, not a document.
    pub(super) async fn isolate(
        &self,
        known: &Known,
        documents: &[&[u8]],
    ) -> Result<Vec<Written>, StoreFailure> {
        let mut written = Vec::new();
        let mut parts = vec![documents];
        while let Some(part) = parts.pop() {
            match self.inserter.insert(known.target(), part).await {
                Ok(found) if found.len() == documents.len() => return Ok(found),
                Ok(found) => written.extend(found),
                Err(failure) if failure.may_be_a_document() => {
                    self.probe(known, longest(part)).await?;
                    if part.len() > 1 {
                        parts.extend(halves(part));
                    } else {
                        written.push(self.try_on(known, part, failure).await?);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(written)
    }

    /// What becomes of the one document in `alone`, which failed with `failure` while a probe went
    /// through.
    async fn try_on(
        &self,
        known: &Known,
        alone: &[&[u8]],
        mut failure: StoreFailure,
    ) -> Result<Written, StoreFailure> {
        for _ in 1..TRIES {
            match self.inserter.insert(known.target(), alone).await {
                Ok(mut written) => return written.pop().ok_or(StoreFailure::Protocol),
                Err(again) if again.may_be_a_document() => failure = again,
                Err(again) => return Err(again),
            }
            self.probe(known, longest(alone)).await?;
        }
        let message = failure.to_string();
        let code = match failure {
            StoreFailure::Systemic { code, .. } => code,
            _ => 0,
        };
        Ok(Written::Refused { code, message })
    }

    /// Inserts a document of `bytes` bytes that cannot be at fault into `known`, and takes it away
    /// again.
    ///
    /// # Errors
    /// [`StoreFailure`]: MongoDB does not take anything as long.
    pub(super) async fn probe(&self, known: &Known, bytes: usize) -> Result<(), StoreFailure> {
        let probe = probe_of(bytes);
        let probe = [probe.as_bytes()];
        let inserted = self.inserter.insert(known.target(), &probe).await;
        // Also what failed may be there.
        let removed = self.remove_probes(known.name()).await;
        // An operator's validator may refuse it: then MongoDB has answered, and no more can be had.
        inserted.and(removed)
    }

    /// Takes away what a crash left, of the newest of the spans that events come into. Nobody sees
    /// the others, and the next probe there takes them away.
    ///
    /// # Errors
    /// [`StoreFailure`]; repeating is harmless.
    pub async fn remove_left_probes(&self) -> Result<(), StoreFailure> {
        let database = self.inserter.database().clone();
        let read = async move { spans::rows(&database, std::time::Duration::ZERO).await };
        let rows = self.inserter.within(read).await??;
        let hot = rows.iter().rev().filter(|row| row.state == State::Hot);
        for row in hot.take(CLEANED_MAX) {
            self.remove_probes(&row.name()).await?;
        }
        Ok(())
    }

    /// Takes away all probes in the collection `name`: others' too, which have been answered or failed.
    async fn remove_probes(&self, name: &str) -> Result<(), StoreFailure> {
        let events = self.inserter.database().collection::<Document>(name);
        let probes = doc! { "_id": { "$gte": PROBES.0, "$lt": PROBES.1 } };
        let remove = async move { events.delete_many(probes).await };
        self.inserter.within(remove).await??;
        Ok(())
    }
}

fn longest(documents: &[&[u8]]) -> usize {
    documents.iter().map(|one| one.len()).max().unwrap_or(0)
}

fn probe_of(bytes: usize) -> RawDocumentBuf {
    let mut noise = vec![0; bytes.saturating_sub(PROBE_BYTES)];
    rand::rng().fill_bytes(&mut noise);
    rawdoc! {
        "_id": format!("{}{:016x}", PROBES.0, rand::random::<u64>()),
        "noise": Binary { subtype: BinarySubtype::Generic, bytes: noise },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn systemic(code: i32) -> StoreFailure {
        StoreFailure::Systemic {
            code,
            message: String::new(),
        }
    }

    #[test]
    fn a_server_that_is_not_primary_stops_or_is_not_reached_is_no_documents_fault() {
        for code in OF_NO_DOCUMENT {
            assert!(!systemic(code).may_be_a_document(), "{code}");
        }
        assert!([8, 14_031].iter().all(|code| OF_NO_DOCUMENT.contains(code)));
        assert!(!StoreFailure::Stuck.may_be_a_document());
        let closed = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for failure in [
            // An index that cannot hold it; the time is over.
            systemic(16_755),
            systemic(50),
            StoreFailure::Deadline(Duration::from_secs(1)),
            StoreFailure::Mongo(closed.into()),
        ] {
            assert!(failure.may_be_a_document(), "{failure}");
        }
    }

    #[test]
    fn a_probe_is_as_long_as_what_it_speaks_for() {
        for bytes in [100, 1_000, 256 * 1_024] {
            assert_eq!(probe_of(bytes).as_bytes().len(), bytes);
        }
        assert!(probe_of(0).as_bytes().len() < 100);
    }
}
