//! A frame that fails alone while MongoDB takes others: the documents at fault leave, one by one.
//!
//! Nothing but this tells a document MongoDB chokes on (an index that cannot hold it, a command
//! that always times out) from a MongoDB that is down. A document is refused when it failed alone
//! `TRIES` times, with a probe that went through after each: one failure is a fail-over's.

use evp_shared::store::{EVENTS, META};
use mongodb::error::{Error as MongoError, ErrorKind};

use crate::classify::Written;
use crate::insert::{Inserter, StoreFailure};

/// `_id` in [`META`] of the document that probes insert.
const PROBE: &str = "probe";

/// Inserts of a document alone that must fail before it is refused. Each that has no answer holds
/// one of the commands that may be without one, so there are few.
const TRIES: usize = 3;

/// Codes that no document causes. Probes do not show them all: a probe's own shard may work.
/// Source: MongoDB's error_codes.yml, categories NotPrimaryError, ShutdownError and NetworkError;
/// 133, no primary of a shard is found; 13 and 18, rights that were taken away.
const OF_NO_DOCUMENT: [i32; 16] = [
    6, 7, 13, 18, 89, 91, 133, 189, 202, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436,
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
            | Self::DeadLetters(_)
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

impl Inserter {
    /// As [`Self::insert`] into the events, for the documents of one frame alone: where that fails
    /// and a probe does not, halves until the documents at fault stand alone, and refuses those
    /// that go on to fail.
    ///
    /// # Errors
    /// [`StoreFailure`] where probes fail too: MongoDB is at fault, not a document.
    pub async fn insert_isolating(
        &self,
        documents: &[&[u8]],
    ) -> Result<Vec<Written>, StoreFailure> {
        let mut written = vec![Written::Inserted; documents.len()];
        let mut parts = vec![(0, documents.len())];
        while let Some((from, to)) = parts.pop() {
            let Some(part) = documents.get(from..to).filter(|part| !part.is_empty()) else {
                continue;
            };
            match self.insert(EVENTS, part).await {
                Ok(found) => {
                    for (slot, found) in written.iter_mut().skip(from).zip(found) {
                        *slot = found;
                    }
                }
                Err(failure) if failure.may_be_a_document() => {
                    self.probe().await?;
                    if part.len() > 1 {
                        let middle = from + part.len() / 2;
                        parts.extend([(from, middle), (middle, to)]);
                    } else if let Some(slot) = written.get_mut(from) {
                        *slot = self.try_on(part, failure).await?;
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
        alone: &[&[u8]],
        mut failure: StoreFailure,
    ) -> Result<Written, StoreFailure> {
        for _ in 1..TRIES {
            match self.insert(EVENTS, alone).await {
                Ok(mut written) => return written.pop().ok_or(StoreFailure::Protocol),
                Err(again) if again.may_be_a_document() => failure = again,
                Err(again) => return Err(again),
            }
            self.probe().await?;
        }
        Ok(refused(&failure))
    }

    /// Inserts a document that cannot be at fault.
    ///
    /// # Errors
    /// [`StoreFailure`]: MongoDB does not take anything.
    pub async fn probe(&self) -> Result<(), StoreFailure> {
        let mut probe = bson::RawDocumentBuf::new();
        probe.append(bson::cstr!("_id"), PROBE);
        self.insert(META, &[probe.as_bytes()]).await.map(drop)
    }
}

fn refused(failure: &StoreFailure) -> Written {
    let code = match failure {
        StoreFailure::Systemic { code, .. } => *code,
        _ => 0,
    };
    Written::Refused {
        code,
        message: failure.to_string(),
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
        for code in [
            6, 7, 13, 18, 89, 91, 133, 189, 202, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435,
            13_436,
        ] {
            assert!(!systemic(code).may_be_a_document(), "{code}");
        }
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
}
