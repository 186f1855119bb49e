//! Sums of receipts: what the counters should say.

use std::collections::HashMap;
use std::ops::Range;

use bson::{Document, doc};
use evp_shared::store::RECEIPTS;
use futures::TryStreamExt as _;

use crate::store::insert::{Inserter, StoreFailure};
use crate::store::receipt::received_in;

/// Events by tenant and type, as receipts have them.
pub type Owed = HashMap<(String, String), i64>;

impl Inserter {
    /// The counts of the receipts of `partition` whose frames were received in the Unix seconds
    /// `seconds`, by the number of their bucket of `width_s` seconds.
    ///
    /// # Errors
    /// [`StoreFailure`].
    pub async fn receipt_sums(
        &self,
        partition: u16,
        width_s: u64,
        seconds: Range<u32>,
    ) -> Result<HashMap<u64, Owed>, StoreFailure> {
        let width_ms = i64::try_from(width_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let row = |at: i32| doc! { "$arrayElemAt": ["$n", at] };
        let pipeline = [
            doc! { "$match": received_in(partition, seconds) },
            doc! { "$unwind": "$n" },
            doc! { "$group": {
                "_id": {
                    "bucket": { "$toLong": { "$floor": {
                        "$divide": [{ "$toLong": { "$toDate": "$_id" } }, width_ms],
                    } } },
                    "tenant": row(0),
                    "type": row(1),
                },
                "events": { "$sum": row(2) },
            } },
        ];
        let receipts = self.database().collection::<Document>(RECEIPTS);
        // Past the deadline nobody waits for the answer: the server need not go on either.
        let time_limit = self.deadline();
        let query = async move {
            let sums = receipts.aggregate(pipeline).allow_disk_use(true);
            let cursor = sums.max_time(time_limit).await?;
            cursor.try_collect::<Vec<_>>().await
        };
        let found = self.within(query).await??;
        let mut sums: HashMap<u64, Owed> = HashMap::new();
        for document in &found {
            let (bucket, kind, events) = parse(document).ok_or(StoreFailure::Protocol)?;
            sums.entry(bucket).or_default().insert(kind, events);
        }
        Ok(sums)
    }
}

fn parse(document: &Document) -> Option<(u64, (String, String), i64)> {
    let id = document.get_document("_id").ok()?;
    let text = |name: &str| id.get_str(name).ok().map(str::to_owned);
    Some((
        u64::try_from(id.get_i64("bucket").ok()?).ok()?,
        (text("tenant")?, text("type")?),
        document.get_i64("events").ok()?,
    ))
}
