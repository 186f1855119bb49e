//! What the processors say of storage to those who take events.

use std::time::Duration;

use fred::interfaces::KeysInterface;
use fred::prelude::Expiration;

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

    /// Says that ids below `floor_ms` are taken no more. A higher floor that stands there stays.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn say_floor(&self, floor_ms: u64) -> Result<(), StreamError> {
        let stands = match self.storage_said().await {
            // What is no floor is written over.
            Err(StreamError::Protocol { .. }) => None,
            said => said?.floor_ms,
        };
        if stands.is_some_and(|stands| stands >= floor_ms) {
            return Ok(());
        }
        let (key, floor) = (self.keys.floor(), floor_ms.to_string());
        let set = self.client.set::<(), _, _>(key, floor, None, None, false);
        answered(set).await
    }

    /// Says how full the disk of the event store is, in permille, for so long as `life`; or that it
    /// is not.
    ///
    /// # Errors
    /// [`StreamError`]; repeating is harmless.
    pub async fn say_full(
        &self,
        used_permille: Option<u64>,
        life: Duration,
    ) -> Result<(), StreamError> {
        let key = self.keys.full();
        let Some(used) = used_permille else {
            return answered(self.client.del::<(), _>(key)).await;
        };
        let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        let (used, life) = (used.to_string(), Some(Expiration::EX(life)));
        let set = self.client.set::<(), _, _>(key, used, life, None, false);
        answered(set).await
    }
}
