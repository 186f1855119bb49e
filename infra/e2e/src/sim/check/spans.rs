//! What has to hold of spans: what ends does so only when it may, and never unnoticed.

use std::collections::{BTreeMap, BTreeSet};

use evp_processor::written::{Id, StoredFacts};
use evp_shared::frame::FrameId;

use super::{Counts, is_forgotten};
use crate::sim::defect::Defect;
use crate::sim::ingest::number_in;
use crate::sim::mongo::As;
use crate::sim::span::{Span, time_of};
use crate::sim::world::World;

/// Every event that is stored, or was until its span was dropped.
pub(super) fn ever_stored(world: &World) -> impl Iterator<Item = &StoredFacts> {
    let stored = world.mongo.events().map(|(_, facts)| facts);
    stored.chain(&world.mongo.data().dropped)
}

pub(super) fn is_stored(world: &World, id: &Id) -> bool {
    let span = Span::of(id, world.unit_ms());
    world.mongo.data().event(span, id).is_some()
}

/// Events that a receipt names as expired, and does not count: one that is twice in a frame may have
/// been stored before it expired.
pub(super) fn expired(world: &World) -> BTreeSet<(FrameId, Id)> {
    let all = |wanted| {
        let these = named(world).filter(move |(.., named)| *named == wanted);
        these.map(|(frame, id, _)| (frame, id))
    };
    let counted: BTreeSet<(FrameId, Id)> = all(As::Counted).collect();
    all(As::Expired)
        .filter(|one| !counted.contains(one))
        .collect()
}

/// Events below `gone` that a receipt names, and dead letters that were purged.
pub(super) fn ended(world: &World) -> BTreeSet<Id> {
    let below = named(world).filter(|(_, id, _)| is_gone(world, id));
    let below = below.map(|(_, id, _)| id);
    below
        .chain(world.mongo.data().purged.iter().copied())
        .collect()
}

fn named(world: &World) -> impl Iterator<Item = (FrameId, Id, As)> {
    world.mongo.receipts().flat_map(|(receipt, _)| {
        let frame = receipt.settle.frame;
        let events = receipt.events.iter();
        events.map(move |(id, named)| (frame, *id, *named))
    })
}

fn is_gone(world: &World, id: &Id) -> bool {
    time_of(id).is_some_and(|ms| ms < world.mongo.data().meta.gone_ms)
}

/// What a receipt counts was stored by its frame, in one collection, and no other receipt counts
/// it.
pub(super) fn receipts_are_kept(world: &World) -> Result<(), String> {
    if let Some(broken) = &world.ledger.broken {
        return Err(broken.clone());
    }
    if world.mongo.has_fallen {
        return Err("a mark fell".to_owned());
    }
    let mut stored = BTreeSet::new();
    for facts in ever_stored(world) {
        let frame = FrameId::from_bytes(facts.frame);
        if !stored.insert((frame, facts.event.id)) {
            let number = number_in(&facts.event.id);
            return Err(format!("event {number} was stored twice by frame {frame}"));
        }
    }
    let mut counted = BTreeSet::new();
    for (frame, id, named) in named(world) {
        let number = number_in(&id);
        if named == As::Expired && !is_gone(world, &id) {
            return Err(format!(
                "event {number} expired in {frame}, and is not below gone"
            ));
        }
        if named != As::Counted {
            continue;
        }
        if !stored.contains(&(frame, id)) {
            return Err(format!(
                "event {number} is counted for {frame}, which did not store it"
            ));
        }
        if !counted.insert(id) {
            return Err(format!(
                "event {number} is counted twice, again for {frame}"
            ));
        }
    }
    Ok(())
}

