//! The housekeeper: one loop per processor, of which the one with the lease works. It makes spans
//! ahead, seals those that ended, lets the marks rise, and drops what is gone.

use std::rc::Rc;

use super::Processor;
use super::bulk::Failure;
use crate::sim::defect::Defect;
use crate::sim::mongo::{Index, Mark, Meta, MongoAnswer, MongoOp, Row, SpanOp, Standing};
use crate::sim::plan::Waits;
use crate::sim::redis::{RedisAnswer, RedisOp};
use crate::sim::span::Span;
use crate::sim::world::sleep;

impl Processor {
    /// The loop.
    pub async fn keep_house(self: Rc<Self>) {
        let Some(waits) = self.world.borrow().plan.waits else {
            return;
        };
        loop {
            let pause_ms = {
                let mut world = self.world.borrow_mut();
                let is_over = world.is_over;
                if is_over {
                    600_000
                } else {
                    700 + world.rng.below(1_500)
                }
            };
            sleep(&self.world, pause_ms).await;
            // What failed is tried again by the next pass.
            if let Err(Failure::Store | Failure::Stream) = self.pass(&waits).await {
                sleep(&self.world, 1_000).await;
            }
        }
    }

    async fn pass(&self, waits: &Waits) -> Result<(), Failure> {
        let lease = SpanOp::Lease(self.consumer, waits.lease_ms);
        match self.mongo(MongoOp::Span(lease)).await {
            Some(MongoAnswer::Done) => {}
            _ => return Err(Failure::Store),
        }
        let (meta, now_ms) = self.read_meta().await?;
        if waits.keep_ms.is_some() {
            self.let_go(waits, &meta, now_ms).await?;
        }
        self.make_ahead(waits, &meta, now_ms).await?;
        self.seal_one(waits, &meta, now_ms).await
    }

    async fn make_ahead(&self, waits: &Waits, meta: &Meta, now_ms: u64) -> Result<(), Failure> {
        // Hardly anybody sends.
        if self.world.borrow().is_idle() {
            return Ok(());
        }
        let next = Span::At(now_ms / waits.unit_ms + 1);
        if !meta.rows.contains_key(&next) {
            self.make(next).await?;
        }
        Ok(())
    }

    /// The exact index first, then the row that names it, then the one from before goes.
    async fn seal_one(&self, waits: &Waits, meta: &Meta, now_ms: u64) -> Result<(), Failure> {
        let is_due = |(span, row): &(&Span, &Row)| {
            let end_ms = span.end_ms(waits.unit_ms);
            let is_gone = end_ms <= meta.gone_ms;
            !row.is_sealed && !is_gone && end_ms.saturating_add(waits.quiet_ms) <= now_ms
        };
        let Some((span, row)) = meta.rows.iter().find(is_due) else {
            return Ok(());
        };
        let is_listed = self.has(Defect::BuiltFromList) && self.is_listed(*span).await?;
        if !is_listed {
            let op = SpanOp::Index(*span, Some(row.uuid), Index::User);
            self.ask(op).await?;
        }
        let row = Row {
            uuid: row.uuid,
            is_sealed: true,
            indexes: [Index::User].into(),
        };
        self.ask(SpanOp::ChangeRow(*span, row)).await?;
        self.ask(SpanOp::Unindex(*span, Index::Recent)).await
    }

    async fn is_listed(&self, span: Span) -> Result<bool, Failure> {
        match self.mongo(MongoOp::Span(SpanOp::List)).await {
            Some(MongoAnswer::Collections(all)) => {
                let listed = all.get(&span);
                Ok(listed.is_some_and(|one| one.indexes.contains(&Index::User)))
            }
            _ => Err(Failure::Store),
        }
    }

