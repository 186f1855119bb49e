//! MongoDB as EVP uses it: how to connect, which collections and indexes there are, and the
//! fingerprint that keeps a service with another identity away.
//!
//! | collection | `_id` | holds |
//! |---|---|---|
//! | `events_*`, a span each | canonical id | the documents, once each |
//! | `receipts` | frame id | what one frame added, for ever |
//! | `dead_letters` | canonical id and frame, or life and entry | what could not be stored, and why |
//! | `meta` | a name | the fingerprint of what fixes identity, the calendar, a row per span, the marks |
//!
//! Beside it, in the database [`access`]:
//!
//! | collection | `_id` | holds |
//! |---|---|---|
//! | `tenants`, `keys` | its id | whose events are whose, and who may send or see them |
//! | `audit` | an ObjectId, or a text at its end | what was asked for, and what came of it ([`crate::audit`]) |
//! | `meta` | a name | the number that versions of who may come in are taken from |

mod index;
pub mod lease;
mod row;
pub mod spans;

use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::error::{Error as MongoError, ErrorKind};
use mongodb::options::{
    ClientOptions, CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria, Tls,
    TlsOptions, WriteConcern,
};
use mongodb::{Client, Collection, Database};

pub use index::{Index, SpanIndex, State};
pub use row::{DAYS_MAX, Outside, Row, day_of};
pub use spans::Marks;

use crate::config::MongoConfig;
use crate::event::span::{Calendar, SpanUnit};

/// Collection of events where they do not lie in spans.
pub const EVENTS: &str = "events";
/// Collection of receipts.
pub const RECEIPTS: &str = "receipts";
/// Collection of dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";
/// Collection of what operators asked for; it lies in [`access`].
pub const AUDIT: &str = "audit";
/// Collection of what holds for the whole database.
pub const META: &str = "meta";

/// What the name of the database [`access`] has behind that of the events.
pub const ACCESS_SUFFIX: &str = "_access";

/// `_id` in [`META`] of the fingerprint.
const IDENTITY: &str = "identity";

/// Without answer from a server for this long, it counts as gone. Source: the driver's defaults
/// (10 s and 10 s) notice a silent server after 20 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_secs(2);
const SELECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the database is not ready for EVP.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// MongoDB does not answer, or not as expected.
    #[error("mongodb did not answer")]
    Mongo(#[from] MongoError),
    /// The events in it were given their identity in another way.
    #[error(
        "the database holds events of identity {stored:08x}, this service makes {own:08x}: \
         dedupe.identity and storage.salt_bits can change only with a new database"
    )]
    Identity {
        /// Fingerprint in the database.
        stored: u32,
        /// Fingerprint of this service.
        own: u32,
    },
    /// Its spans are of another unit.
    #[error(
        "the database keeps its events by the {stored}, storage.span says {own}: set storage.span to \
         {stored}, or take a new database (mongo.database)"
    )]
    Unit {
        /// Unit in the database.
        stored: SpanUnit,
        /// Unit of this service.
        own: SpanUnit,
    },
    /// Its events lie as another version of EVP lays them.
    #[error(
        "the database is of another version of EVP ({found}): nothing was written to it; take a \
         new one (mongo.database, and redis.key_prefix beside it), and export from the old one \
         with the version that wrote it"
    )]
    Layout {
        /// What was found there.
        found: String,
    },
}

/// Opens the configured database over at most `connections` connections, with bounded waits and
/// without retryable writes: the deterministic `_id` is what makes a retry safe, and they double
/// the cost of a duplicate.
///
/// # Errors
/// The URI is malformed. Whether there is a server is seen at the first command.
pub async fn connect(config: &MongoConfig, connections: u32) -> Result<Database, MongoError> {
    let mut options = ClientOptions::parse(config.uri.expose()).await?;
    options.app_name.get_or_insert_with(|| "evp".to_owned());
    options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    options
        .server_selection_timeout
        .get_or_insert(SELECTION_TIMEOUT);
    options.max_pool_size.get_or_insert(connections);
    options.retry_writes = Some(false);
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    if let Some(file) = &config.ca_file {
        let tls = TlsOptions::builder().ca_file_path(file.clone()).build();
        options.tls = Some(Tls::Enabled(tls));
    }
    Ok(Client::with_options(options)?.database(&config.database))
}

/// Makes the collections that are missing beside the spans, and checks what the first service to come
/// writes: the calendar, whose spans are of `unit`, and the fingerprint.
///
/// # Errors
/// [`StoreError`]; repeating is harmless. A database of another layout stays as it is.
pub async fn prepare(
    database: &Database,
    unit: SpanUnit,
    fingerprint: u32,
) -> Result<Calendar, StoreError> {
    let calendar = spans::claim_calendar(database, unit).await?;
    for name in [RECEIPTS, DEAD_LETTERS, META] {
        create_collection(database, name).await?;
    }
    check_fingerprint(database, fingerprint).await?;
    Ok(calendar)
}

async fn create_collection(database: &Database, name: &str) -> Result<(), MongoError> {
    const NAMESPACE_EXISTS: i32 = 48;
    match database.run_command(doc! { "create": name }).await {
        Err(error) if code_of(&error) == Some(NAMESPACE_EXISTS) => Ok(()),
        other => other.map(drop),
    }
}

async fn check_fingerprint(database: &Database, own: u32) -> Result<(), StoreError> {
    let meta = database.collection::<Document>(META);
    let found = meta
        .find_one_and_update(
            doc! { "_id": IDENTITY },
            doc! { "$setOnInsert": { "fingerprint": i64::from(own) } },
        )
        .upsert(true)
        .return_document(mongodb::options::ReturnDocument::After)
        .await?;
    match found.as_ref().and_then(fingerprint_in) {
        Some(stored) if stored != own => Err(StoreError::Identity { stored, own }),
        _ => Ok(()),
    }
}

/// The fingerprint of the events in `database`; `None` when no service has written one yet. MongoDB
/// may work on the answer for `limit`; zero is no limit.
///
/// # Errors
/// MongoDB's.
pub async fn stored_fingerprint(
    database: &Database,
    limit: Duration,
) -> Result<Option<u32>, MongoError> {
    let meta = database.collection::<Document>(META);
    let found = meta.find_one(doc! { "_id": IDENTITY }).max_time(limit);
    let found = found.await?;
    Ok(found.as_ref().and_then(fingerprint_in))
}

fn fingerprint_in(document: &Document) -> Option<u32> {
    let stored = document.get("fingerprint").and_then(Bson::as_i64)?;
    u32::try_from(stored).ok()
}

/// The database beside that of the events: who may come in, and what operators asked for.
///
/// MongoDB gives rights for one collection or for all of a database. Whoever makes and drops spans
/// needs them for all, and must not have them for these.
pub fn access(database: &Database) -> Database {
    let name = format!("{}{ACCESS_SUFFIX}", database.name());
    database.client().database(&name)
}

/// A collection whose writes survive a fail-over once they are answered.
pub fn durable(database: &Database, name: &str) -> Collection<Document> {
    let mut concern = WriteConcern::majority();
    concern.journal = Some(true);
    let options = CollectionOptions::builder().write_concern(concern).build();
    database.collection_with_options(name, options)
}

/// A count, which the server answers as the number that holds it.
pub fn whole(number: &Bson) -> Option<u64> {
    match number {
        Bson::Double(number) => format!("{number:.0}").parse().ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        Bson::Int32(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// The server's code of a command that failed as a whole.
pub fn code_of(error: &MongoError) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
