//! The insert command: documents go to MongoDB as the bytes they are.
//!
//! Hot path: one copy of the documents into the command, no re-encoding, nothing per event.
//!
//! The driver has no deadline for an operation and warns against dropping its futures. So a
//! command runs in a task of its own, and a missed deadline means *unknown*: the documents may be
//! stored or not.

mod proof;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, RawDocumentBuf, Uuid};
use evp_shared::store::code_of;
use evp_shared::store::spans::ANOTHER_COLLECTION;
use mongodb::Database;
use mongodb::error::{Error as MongoError, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::proof::Server;
use crate::written::Written;

/// MongoDB's code for a key that is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// Codes that say: this document will never be taken. The list is closed; every other code is a
/// failure of the system, above all the ones a step-down puts into `writeErrors`.
/// Source: MongoDB's error_codes.yml; 10334 BSONObjectTooLarge, 17280 key too long for an index.
const PERMANENT: [i32; 12] = [2, 9, 14, 15, 22, 52, 53, 56, 57, 121, 10_334, 17_280];

/// Codes with which the server refuses a whole command because of one document in it: nested too
/// deeply (15), malformed (22), too large (10334). Fewer than [`PERMANENT`]: a command that is
/// refused for its own sake must not send every document to the dead letters.
const PERMANENT_FOR_COMMAND: [i32; 3] = [15, 22, 10_334];

/// Why a command to MongoDB has no usable answer. Nothing of it may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// No answer within the deadline: it may have been done.
    #[error("mongodb gave no answer within {0:?}")]
    Deadline(Duration),
    /// Too many earlier commands have no answer yet.
    #[error("too many commands without an answer")]
    Stuck,
    /// The connection or the server failed: it may have been done.
    #[error("mongodb failed")]
    Mongo(#[from] MongoError),
    /// Written, but not yet where a fail-over cannot undo it.
    #[error("write concern not met: {0}")]
    WriteConcern(String),
    /// The server refused a document for a reason that is not the document's.
    #[error("mongodb failed with code {code}: {message}")]
    Systemic {
        /// MongoDB's code.
        code: i32,
        /// MongoDB's words.
        message: String,
    },
    /// The dead letters are at their cap, and something cannot be stored.
    #[error(
        "the dead letters are full ({events} of {bytes} bytes): purge them with evp-processor dlq, \
         or raise dead_letters.max_events or dead_letters.max_bytes; then replay"
    )]
    DeadLettersFull {
        /// How many there are.
        events: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The dead letters could not be measured.
    #[error("dead letters not measured")]
    DeadLetters(#[source] Box<evp_shared::dead_letters::DeadLetterError>),
    /// What a server of its own showed may have gone when it was killed.
    #[error("mongodb was started anew between a read and what follows from it")]
    Restarted,
    /// A span went while it was being made.
    #[error("the span {0} went while it was being made")]
    NoSpan(String),
    /// An answer that does not fit the command.
    #[error("unexpected answer from mongodb")]
    Protocol,
}

impl StoreFailure {
    /// Whether the server said nothing.
    pub(super) fn is_without_answer(&self) -> bool {
        match self {
            Self::Deadline(_) | Self::Stuck => true,
            Self::Mongo(error) => code_of(error).is_none(),
            _ => false,
        }
    }

    /// Whether the collection is not the one the insert named.
    pub fn is_of_another_collection(&self) -> bool {
        match self {
            Self::Systemic { code, .. } => *code == ANOTHER_COLLECTION,
            Self::Mongo(error) => code_of(error) == Some(ANOTHER_COLLECTION),
            _ => false,
        }
    }
}

/// What is inserted into.
#[derive(Debug, Clone, Copy)]
pub struct Target<'n> {
    /// The collection's name.
    pub name: &'n str,
    /// Which one of that name it must be. Without it MongoDB makes one that is missing.
    pub uuid: Option<Uuid>,
}

impl<'n> From<&'n str> for Target<'n> {
    fn from(name: &'n str) -> Self {
        Self { name, uuid: None }
    }
}

/// Runs commands under a deadline.
#[derive(Debug, Clone)]
pub struct Inserter {
    database: Database,
    deadline: Duration,
    unanswered: Arc<Semaphore>,
    /// Who answered last.
    server: Arc<Mutex<Option<Server>>>,
}

impl Inserter {
    /// Inserts into `database`; at most `unanswered_max` commands may be without an answer.
    pub fn new(database: Database, deadline: Duration, unanswered_max: usize) -> Self {
        Self {
            database,
            deadline,
            unanswered: Arc::new(Semaphore::new(unanswered_max)),
            server: Arc::default(),
        }
    }

