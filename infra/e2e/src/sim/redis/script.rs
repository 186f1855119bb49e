//! hello.lua, append.lua and commit.lua.

use std::rc::Rc;

use evp_shared::counters::Step;
use evp_shared::frame::ProducerId;
use evp_shared::stream::{Committed, EntryId, Hello, Life, Made, ProducerState, Settle};

use super::{CommitOp, Frame, Group, Moment, Partition, RedisAnswer, StreamData};
use crate::sim::defect::Defect;

const DAY_MS: u64 = 86_400_000;

impl Partition {
    pub(super) fn hello(
        &mut self,
        moment: Moment,
        known: u64,
        producer: Option<(ProducerId, u64)>,
        defect: Option<Defect>,
    ) -> RedisAnswer {
        let mut lost_events = 0;
        let made = match &mut self.stream {
            None => {
                self.kept.clear();
                lost_events = self.backlog();
                self.lost += lost_events;
                self.stream = Some(StreamData {
                    group: Some(Group::default()),
                    ..StreamData::default()
                });
                Made::Stream
            }
            Some(stream) if stream.group.is_none() => {
                for (id, _) in self.kept.drain(..) {
                    stream.entries.remove(&id);
                }
                stream.group = Some(Group::default());
                Made::Group
            }
            Some(_) => Made::Nothing,
        };
        let life = self.live(moment, known, made, defect);
        let producer = producer.map_or(ProducerState::None, |(id, token)| {
            if *self.producers.entry(id).or_insert(token) == token {
                ProducerState::Registered
            } else {
                ProducerState::Taken
            }
        });
        RedisAnswer::Hello(Hello {
            life: Life(life),
            made,
            producer,
            lost_events,
            lost_bytes: 0,
            lives: self
                .cuts
                .iter()
                .map(|(life, cut)| (Life(*life), *cut))
                .collect(),
        })
    }

    /// The life, recorded anew where it is a new one.
    fn live(&mut self, moment: Moment, known: u64, made: Made, defect: Option<Defect>) -> u64 {
        let last = self
            .stream
            .as_ref()
            .map_or(EntryId::ZERO, |stream| stream.last);
        let stored = self
            .life
            .filter(|(_, replication)| *replication == moment.replication);
        let behind = defect != Some(Defect::LifeGoesBack);
        let anew = defect != Some(Defect::SameLifeAfterDelete) && made == Made::Stream;
        let cut = match stored {
            Some((life, _)) if !anew && (known <= life || !behind) => return life,
            // The caller knows a life this data never lived: how much of what it knew is
            // missing cannot be told, so the lowest cut counts.
            Some(_) if known > stored.map_or(0, |(life, _)| life) => {
                self.cuts.iter().map(|(_, cut)| *cut).min().unwrap_or(last)
            }
            _ => last,
        };
        let before = self.life.map_or(0, |(life, _)| life);
        let life = moment.server_ms.max(before + 1).max(known + 1);
        self.life = Some((life, moment.replication));
        self.cuts.push((life, cut));
        life
    }

    pub(super) fn lives(&self, moment: Moment, life: u64) -> bool {
        self.life == Some((life, moment.replication))
    }

    pub(super) fn append(
        &mut self,
        moment: Moment,
        life: u64,
        frames: &[Rc<Frame>],
        defect: Option<Defect>,
    ) -> RedisAnswer {
        if defect != Some(Defect::NoLifeInAppend) && !self.lives(moment, life) {
            return RedisAnswer::NewLife;
        }
        let Some(stream) = &mut self.stream else {
            return RedisAnswer::NoStream;
        };
        let mut ids = Vec::with_capacity(frames.len());
        for frame in frames {
            let id = next_id(stream.last, moment.server_ms);
            stream.last = id;
            stream.entries.insert(id, frame.clone());
            self.appended += frame.len();
            ids.push(id);
        }
        RedisAnswer::Appended(ids)
    }

    pub(super) fn commit(
        &mut self,
        moment: Moment,
        op: &CommitOp,
        defect: Option<Defect>,
    ) -> RedisAnswer {
        if defect != Some(Defect::NoLifeInCommit) && !self.lives(moment, op.life) {
            return RedisAnswer::NewLife;
        }
        let mut done = Committed::default();
        let mut group = self
            .stream
            .as_mut()
            .and_then(|stream| stream.group.as_mut());
        for ack in &op.acks {
            let was_pending = group
                .as_mut()
                .is_some_and(|group| group.pending.remove(&ack.id).is_some());
            if was_pending {
                done.acknowledged += 1;
                self.acknowledged += i64::from(ack.events);
                self.kept.push_back((ack.id, moment.server_ms));
            }
        }
        for settle in &op.settles {
            self.settle(moment, op, settle, (&mut done, defect));
        }
        self.drop_kept(moment, op, &mut done);
        if op.acks.is_empty() && op.settles.is_empty() {
            self.check_backlog(&mut done);
        }
        done.backlog_events = self.backlog();
        RedisAnswer::Committed(done)
    }

    fn settle(
        &mut self,
        moment: Moment,
        op: &CommitOp,
        settle: &Settle,
        (done, defect): (&mut Committed, Option<Defect>),
    ) {
        if moment.server_ms.saturating_sub(settle.receipt_at_ms) >= DAY_MS {
            done.left_to_verify += 1;
            return;
        }
        let bit = (settle.frame.producer(), settle.frame.number());
        let is_first = match defect {
            Some(Defect::NoSettledBit) => true,
            Some(Defect::BitInAnotherStep) if !op.bits_only => !self.bits.contains(&bit),
            _ => self.bits.insert(bit),
        };
        if !is_first || op.bits_only {
            return;
        }
        done.settled += 1;
        done.duplicates += u64::from(settle.duplicates);
        done.dead_letters += u64::from(settle.dead_letters);
        let minute = Step::Minute.bucket(settle.frame.second().into());
        for row in &settle.counts {
            done.counted += u64::from(row.count);
            *self.minutes.entry(minute).or_default() += i64::from(row.count);
            *self.counts.entry(row.event_type.clone()).or_default() += i64::from(row.count);
        }
    }

    fn drop_kept(&mut self, moment: Moment, op: &CommitOp, done: &mut Committed) {
        while let Some((id, since_ms)) = self.kept.front() {
            let age_ms = moment.server_ms.saturating_sub(*since_ms);
            if !op.kept_none && age_ms <= op.kept_ms {
                break;
            }
            if let Some(stream) = &mut self.stream {
                stream.entries.remove(id);
            }
            self.kept.pop_front();
            done.dropped += 1;
        }
    }

    /// With nothing pending and nothing undelivered the backlog is zero: what differs was lost.
    fn check_backlog(&mut self, done: &mut Committed) {
        let is_idle = self.stream.as_ref().is_some_and(|stream| {
            let group = stream.group.as_ref();
            group.is_some_and(|group| group.pending.is_empty() && group.delivered == stream.last)
        });
        if is_idle {
            done.lost_events = self.backlog();
            self.lost += done.lost_events;
        }
    }
}

/// What XADD `*` makes of the server's clock, in whole seconds: a life that forgot its newest
/// entries then uses their ids again, which real servers do only where their clock goes back.
fn next_id(last: EntryId, server_ms: u64) -> EntryId {
    let server_ms = server_ms / 1_000 * 1_000;
    if server_ms > last.ms {
        EntryId {
            ms: server_ms,
            seq: 0,
        }
    } else {
        EntryId {
            ms: last.ms,
            seq: last.seq + 1,
        }
    }
}
