//! Places of a kind, of which there are so many, and of which one tenant gets no more than its part: so
//! no tenant keeps all others out. A tenant that nobody else is beside has no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::auth::Tenant;
use crate::error::QueryError;

/// All places of a kind; clones share them.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Places>);

#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    of_tenant: usize,
    /// Those of the tenants that have or wait for one.
    tenants: Mutex<HashMap<Tenant, Arc<Semaphore>>>,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    places: Arc<Places>,
    tenant: Tenant,
    own: Option<OwnedSemaphorePermit>,
    any: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// So many, of which a tenant gets `of_tenant`.
    pub fn new(all: usize, of_tenant: usize) -> Self {
        Self(Arc::new(Places {
            all: Arc::new(Semaphore::new(all)),
            of_tenant,
            tenants: Mutex::default(),
        }))
    }

    /// Takes one for `tenant` that is free.
    ///
    /// # Errors
    /// [`QueryError::TenantBusy`] when the tenant has its part, [`QueryError::Busy`] when there is none.
    pub fn try_take(&self, tenant: &Tenant) -> Result<Slot, QueryError> {
        let (mut slot, own) = self.begin(tenant);
        let taken = own.try_acquire_owned();
        slot.own = Some(taken.map_err(|_| QueryError::TenantBusy)?);
        let taken = Arc::clone(&self.0.all).try_acquire_owned();
        slot.any = Some(taken.map_err(|_| QueryError::Busy)?);
        Ok(slot)
    }

    /// Takes one for `tenant` once it is free; whoever waits for the tenant's part keeps nobody else
    /// from a place.
    ///
    /// # Errors
    /// As [`try_take`](Self::try_take), once it has waited for `patience`.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn take(&self, tenant: &Tenant, patience: Duration) -> Result<Slot, QueryError> {
        let (mut slot, own) = self.begin(tenant);
        // They are never closed.
        let taken = timeout(patience, own.acquire_owned()).await;
        slot.own = taken.map_err(|_| QueryError::TenantBusy)?.ok();
        let all = Arc::clone(&self.0.all);
        let taken = timeout(patience, all.acquire_owned()).await;
        slot.any = taken.map_err(|_| QueryError::Busy)?.ok();
        Ok(slot)
    }

    /// As [`take`](Self::take), for a tenant; an operator, who is of none, needs none.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn part(
        &self,
        tenant: Option<Tenant>,
        patience: Duration,
    ) -> Result<Option<Slot>, QueryError> {
        match tenant {
            Some(tenant) => self.take(&tenant, patience).await.map(Some),
            None => Ok(None),
        }
    }

    /// Who has or waits for one, in order.
    pub fn tenants(&self) -> Vec<Tenant> {
        let mut tenants: Vec<Tenant> = self.0.tenants.lock().keys().cloned().collect();
        tenants.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        tenants
    }

    fn begin(&self, tenant: &Tenant) -> (Slot, Arc<Semaphore>) {
        let mut tenants = self.0.tenants.lock();
        let own = tenants.entry(tenant.clone());
        let own = own.or_insert_with(|| Arc::new(Semaphore::new(self.0.of_tenant)));
        let slot = Slot {
            places: Arc::clone(&self.0),
            tenant: tenant.clone(),
            own: None,
            any: None,
        };
        (slot, Arc::clone(own))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.own = None;
        let mut tenants = self.places.tenants.lock();
        // Whoever has or waits for one holds it too.
        let is_last = |own: &Arc<Semaphore>| Arc::strong_count(own) == 1;
        if tenants.get(&self.tenant).is_some_and(is_last) {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tenant_gets_its_part_and_leaves_the_rest() {
        let slots = Slots::new(3, 2);
        let [one, other] = ["a", "b"].map(Tenant::named);
        let first = slots.try_take(&one).unwrap();
        let _second = slots.try_take(&one).unwrap();
        assert!(matches!(slots.try_take(&one), Err(QueryError::TenantBusy)));
        let third = slots.try_take(&other).unwrap();
        assert!(matches!(slots.try_take(&other), Err(QueryError::Busy)));
        assert_eq!(slots.tenants(), [one.clone(), other.clone()]);

        // Who waits gets the place that becomes free, and one who goes away meanwhile leaves no trace.
        let soon = slots.take(&other, Duration::from_nanos(1)).await;
        assert!(matches!(soon, Err(QueryError::Busy)));
        let soon = slots.take(&one, Duration::from_nanos(1)).await;
        assert!(matches!(soon, Err(QueryError::TenantBusy)));
        let long = Duration::from_secs(600);
        assert!(slots.take(&other, long).now_or_never().is_none());
        let mut waits = pin!(slots.take(&one, long));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(third);
        assert!(waits.as_mut().now_or_never().is_none(), "beyond its part");
        assert_eq!(slots.tenants(), std::slice::from_ref(&one));
        drop(first);
        let _fourth = waits.await.unwrap();
        assert!(slots.try_take(&other).is_ok());
    }
}
