//! The driver inserting the documents of EVP with the command of EVP, and nothing else.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::bail;
use bson::RawDocumentBuf;
use evp_shared::clock::Clock;
use evp_shared::config::MongoConfig;
use evp_shared::document::{EventBatch, FRAME_ID_OFFSET, ID_OFFSET, TIMESTAMP_OFFSET};
use evp_shared::store::EVENTS;
use futures::future::try_join_all;
use mongodb::Database;

use super::append::measured;
use super::{RawReport, RawSpec, samples};
use crate::load::ids::Random;

/// Commands that a worker repeats: together they have most users of the load, because an index is
/// the dearer the more of its pages are written to.
const COMMANDS: u64 = 8;

/// Inserts as fast as answers come.
///
/// # Errors
/// MongoDB does not answer, or refuses.
pub async fn run(spec: &RawSpec) -> anyhow::Result<RawReport> {
    let clock = Clock::system();
    let connections = u32::from(spec.in_flight) + 2;
    let config = MongoConfig::at(&spec.url, &spec.name);
    let database = evp_shared::store::connect(&config, connections).await?;
    let inserted = Cell::new(0);
    let start = clock.now();
    let end = start + Duration::from_millis(spec.warmup_ms + spec.measured_ms);
    let workers = (0..spec.in_flight).map(|worker| {
        let seeds = (0..COMMANDS).map(|seed| u64::from(worker) * COMMANDS + seed);
        let batches: anyhow::Result<Vec<_>> = seeds
            .map(|seed| samples::documents(spec.events, seed, clock.now_ms()))
            .collect();
        let (database, clock, inserted) = (&database, &clock, &inserted);
        async move { work(database, &mut batches?, clock, (end, inserted)).await }
    });
    let (report, _) = futures::try_join!(
        measured(spec, start, &inserted, &clock),
        try_join_all(workers)
    )?;
    // Else its last words may come while the runtime ends, and be those of a panic.
    database.client().clone().shutdown().await;
    Ok(report)
}

async fn work(
    database: &Database,
    batches: &mut [EventBatch],
    clock: &Clock,
    (end, inserted): (Instant, &Cell<u64>),
) -> anyhow::Result<()> {
    let mut random = Random::new(clock.now_ms() ^ (batches.as_ptr() as usize as u64));
    let mut turn = 0;
    while clock.now() < end {
        let Some(batch) = batches.get_mut(turn) else {
            turn = 0;
            continue;
        };
        turn += 1;
        renew(batch, &mut random, clock.now_ms());
        let reply = database.run_raw_command(command(batch)?).await?;
        let written = reply.get_i32("n")?;
        if usize::try_from(written)? != batch.events.len() {
            bail!(
                "mongod inserted {written} of {}: {reply}",
                batch.events.len()
            );
        }
        inserted.set(inserted.get() + u64::try_from(written)?);
    }
    Ok(())
}

/// Gives all documents new ids, one frame and the time.
fn renew(batch: &mut EventBatch, random: &mut Random, now_ms: u64) {
    let frame = random.v4();
    let mut begin = 0;
    for mark in &batch.events {
        let end = mark.end as usize;
        let document = &mut batch.documents[begin..end];
        document[ID_OFFSET..ID_OFFSET + 16].copy_from_slice(&random.v7(now_ms));
        document[FRAME_ID_OFFSET..FRAME_ID_OFFSET + 12].copy_from_slice(&frame[..12]);
        document[TIMESTAMP_OFFSET..TIMESTAMP_OFFSET + 8].copy_from_slice(&now_ms.to_le_bytes());
        begin = end;
    }
}

/// `{insert, ordered: false, writeConcern: {w: "majority", j: true}, documents}`, as bytes.
fn command(batch: &EventBatch) -> anyhow::Result<RawDocumentBuf> {
    let mut out = Vec::with_capacity(batch.documents.len() + batch.events.len() * 8 + 128);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(b"\x02insert\0");
    out.extend_from_slice(&i32::try_from(EVENTS.len() + 1)?.to_le_bytes());
    out.extend_from_slice(EVENTS.as_bytes());
    out.extend_from_slice(b"\0\x08ordered\0\0");
    out.extend_from_slice(b"\x03writeConcern\0\x19\0\0\0\x02w\0\x09\0\0\0majority\0\x08j\0\x01\0");
    out.extend_from_slice(b"\x04documents\0");
    let array = out.len();
    out.extend_from_slice(&[0; 4]);
    for index in 0..batch.events.len() {
        out.push(0x03);
        out.extend_from_slice(index.to_string().as_bytes());
        out.push(0);
        out.extend_from_slice(batch.document(index).unwrap_or_default());
    }
    out.push(0);
    for start in [array, 0] {
        if start == 0 {
            out.push(0);
        }
        let length = i32::try_from(out.len() - start)?;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(RawDocumentBuf::from_bytes(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_holds_every_document_under_a_new_id() {
        let mut batch = samples::documents(20, 1, 1_763_733_600_000).unwrap();
        let mut random = Random::new(1);
        let ids = |batch: &EventBatch| {
            let command = bson::Document::try_from(command(batch).unwrap()).unwrap();
            let documents = command.get_array("documents").unwrap().clone();
            let id = |document: &bson::Bson| document.as_document().unwrap()["_id"].clone();
            documents.iter().map(id).collect::<Vec<_>>()
        };
        let before = ids(&batch);
        renew(&mut batch, &mut random, 1_763_733_600_001);
        let after = ids(&batch);
        assert_eq!((before.len(), after.len()), (20, 20));
        assert!(before.iter().all(|id| !after.contains(id)));
    }
}
