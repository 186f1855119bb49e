//! What has to hold once faults are over and everything has drained.

mod spans;

pub use self::spans::is_kept;

use std::collections::{BTreeMap, BTreeSet};

use evp_shared::frame::FrameId;
use evp_shared::stream::Settle;

use super::ingest::number_in;
use super::mongo::{Document, Key};
use super::plan::Promise;
use super::world::World;

/// Events by type.
type Counts = BTreeMap<Box<str>, i64>;

/// Whether nothing is left to commit.
///
/// # Errors
/// What is left.
pub fn is_drained(world: &World) -> Result<(), String> {
    for (number, partition) in world.redis.partitions.iter().enumerate() {
        let uncommitted = partition.uncommitted();
        if uncommitted > 0 {
            return Err(format!(
                "partition {number}: {uncommitted} entries are not committed"
            ));
        }
        let backlog = partition.backlog();
        if backlog != 0 {
            return Err(format!("partition {number}: backlog says {backlog}"));
        }
        if !partition.kept.is_empty() {
            return Err(format!("partition {number}: entries are kept for ever"));
        }
    }
    Ok(())
}

/// Whether every entry is committed.
pub fn is_committed(world: &World) -> bool {
    let mut partitions = world.redis.partitions.iter();
    partitions.all(|partition| partition.uncommitted() == 0)
}

/// What has to hold as soon as everything is committed: unless Redis forgot, counts do not wait
/// for a reconcile.
///
/// # Errors
/// What does not.
pub fn at_once(world: &World) -> Result<(), String> {
    for (number, partition) in world.redis.partitions.iter().enumerate() {
        let uncommitted = partition.uncommitted();
        if uncommitted > 0 {
            return Err(format!(
                "partition {number}: {uncommitted} entries are not committed"
            ));
        }
    }
    spans::deep(world)?;
    if is_forgotten(world) || is_all_counted(world) {
        return Ok(());
    }
    let (counted, owed) = (counted(world), owed(world));
    Err(format!(
        "all is committed, counters say {counted:?}, receipts {owed:?}"
    ))
}

/// What has to hold within a minute.
///
/// # Errors
/// What does not.
pub fn soon(world: &World) -> Result<(), String> {
    not_more_than_receipts(world)?;
    stored_and_told(world)?;
    dead_letters(world)?;
    losses(world)?;
    spans::receipts_are_kept(world)?;
    spans::nothing_expired_too_soon(world)?;
    spans::deep(world)?;
    // Stored beats dead: which deliveries a validator refused is `verify --deep`'s to find.
    if world.plan.mix.validator == 0 {
        receipts_are_stored_documents(world)?;
    }
    // A receipt without counts leaves no trace in the buckets that reconcile compares.
    // A receipt that was written while its entry was forgotten is a later pass's to find.
    let since = world.ledger.forgotten_at;
    let counts = world
        .mongo
        .receipts()
        .map(|(receipt, shown_ms)| (&receipt.settle, shown_ms))
        .filter(|(settle, _)| !settle.counts.is_empty());
    let owed = counts.filter(|(_, shown_ms)| match since {
        Some(since) => *shown_ms < since && !world.mongo.has_missed_receipts,
        None => true,
    });
    for (settle, _) in owed {
        if !is_settled(world, settle) {
            return Err(format!(
                "frame {} has a receipt and is not counted",
                settle.frame
            ));
        }
    }
    Ok(())
}

/// What has to hold after MongoDB came back from an old copy: what it has fits together, and what
/// came since is stored. What the copy lacks is lost, and counters know of it.
///
/// # Errors
/// What does not.
pub fn after_restore(world: &World) -> Result<(), String> {
    is_drained(world)?;
    spans::receipts_are_kept(world)?;
    spans::deep(world)
}

/// What has to hold when closed minutes were compared once more.
///
/// # Errors
/// What does not.
pub fn at_last(world: &World) -> Result<(), String> {
    is_drained(world)?;
    let (counted, owed) = (counted(world), owed(world));
    if counted == owed {
        Ok(())
    } else {
        Err(format!("counters say {counted:?}, receipts {owed:?}"))
    }
}

/// Whether counters equal receipts.
pub fn is_all_counted(world: &World) -> bool {
    counted(world) == owed(world)
}

fn receipts(world: &World) -> impl Iterator<Item = &Settle> {
    world.mongo.receipts().map(|(receipt, _)| &receipt.settle)
}

fn is_settled(world: &World, settle: &Settle) -> bool {
    let producer = settle.frame.producer();
    let partition = world
        .redis
        .partitions
        .get(usize::from(producer.partition()));
    partition.is_some_and(|at| at.bits.contains(&(producer, settle.frame.number())))
}

