//! Each deliberate defect is found, so the simulation can fail.

use evp_e2e::sim::Failure;
use evp_e2e::sim::defect::Defect;

use crate::found::{killed_between_find_and_sync, reconcile_fails};
use crate::histories::{
    answer_of_an_older_life, entry_id_used_again_after_delete, receipt_that_a_read_missed,
};
use crate::seeds::hunt;
use crate::spans::{
    deposed_primary_lists, entry_that_came_while_the_floor_stood, mongodb_comes_from_an_old_copy,
};

/// Seeds within which a defect is found, unless a named history is what finds it.
const SEEDS: u64 = 4_000;

fn find(defect: Defect) -> Option<Failure> {
    match defect {
        // These need an answer, or a commit, that is late by just so much.
        Defect::OldLifeAnswerCounts => answer_of_an_older_life(Some(defect)).err(),
        Defect::OnlyUntilTheFloorRose => entry_that_came_while_the_floor_stood(Some(defect)).err(),
        Defect::SameLifeAfterDelete => entry_id_used_again_after_delete(Some(defect)).err(),
        Defect::NoReceiptReadBack => receipt_that_a_read_missed(Some(defect)).err(),
        Defect::CutTriedOnce => reconcile_fails(Some(defect)).err(),
        Defect::SyncOfAnyProcess => killed_between_find_and_sync(Some(defect)).err(),
        // These need a server that is wrong in just one place.
        Defect::MismatchIsExpired | Defect::RowNeverReadAgain => {
            mongodb_comes_from_an_old_copy(Some(defect)).err()
        }
        Defect::UuidFromList => deposed_primary_lists(Some(defect)).err(),
        _ => hunt(0..SEEDS, Some(defect)),
    }
}

#[test]
fn every_deliberate_defect_is_found() {
    for defect in Defect::ALL {
        let found = find(defect);
        let failure = found.unwrap_or_else(|| panic!("{defect:?} was not found"));
        println!("{defect:?}: seed {}: {}", failure.seed, failure.problem);
    }
}