    /// The floor rises; `gone` follows the one that has stood; what is below is dropped.
    async fn let_go(&self, waits: &Waits, meta: &Meta, now_ms: u64) -> Result<(), Failure> {
        let keep_ms = waits.keep_ms.unwrap_or(u64::MAX);
        let floor_ms = now_ms.saturating_sub(keep_ms) / waits.unit_ms * waits.unit_ms;
        if floor_ms > meta.floor_ms {
            self.ask(SpanOp::Raise(Mark::Floor, floor_ms)).await?;
        }
        let floor_ms = floor_ms.max(meta.floor_ms);
        self.drop_gone(waits, meta).await?;
        // One floor at a time: were each one's hold begun at its rise, the next one's rise would
        // always come before the end of it.
        let waiting = meta.standing.as_ref().filter(|standing| {
            let is_newest = standing.floor_ms == floor_ms;
            standing.floor_ms > meta.gone_ms && (is_newest || !self.has(Defect::HoldOfNewestFloor))
        });
        // It is written again and again, for a Redis that was restored. The lives are those known
        // before, so that none began between the write and the hold.
        let lives = self.lives.borrow().clone();
        self.redis(RedisOp::SetFloor(floor_ms)).await?;
        let Some(standing) = waiting else {
            if floor_ms > meta.gone_ms {
                self.stand(floor_ms, &lives).await?;
            }
            return Ok(());
        };
        if self.has_stood(waits, standing, &lives).await? {
            self.ask(SpanOp::Purge(standing.floor_ms)).await?;
            let gone = SpanOp::Raise(Mark::Gone, standing.floor_ms);
            self.ask(gone).await?;
        }
        Ok(())
    }

    /// The hold of `floor_ms`, which Redis has in `lives`, begins.
    async fn stand(&self, floor_ms: u64, lives: &[u64]) -> Result<(), Failure> {
        let mut since = Vec::new();
        for (partition, life) in (0..).zip(lives) {
            let op = RedisOp::Oldest {
                partition,
                life: *life,
            };
            match self.redis(op).await? {
                RedisAnswer::Oldest(server_ms, _) => since.push((*life, server_ms)),
                _ => return Err(Failure::Stream),
            }
        }
        self.ask(SpanOp::Stand(Standing { floor_ms, since })).await
    }

    /// Whether the hold is over, and every entry that came before its end is acknowledged. In a
    /// new life of Redis the hold begins anew.
    async fn has_stood(
        &self,
        waits: &Waits,
        standing: &Standing,
        lives: &[u64],
    ) -> Result<bool, Failure> {
        let hold_ms = if self.has(Defect::GoneWithoutHold) {
            0
        } else {
            waits.hold_ms
        };
        for (partition, (life, since_ms)) in (0..).zip(&standing.since) {
            if lives[usize::from(partition)] != *life {
                self.stand(standing.floor_ms, lives).await?;
                return Ok(false);
            }
            let op = RedisOp::Oldest {
                partition,
                life: *life,
            };
            let RedisAnswer::Oldest(server_ms, oldest) = self.redis(op).await? else {
                return Err(Failure::Stream);
            };
            let end_ms = since_ms + hold_ms;
            let until_ms = if self.has(Defect::OnlyUntilTheFloorRose) {
                *since_ms
            } else {
                end_ms
            };
            let is_done = oldest.is_none_or(|id| id.ms > until_ms);
            if server_ms < end_ms || !(is_done || self.has(Defect::DropByAge)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Oldest first, the row after its collection: so nothing is left that nobody names.
    async fn drop_gone(&self, waits: &Waits, meta: &Meta) -> Result<(), Failure> {
        for (span, row) in &meta.rows {
            if span.end_ms(waits.unit_ms) > meta.gone_ms {
                continue;
            }
            let mut steps = [SpanOp::Drop(*span), SpanOp::RemoveRow(*span, row.uuid)];
            if self.has(Defect::RowBeforeDrop) {
                steps.reverse();
            }
            for step in steps {
                self.ask(step).await?;
            }
        }
        Ok(())
    }
}
