//! A frame that fails alone while MongoDB takes others: the documents at fault leave, one by one.
//!
//! Nothing but this tells a document MongoDB chokes on (an index that cannot hold it, a command
//! that always times out) from a MongoDB that is down. Each verdict stands between two probes that
//! went through: without them a fail-over would make dead letters.

use evp_shared::store::{EVENTS, META};

use crate::classify::Written;
use crate::insert::{Inserter, StoreFailure};

/// `_id` in [`META`] of the document that probes insert.
const PROBE: &str = "probe";

impl StoreFailure {
    /// Whether a document may be the reason.
    fn may_be_a_document(&self) -> bool {
        match self {
            Self::Deadline(_) | Self::Mongo(_) | Self::Systemic { .. } | Self::Protocol => true,
            Self::Stuck
            | Self::WriteConcern(_)
            | Self::DeadLetters(_)
            | Self::DeadLettersFull { .. } => false,
        }
    }
}

impl Inserter {
    /// As [`Self::insert`] into the events, for the documents of one frame alone: where that fails
    /// and a probe does not, halves until the documents at fault stand alone, and refuses those.
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
                        *slot = refused(&failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(written)
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
