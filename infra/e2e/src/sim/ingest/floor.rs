//! The floor: events below it are not accepted.

use evp_processor::written::EventFacts;

use super::{Ingest, number_of};
use crate::sim::defect::Defect;
use crate::sim::redis::{RedisAnswer, RedisOp};
use crate::sim::span::time_of;
use crate::sim::world::Answer;

/// What an instance knows of the floor.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    ms: u64,
    /// The highest it ever knew, for the check.
    highest_ms: u64,
    /// When the newest question was sent that had an answer.
    pub(super) at_ms: u64,
}

impl Ingest {
    /// Asks for the floor; `false` when there is no answer. A lower one, or none, is no news: Redis
    /// may have been restored.
    pub(super) async fn read_floor(&self) -> bool {
        if self.world.borrow().plan.waits.is_none() {
            return true;
        }
        let at_ms = self.world.borrow().now_ms;
        let Answer::Redis(RedisAnswer::Floor(told)) = self.redis(RedisOp::Floor).await else {
            return false;
        };
        let known = self.floor.get();
        let told_ms = told.unwrap_or(0);
        let ms = if self.world.borrow().has(Defect::FloorFalls) {
            told_ms
        } else {
            known.ms.max(told_ms)
        };
        self.floor.set(Floor {
            ms,
            highest_ms: known.highest_ms.max(ms),
            at_ms: known.at_ms.max(at_ms),
        });
        true
    }

    /// What of `drafts` is not below the floor; the numbers of what is.
    pub(super) fn above_floor(
        &self,
        drafts: &[Vec<EventFacts>],
    ) -> (Vec<Vec<EventFacts>>, Vec<u64>) {
        let floor = self.floor.get();
        let is_below = |event: &EventFacts, ms: u64| time_of(&event.id).is_some_and(|at| at < ms);
        let mut too_old = Vec::new();
        let mut rest = Vec::new();
        for draft in drafts {
            let (old, good): (Vec<_>, Vec<_>) = draft
                .iter()
                .cloned()
                .partition(|event| is_below(event, floor.ms));
            too_old.extend(old.iter().map(number_of));
            if let Some(event) = good.iter().find(|event| is_below(event, floor.highest_ms)) {
                let number = number_of(event);
                let broken = format!("event {number} is accepted below a floor that was known");
                self.world.borrow_mut().ledger.broken = Some(broken);
            }
            if !good.is_empty() {
                rest.push(good);
            }
        }
        (rest, too_old)
    }
}
