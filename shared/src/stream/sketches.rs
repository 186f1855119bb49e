//! Sketches as Redis keeps them: written by processors, read by aggregators, best effort.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike, HashesInterface};
use fred::prelude::Value;
use fred::types::CustomCommand;

use super::{SKETCH, Stream, StreamError, reply};
use crate::counters::Step;
use crate::keys::SketchKind;
use crate::sketch::TopItems;

/// Sketches of top users in one bucket: one for each processor and each of its starts. Beyond
/// that, one that starts again and again adds none.
const FIELDS_MAX: u32 = 256;

/// A bucket of sketches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SketchBucket {
    /// Whose events.
    pub tenant: Box<str>,
    /// [`Step::Minute`] or [`Step::Hour`].
    pub step: Step,
    /// Number of the bucket.
    pub number: u64,
}

/// What is added to a bucket.
#[derive(Debug, Clone, Default)]
pub struct SketchUpdate {
    /// Users that may be new in it.
    pub users: Vec<Box<str>>,
    /// Sessions that may be new in it.
    pub sessions: Vec<Box<str>>,
    /// The writer's own name and its sketch of top users, which takes the place of the one it
    /// wrote before.
    pub top: Option<(String, Vec<u8>)>,
}

impl SketchUpdate {
    /// Says that something is missing from a bucket: a sketch that nobody can read.
    pub fn lacking() -> Self {
        Self {
            top: Some(("lacking".to_owned(), b"-".to_vec())),
            ..Self::default()
        }
    }
}

impl SketchBucket {
    /// How long it is kept: longer than the longest range that is answered from it.
    const fn kept(&self) -> Duration {
        match self.step {
            Step::Second | Step::Minute => Duration::from_secs(3 * 3_600),
            Step::Hour => Duration::from_secs(8 * 86_400),
        }
    }
}

impl Stream {
    /// Adds to a bucket.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn add_to_sketches(
        &self,
        bucket: &SketchBucket,
        update: SketchUpdate,
    ) -> Result<(), StreamError> {
        let key = |kind| self.sketch_key(kind, &bucket.tenant, bucket.step, bucket.number);
        let keys = SketchKind::ALL.map(key).to_vec();
        let (field, sketch) = update.top.unwrap_or_default();
        let mut args: Vec<Value> = vec![
            bucket.kept().as_secs().to_string().into(),
            field.into(),
            Bytes::from(sketch).into(),
            FIELDS_MAX.to_string().into(),
            update.users.len().to_string().into(),
        ];
        let ids = update.users.into_iter().chain(update.sessions);
        args.extend(ids.map(|id| Value::from(String::from(id))));
        let reply = self.run(&SKETCH, keys, args).await?;
        reply::text(&mut reply.into_iter()).map(drop)
    }

    /// About how many users or sessions of `tenant` the buckets numbered `buckets` have together.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn unique(
        &self,
        kind: SketchKind,
        tenant: &str,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<u64, StreamError> {
        let keys: Vec<String> = buckets
            .map(|number| self.sketch_key(kind, tenant, step, number))
            .collect();
        let Some(first) = keys.first() else {
            return Ok(0);
        };
        let command = CustomCommand::new_static("PFCOUNT", first.as_str(), false);
        Ok(self.client.custom(command, keys).await?)
    }

    /// The top users of `tenant` in the buckets numbered `buckets`, as far as they can be read, and
    /// which of the buckets have no sketch, or one that lacks something.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn top_users(
        &self,
        tenant: &str,
        step: Step,
        buckets: Range<u64>,
    ) -> Result<(TopItems, BTreeSet<u64>), StreamError> {
        let (mut merged, mut lacking) = (TopItems::default(), BTreeSet::new());
        for number in buckets {
            let key = self.sketch_key(SketchKind::TopUsers, tenant, step, number);
            let found: Vec<Bytes> = self.client.hvals(key).await?;
            let read: Option<Vec<_>> = found.iter().map(|one| TopItems::decode(one)).collect();
            match read.filter(|sketches| !sketches.is_empty()) {
                Some(sketches) => sketches.iter().for_each(|sketch| merged.merge(sketch)),
                None => drop(lacking.insert(number)),
            }
        }
        Ok((merged, lacking))
    }

    fn sketch_key(&self, kind: SketchKind, tenant: &str, step: Step, number: u64) -> String {
        self.keys.sketch(kind, step.as_str(), number, tenant)
    }
}
