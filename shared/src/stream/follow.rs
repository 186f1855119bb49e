//! Following a partition without being a member of its group: for live readers, who look and
//! leave everything as it is.

use std::ops::Bound;

use super::{Entry, EntryId, FOLLOW, Life, Stream, StreamError, entry, reply};

/// How much one read may come to, whichever is reached first.
#[derive(Debug, Clone, Copy)]
pub struct FollowLimits {
    /// Entries at most; with 0 only what there is about the stream is read.
    pub entries: u64,
    /// Bytes of their fields: the entry that exceeds them is the last one.
    pub bytes: usize,
}

/// What was found from a place on.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The life the data lives.
    pub life: Life,
    /// The highest id that was ever deleted: above the place, something there is missing.
    pub deleted: EntryId,
    /// The last id there was. Unless there may be more, all up to it were read.
    pub last: EntryId,
    /// Whether there may be more entries after these.
    pub may_be_more: bool,
    /// Entries from the place on.
    pub entries: Vec<Entry>,
}

impl Followed {
    /// Whether an entry after `from` was deleted before it could be read.
    pub fn is_torn(&self, from: Bound<EntryId>) -> bool {
        match from {
            Bound::Included(id) => self.deleted >= id,
            Bound::Excluded(id) => self.deleted > id,
            Bound::Unbounded => self.deleted > EntryId::ZERO,
        }
    }
}

impl Stream {
    /// Entries of `partition` from `from` on, as many as `limits` allow, acknowledged ones
    /// included, as long as they are in the kept window; and what may be missing, seen in the same
    /// moment.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn follow(
        &self,
        partition: u16,
        from: Bound<EntryId>,
        limits: FollowLimits,
    ) -> Result<Followed, StreamError> {
        let names = self.keys(partition)?;
        let keys = vec![names.life.clone(), names.events.clone()];
        let start = match from {
            Bound::Included(id) => id.to_string(),
            Bound::Excluded(id) => format!("({id}"),
            Bound::Unbounded => "-".to_owned(),
        };
        let args = vec![
            start.into(),
            limits.entries.to_string().into(),
            limits.bytes.to_string().into(),
        ];
        let mut values = self.run(&FOLLOW, keys, args).await?.into_iter();
        Ok(Followed {
            life: Life(reply::parse(&mut values)?),
            deleted: reply::parse(&mut values)?,
            last: reply::parse(&mut values)?,
            may_be_more: reply::parse::<u64>(&mut values)? != 0,
            entries: entry::parse_all(partition, values.next())?,
        })
    }
}
