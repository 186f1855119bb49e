//! Changes that are asked for over HTTP: what was begun comes to its end, whoever asked for it leaves.

use std::panic::resume_unwind;
use std::time::Duration;

use evp_shared::tasks::{Slot as Room, TaskPool};

use crate::auth::Tenant;
use crate::error::QueryError;
use crate::slots::Slots;

/// Changes of tenants under way at the same time.
pub(crate) const CHANGES_AT_ONCE: usize = 16;

/// Changes under way; clones share them.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Half of it is left to operators, who take no slots.
    pool: TaskPool,
    slots: Slots,
    patience: Duration,
}

impl Changes {
    /// Changes for which tenants take `slots`, and wait for one so long.
    pub fn new(slots: Slots, patience: Duration) -> Self {
        Self {
            pool: TaskPool::new("change", 2 * CHANGES_AT_ONCE),
            slots,
            patience,
        }
    }

    /// Does `work`, which somebody of `tenant` asked for, or an operator.
    ///
    /// # Errors
    /// Those of `work`; [`QueryError::Busy`], [`QueryError::TenantBusy`], and nothing was begun.
    ///
    /// # Cancel safety
    /// What was begun goes on without the caller.
    pub fn finish<T: Send + 'static>(
        &self,
        tenant: Option<Tenant>,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> impl Future<Output = Result<T, QueryError>> + Send {
        // It is large, and every future around it would hold it.
        let work = Box::pin(work);
        async move {
            let slot = self.slots.part(tenant, self.patience).await?;
            let work = async move {
                let _slot = slot;
                work.await
            };
            finish(self.pool.try_slot(), work).await
        }
    }

    /// Waits until none is under way, for at most `grace`; how many were cut.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.pool.drain(grace).await
    }
}

/// Does `work` where there is room for it.
///
/// # Errors
/// Those of `work`; [`QueryError::Busy`] where there is none, and at the end of the service.
///
/// # Cancel safety
/// What was begun goes on without the caller.
pub async fn finish<T: Send + 'static>(
    room: Option<Room>,
    work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> Result<T, QueryError> {
    let room = room.ok_or(QueryError::Busy)?;
    match room.spawn(work).await {
        Ok(Some(done)) => done,
        // Cut at the end of the service.
        Ok(None) => Err(QueryError::Busy),
        Err(died) => match died.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_cancelled) => Err(QueryError::Busy),
        },
    }
}