fn counted(world: &World) -> Counts {
    let mut sum = Counts::new();
    for partition in &world.redis.partitions {
        for (kind, count) in &partition.counts {
            *sum.entry(kind.clone()).or_default() += count;
        }
    }
    sum
}

fn owed(world: &World) -> Counts {
    let mut sum = Counts::new();
    for row in receipts(world).flat_map(|settle| &settle.counts) {
        *sum.entry(row.event_type.clone()).or_default() += i64::from(row.count);
    }
    sum
}

fn not_more_than_receipts(world: &World) -> Result<(), String> {
    let owed = owed(world);
    for (kind, counted) in counted(world) {
        let owed = owed.get(&kind).copied().unwrap_or(0);
        if counted > owed {
            return Err(format!(
                "{counted} events {kind} counted, receipts say {owed}"
            ));
        }
    }
    Ok(())
}

/// Receipts say what is stored: each stored document counts in the receipt of the frame that
/// stored it. Only a document whose frame Redis forgot before its receipt was written has none.
fn receipts_are_stored_documents(world: &World) -> Result<(), String> {
    let with_receipt: BTreeSet<FrameId> = receipts(world).map(|settle| settle.frame).collect();
    let expired = spans::expired(world);
    let mut stored = Counts::new();
    for facts in spans::ever_stored(world) {
        let frame = FrameId::from_bytes(facts.frame);
        if expired.contains(&(frame, facts.event.id)) {
            // An earlier delivery stored it, and it expired before its receipt was written.
            continue;
        }
        if with_receipt.contains(&frame) {
            *stored
                .entry(facts.event.event_type.clone().into())
                .or_default() += 1;
        } else if world.plan.promise != Promise::Nothing && !is_forgotten(world) {
            return Err(format!("frame {frame} is stored and has no receipt"));
        }
    }
    let owed = owed(world);
    if stored == owed {
        Ok(())
    } else {
        Err(format!("stored are {stored:?}, receipts say {owed:?}"))
    }
}

fn is_forgotten(world: &World) -> bool {
    world.ledger.forgotten_at.is_some() || !world.ledger.deleted.is_empty()
}

/// Nothing is stored that nobody sent, or that a client was told was not accepted.
fn stored_and_told(world: &World) -> Result<(), String> {
    for facts in spans::ever_stored(world) {
        let number = number_in(&facts.event.id);
        let told = world.ledger.told.get(&number);
        if told.is_none_or(|told| told.possible <= 0) {
            return Err(format!("event {number} is stored, and was not accepted"));
        }
    }
    Ok(())
}

fn dead_letters(world: &World) -> Result<(), String> {
    for (key, document) in &world.mongo.data().documents {
        let Document::Dead(kind) = document else {
            continue;
        };
        if kind != "bad" || !(world.plan.has_validator || world.plan.mix.validator > 0) {
            return Err(format!("{key:?} of type {kind} is a dead letter"));
        }
    }
    Ok(())
}

/// What was accepted is stored; what Redis forgot is reported by whoever accepted it.
fn losses(world: &World) -> Result<(), String> {
    let letters = world.mongo.data().documents.keys();
    let dead: BTreeSet<u64> = letters
        .filter_map(|key| match key {
            Key::Dead(id, _) => Some(number_in(id)),
            Key::Receipt(_) => None,
        })
        .collect();
    let ended = spans::ended(world);
    let mut by_ingest: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (number, told) in &world.ledger.told {
        let is_stored = spans::is_stored(world, &told.id) || ended.contains(&told.id);
        if is_stored || dead.contains(number) || world.ledger.deleted.contains(number) {
            continue;
        }
        let mut by = told.accepted_by.iter();
        if world.plan.promise == Promise::Fsync && by.len() > 0 {
            return Err(format!("event {number} was accepted and is lost"));
        }
        // Lost with the ingest that accepted it: unknown, as promised.
        if by.all(|ingest| !world.ledger.dead_ingests.contains(ingest)) {
            for ingest in &told.accepted_by {
                by_ingest.entry(*ingest).or_default().push(*number);
            }
        }
    }
    for (ingest, lost) in by_ingest {
        let reported = world
            .ledger
            .possibly_lost
            .get(&ingest)
            .copied()
            .unwrap_or(0);
        let allowed = match world.plan.promise {
            Promise::Nothing => reported,
            Promise::Fsync | Promise::Window => 0,
        };
        if lost.len() as u64 > allowed {
            return Err(format!(
                "ingest {ingest} lost {lost:?}, and reported {reported}"
            ));
        }
    }
    Ok(())
}