    /// The database inserted into.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// How long an answer is waited for.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// Inserts `documents` with one unordered, journaled majority write, and says of each what
    /// became of it, in input order.
    ///
    /// A command the server refuses as a whole because of one document is halved until that
    /// document is alone.
    ///
    /// # Errors
    /// [`StoreFailure`]: any of the documents may be stored or not; nothing may be acknowledged.
    pub async fn insert<'n>(
        &self,
        target: impl Into<Target<'n>>,
        documents: &[&[u8]],
    ) -> Result<Vec<Written>, StoreFailure> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let target = target.into();
        let mut written = Vec::new();
        let mut parts = vec![documents];
        while let Some(part) = parts.pop() {
            match self.insert_part(target, part).await {
                // Nearly always the first part, which is the whole.
                Ok(found) if found.len() == documents.len() => return Ok(found),
                Ok(found) => written.extend(found),
                Err(StoreFailure::Mongo(error)) => {
                    let refusal = permanent(&error).ok_or(StoreFailure::Mongo(error))?;
                    if part.len() == 1 {
                        written.push(refusal);
                    } else {
                        parts.extend(halves(part));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(written)
    }

    async fn insert_part(
        &self,
        target: Target<'_>,
        documents: &[&[u8]],
    ) -> Result<Vec<Written>, StoreFailure> {
        let command = insert_command(target, documents)?;
        let database = self.database.clone();
        let run = async move { database.run_raw_command(command).await };
        let reply = self.within(run).await??;
        parse_reply(&reply, documents.len())
    }

    /// Runs `command` in a task of its own, and waits for it no longer than the deadline.
    ///
    /// # Errors
    /// [`StoreFailure::Deadline`], [`StoreFailure::Stuck`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver's futures must not be dropped; the semaphore bounds how many run on"
    )]
    pub async fn within<T: Send + 'static>(
        &self,
        command: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreFailure> {
        let permit = self.unanswered.clone().try_acquire_owned();
        let permit = permit.map_err(|_| StoreFailure::Stuck)?;
        let task = tokio::spawn(async move {
            let answer = command.await;
            drop(permit);
            answer
        });
        match tokio::time::timeout(self.deadline, task).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(StoreFailure::Protocol),
            Err(_) => Err(StoreFailure::Deadline(self.deadline)),
        }
    }
}

/// The halves of `part` as a stack holds them: the first one is taken first.
pub(super) fn halves<'a, 'd>(part: &'a [&'d [u8]]) -> [&'a [&'d [u8]]; 2] {
    let (first, second) = part.split_at(part.len() / 2);
    [second, first]
}

/// What a command that failed as a whole says of its one document, when it is the document's
/// fault.
fn permanent(error: &MongoError) -> Option<Written> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if PERMANENT_FOR_COMMAND.contains(&command.code) => {
            Some(Written::Refused {
                code: command.code,
                message: command.message.clone(),
            })
        }
        _ => None,
    }
}

fn insert_command(
    Target { name, uuid }: Target<'_>,
    documents: &[&[u8]],
) -> Result<RawDocumentBuf, StoreFailure> {
    let bytes: usize = documents.iter().map(|document| document.len() + 8).sum();
    let mut out = Vec::with_capacity(bytes + name.len() + 192);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(b"\x02insert\0");
    let name_bytes = i32::try_from(name.len() + 1).unwrap_or(i32::MAX);
    out.extend_from_slice(&name_bytes.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.extend_from_slice(b"\x08ordered\0\0");
    if let Some(uuid) = uuid {
        out.extend_from_slice(b"\x05collectionUUID\0\x10\0\0\0\x04");
        out.extend_from_slice(&uuid.bytes());
    }
    // writeConcern: { w: "majority", j: true }
    out.extend_from_slice(b"\x03writeConcern\0\x19\0\0\0\x02w\0\x09\0\0\0majority\0\x08j\0\x01\0");
    out.extend_from_slice(b"\x04documents\0");
    let array = out.len();
    out.extend_from_slice(&[0; 4]);
    for (index, document) in documents.iter().enumerate() {
        out.push(0x03);
        // Writing into a Vec cannot fail.
        write!(out, "{index}\0").map_err(|_| StoreFailure::Protocol)?;
        out.extend_from_slice(document);
    }
    out.push(0);
    close(&mut out, array)?;
    out.push(0);
    close(&mut out, 0)?;
    RawDocumentBuf::from_bytes(out).map_err(|_| StoreFailure::Protocol)
}

/// Writes the length of the document that begins at `start` and ends where `out` does.
fn close(out: &mut [u8], start: usize) -> Result<(), StoreFailure> {
    let length = i32::try_from(out.len() - start).map_err(|_| StoreFailure::Protocol)?;
    let field = out.get_mut(start..start + 4);
    let field = field.ok_or(StoreFailure::Protocol)?;
    field.copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// What became of each of the `documents`, in their order.
fn parse_reply(reply: &Document, documents: usize) -> Result<Vec<Written>, StoreFailure> {
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Err(StoreFailure::WriteConcern(error.to_string()));
    }
    let mut written = vec![Written::Inserted; documents];
    let faults = reply
        .get_array("writeErrors")
        .map_or(&[][..], Vec::as_slice);
    for fault in faults {
        let fault = fault.as_document().ok_or(StoreFailure::Protocol)?;
        let slot = written.get_mut(number(fault, "index")?);
        *slot.ok_or(StoreFailure::Protocol)? = parse_fault(fault)?;
    }
    if number(reply, "n")? + faults.len() == documents {
        Ok(written)
    } else {
        Err(StoreFailure::Protocol)
    }
}

fn number(document: &Document, name: &str) -> Result<usize, StoreFailure> {
    let number = document.get_i32(name).ok();
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or(StoreFailure::Protocol)
}

fn parse_fault(error: &Document) -> Result<Written, StoreFailure> {
    let code = error.get_i32("code").map_err(|_| StoreFailure::Protocol)?;
    // Another unique index is the operator's own: its duplicates will never be taken.
    let is_of_id = error
        .get_document("keyPattern")
        .is_ok_and(|pattern| pattern.len() == 1 && pattern.contains_key("_id"));
    if code == DUPLICATE_KEY && is_of_id {
        return Ok(Written::DuplicateKey);
    }
    let message = error.get_str("errmsg").unwrap_or_default().to_owned();
    if code == DUPLICATE_KEY || PERMANENT.contains(&code) {
        Ok(Written::Refused { code, message })
    } else {
        Err(StoreFailure::Systemic { code, message })
    }
}

#[cfg(test)]
mod tests;
