//! What the processors say of storage to those who take events.

use fred::interfaces::KeysInterface;

use super::{Stream, StreamError, answered};

/// What stands in Redis of storage; nothing, where nobody has said it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageSaid {
    /// Ids below it are taken no more, Unix ms. It rises only, but what is read here may be lower
    /// than before, or nothing: this Redis may be restored from an old copy.
    pub floor_ms: Option<u64>,
    /// Whether the disk of the event store is almost full.
    pub is_full: bool,
}

impl Stream {
    /// What is said of storage, all of it at one moment.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn storage_said(&self) -> Result<StorageSaid, StreamError> {
        let keys = vec![self.keys.floor(), self.keys.full()];
        let said: Vec<Option<String>> = answered(self.client.mget(keys)).await?;
        let [floor, full] = said.as_slice() else {
            return Err(StreamError::protocol("fewer values than keys"));
        };
        let floor_ms = floor.as_ref().map(|floor| {
            let number = floor.parse();
            number.map_err(|_| StreamError::protocol(format!("floor {floor}")))
        });
        Ok(StorageSaid {
            floor_ms: floor_ms.transpose()?,
            is_full: full.is_some(),
        })
    }
}