/// What was accepted expires only where what ingest knew of the floor was older than the hold,
/// or where Redis forgot.
pub(super) fn nothing_expired_too_soon(world: &World) -> Result<(), String> {
    let Some(waits) = world.plan.waits.filter(|_| !is_forgotten(world)) else {
        return Ok(());
    };
    let mut had_better = BTreeSet::new();
    let mut expired = BTreeSet::new();
    for (_, id, named) in named(world) {
        if named == As::Expired {
            expired.insert(id);
        } else {
            had_better.insert(id);
        }
    }
    for id in expired.difference(&had_better) {
        let number = number_in(id);
        let told = &world.ledger.told[&number];
        if !told.accepted_by.is_empty() && told.stale_ms < waits.hold_ms {
            return Err(format!(
                "event {number} was accepted and expired; its ingest knew a floor {} ms old",
                told.stale_ms
            ));
        }
    }
    Ok(())
}

/// `verify --deep`: by frame and type, what is stored equals what its receipt counts. Frames with
/// something below `gone` are left out.
pub(super) fn deep(world: &World) -> Result<(), String> {
    // Which deliveries a validator refused is another matter.
    if world.plan.mix.validator > 0 {
        return Ok(());
    }
    let gone_ms = world.mongo.data().meta.gone_ms;
    let mut stored: BTreeMap<FrameId, Counts> = BTreeMap::new();
    for (span, facts) in world.mongo.events() {
        if span.end_ms(world.unit_ms()) > gone_ms {
            let counts = stored.entry(FrameId::from_bytes(facts.frame)).or_default();
            let kind = facts.event.event_type.clone().into();
            *counts.entry(kind).or_default() += 1;
        }
    }
    for (receipt, _) in world.mongo.receipts() {
        let is_left_out = receipt.oldest_ms.is_some_and(|ms| ms < gone_ms);
        if is_left_out && !world.has(Defect::DeepOverDropped) {
            continue;
        }
        let frame = receipt.settle.frame;
        let mut owed = Counts::new();
        for row in &receipt.settle.counts {
            *owed.entry(row.event_type.clone()).or_default() += i64::from(row.count);
        }
        let found = stored.remove(&frame).unwrap_or_default();
        if found != owed {
            return Err(format!(
                "deep: {frame} has stored {found:?}, and a receipt of {owed:?}"
            ));
        }
    }
    Ok(())
}

/// What has to hold of spans when everything was quiet for two minutes: nothing is stored below
/// `gone_ms`, which was `gone` a while ago; `gone` goes on; rows say what there is.
///
/// # Errors
/// What does not.
pub fn is_kept(world: &World, gone_ms: u64, healed_ms: u64) -> Result<(), String> {
    let Some(waits) = world.plan.waits else {
        return Ok(());
    };
    let data = world.mongo.data();
    for (span, facts) in world.mongo.events() {
        if span.end_ms(waits.unit_ms) <= gone_ms {
            let number = number_in(&facts.event.id);
            return Err(format!(
                "event {number} is stored in {span:?}, which is gone"
            ));
        }
    }
    if waits.keep_ms.is_some() && data.meta.gone_ms < healed_ms {
        let (now_ms, gone_ms) = (world.now_ms, data.meta.gone_ms);
        return Err(format!("gone is {gone_ms}, and it is {now_ms}"));
    }
    for (span, row) in &data.meta.rows {
        if span.end_ms(waits.unit_ms) <= data.meta.gone_ms {
            continue;
        }
        let Some(at) = data.collections.get(span).filter(|at| at.uuid == row.uuid) else {
            return Err(format!(
                "the row of {span:?} names a collection that is not there"
            ));
        };
        if !row.indexes.is_subset(&at.indexes) {
            let (named, built) = (&row.indexes, &at.indexes);
            return Err(format!(
                "{span:?} has indexes {built:?}, its row says {named:?}"
            ));
        }
    }
    for (span, at) in &data.collections {
        if !at.documents.is_empty() && !data.meta.rows.contains_key(span) {
            return Err(format!("{span:?} holds events, and has no row"));
        }
    }
    Ok(())
}
