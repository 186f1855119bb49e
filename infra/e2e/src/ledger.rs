use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use bson::{Bson, Document, doc};
use evp_shared::counters::{Step, split_field};
use evp_shared::event::span::SPANS;
use evp_shared::store::{DEAD_LETTERS, RECEIPTS};
use evp_shared::stream::Stream;
use futures::TryStreamExt as _;
use mongodb::Database;
use uuid::Uuid;

use crate::Events;

/// Events by type.
pub(crate) type ByType = BTreeMap<String, i64>;

/// Reads what `MongoDB` and Redis hold, by their own means: no service is asked.
#[derive(Debug)]
pub struct Ledger {
    stream: Stream,
    database: Database,
    events: Events,
}

/// One reading of everything.
#[derive(Debug, Default)]
pub struct Books {
    /// Number and type of each stored event under its canonical id.
    pub stored: HashMap<Uuid, (u32, String)>,
    /// Documents whose `eventId` no client sent.
    pub invented: u64,
    /// Documents whose canonical id another span holds as well.
    pub in_two_spans: u64,
    /// Receipts: new events by type.
    pub receipts: BTreeMap<String, i64>,
    /// Receipts: events stored before.
    pub receipt_duplicates: i64,
    /// Receipts: events among the dead letters.
    pub receipt_dead: i64,
    /// Counter over all time, by type.
    pub counters: BTreeMap<String, i64>,
    /// Sums of the second, minute and hour buckets, by type.
    pub buckets: Vec<(Step, BTreeMap<String, i64>)>,
    /// Totals of the commits: new events.
    pub counted: i64,
    /// Totals of the commits: duplicates.
    pub duplicates: i64,
    /// Totals of the commits: events among the dead letters.
    pub dead_lettered: i64,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Canonical ids among them.
    pub dead_ids: BTreeSet<Uuid>,
}

impl Ledger {
    pub(crate) fn new(stream: Stream, database: Database, events: Events) -> Self {
        Self {
            stream,
            database,
            events,
        }
    }

    /// The events it looks for.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Whether everything appended has been committed: nothing pending, no backlog.
    ///
    /// # Errors
    /// Redis does not answer, or there is no stream.
    pub async fn is_settled(&self) -> Result<bool> {
        // Totals first: a frame is pending from before it leaves the backlog until after.
        let mut open = self.backlog().await?.unsigned_abs();
        for partition in 0..self.stream.partitions() {
            open += self.stream.pending(partition).await?.entries;
        }
        Ok(open == 0)
    }

    /// Events appended and not committed.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn backlog(&self) -> Result<i64> {
        let mut backlog = 0;
        for partition in 0..self.stream.partitions() {
            backlog += self.stream.totals(partition).await?.backlog_events();
        }
        Ok(backlog)
    }

    /// Reads everything.
    ///
    /// # Errors
    /// A server does not answer, or a document is not in the documented form.
    pub async fn read(&self) -> Result<Books> {
        let mut books = Books::default();
        self.read_events(&mut books).await?;
        let seconds = self.read_receipts(&mut books).await?;
        self.read_dead_letters(&mut books).await?;
        books.buckets = Step::ALL.map(|step| (step, ByType::new())).to_vec();
        for partition in 0..self.stream.partitions() {
            self.read_counts(&mut books, partition, seconds).await?;
        }
        Ok(books)
    }

    /// Adds what is counted on `partition`, in the buckets from the first to the last of `seconds`.
    async fn read_counts(
        &self,
        books: &mut Books,
        partition: u16,
        seconds: Option<(u64, u64)>,
    ) -> Result<()> {
        let totals = self.stream.totals(partition).await?;
        books.counted += totals.counted_events;
        books.duplicates += totals.duplicate_events;
        books.dead_lettered += totals.dead_lettered_events;
        add(
            &mut books.counters,
            self.stream.count_total(partition).await?,
        );
        let Some((first, last)) = seconds else {
            return Ok(());
        };
        for (step, sums) in &mut books.buckets {
            let range = step.bucket(first)..step.bucket(last) + 1;
            for bucket in self.stream.count_buckets(partition, *step, range).await? {
                add(sums, bucket);
            }
        }
        Ok(())
    }

    async fn read_events(&self, books: &mut Books) -> Result<()> {
        for name in self.database.list_collection_names().await? {
            if name.starts_with(SPANS.0) {
                self.read_span(&name, books).await?;
            }
        }
        Ok(())
    }

    async fn read_span(&self, name: &str, books: &mut Books) -> Result<()> {
        let events = self.database.collection::<Document>(name);
        let mut cursor = events
            .find(doc! {})
            .projection(doc! { "eventId": 1, "eventType": 1 })
            .batch_size(10_000)
            .await?;
        while let Some(event) = cursor.try_next().await? {
            let id = uuid(event.get("_id")).context("an _id that is no UUID")?;
            let number = event.get_str("eventId").ok();
            match number.and_then(|event_id| self.events.number(event_id)) {
                Some(number) => {
                    let event_type = event.get_str("eventType")?.to_owned();
                    let there = books.stored.insert(id, (number, event_type));
                    books.in_two_spans += u64::from(there.is_some());
                }
                None => books.invented += 1,
            }
        }
        Ok(())
    }

    /// Returns the first and the last second of a receipt.
    async fn read_receipts(&self, books: &mut Books) -> Result<Option<(u64, u64)>> {
        let receipts = self.database.collection::<Document>(RECEIPTS);
        let mut cursor = receipts.find(doc! {}).batch_size(10_000).await?;
        let mut seconds: Option<(u64, u64)> = None;
        while let Some(receipt) = cursor.try_next().await? {
            let id = receipt.get_object_id("_id")?;
            let second = u64::try_from(id.timestamp().timestamp_millis() / 1_000)?;
            let (first, last) = seconds.unwrap_or((second, second));
            seconds = Some((first.min(second), last.max(second)));
            for row in receipt.get_array("n")? {
                let [_, event_type, count] = row.as_array().context("a row")?.as_slice() else {
                    anyhow::bail!("a receipt has the row {row}");
                };
                let event_type = event_type.as_str().context("a type")?.to_owned();
                *books.receipts.entry(event_type).or_default() += count.as_i64().context("n")?;
            }
            books.receipt_duplicates += receipt.get_i64("d")?;
            books.receipt_dead += receipt.get_i64("x")?;
        }
        Ok(seconds)
    }

    async fn read_dead_letters(&self, books: &mut Books) -> Result<()> {
        let letters = self.database.collection::<Document>(DEAD_LETTERS);
        let mut cursor = letters.find(doc! {}).await?;
        while let Some(letter) = cursor.try_next().await? {
            let reason = letter.get_str("reason")?.to_owned();
            *books.dead_letters.entry(reason).or_default() += 1;
            let id = letter.get_document("_id")?.get("id");
            books.dead_ids.extend(uuid(id));
        }
        Ok(())
    }
}

/// Adds the counts of a bucket, over all tenants.
fn add(sums: &mut ByType, bucket: HashMap<String, i64>) {
    for (field, count) in bucket {
        let name = split_field(&field).map_or(&*field, |(_, name)| name);
        *sums.entry(name.to_owned()).or_default() += count;
    }
}

fn uuid(id: Option<&Bson>) -> Option<Uuid> {
    match id? {
        Bson::Binary(binary) => Uuid::from_slice(&binary.bytes).ok(),
        _ => None,
    }
}
