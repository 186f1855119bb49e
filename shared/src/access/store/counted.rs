//! What is counted of a tenant's events, which all tenants together have only so much of.

use bson::Document;

use super::{AccessError, AccessStore, Change};
use crate::access::record::{ANALYTICS_MAX, Records, Tenant, TenantId};
use crate::counters::TYPES_ALL_MAX;

/// What is asked of a new tenant.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// What it is called for ever.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Types that are counted by name; as of every new one where nothing is said.
    pub types: Option<u32>,
    /// Whether its unique and top users are sketched; they are not where nothing is said.
    pub analytics: Option<bool>,
}

impl NewTenant {
    /// One that nothing is said of.
    pub fn named(id: TenantId, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            types: None,
            analytics: None,
        }
    }
}

impl AccessStore {
    /// Sets what is counted of a tenant, as far as all of them together may have that much.
    pub(super) async fn set_counted(
        &self,
        id: &TenantId,
        change: &Change,
        set: &mut Document,
    ) -> Result<(), AccessError> {
        if change.types.is_none() && change.analytics.is_none() {
            return Ok(());
        }
        let records = self.records().await?;
        let mut tenants = records.tenants.iter();
        let tenant = tenants.find(|tenant| tenant.id == *id);
        let tenant = tenant.ok_or_else(|| AccessError::NoTenant { id: id.clone() })?;
        let tenant = Tenant {
            types: change.types.or(tenant.types),
            analytics: change.analytics.or(tenant.analytics),
            ..tenant.clone()
        };
        if let Some(types) = change.types {
            check_types(&tenant, &records)?;
            set.insert("types", i64::from(types));
        }
        if let Some(analytics) = change.analytics {
            check_analytics(&tenant, &records)?;
            set.insert("analytics", analytics);
        }
        Ok(())
    }
}

/// Judges whether `tenant` may have what it is to have.
pub(super) fn check(tenant: &Tenant, records: &Records) -> Result<(), AccessError> {
    check_types(tenant, records)?;
    check_analytics(tenant, records)
}

/// Judges whether as many types of all tenants, one of which is `tenant`, may be counted by name.
fn check_types(tenant: &Tenant, records: &Records) -> Result<(), AccessError> {
    let field = "types";
    if tenant.types_max() == 0 {
        let fault = "counts at least one by name".to_owned();
        return Err(AccessError::Invalid { field, fault });
    }
    let others = records.tenants.iter().filter(|one| one.id != tenant.id);
    let others: u64 = others.map(|one| u64::from(one.types_max())).sum();
    let left = u64::from(TYPES_ALL_MAX).saturating_sub(others);
    let asked = u64::from(tenant.types_max());
    if asked > left {
        let fault = format!(
            "{asked} are more than the {left} that are left of {TYPES_ALL_MAX} for all tenants: take fewer, or \
             first lower another tenant's (evp-aggregator access tenant count ID --types N, or PATCH \
             /admin/tenants/ID)"
        );
        return Err(AccessError::Invalid { field, fault });
    }
    Ok(())
}

/// Judges whether the users of as many tenants, one of which is `tenant`, may be sketched.
fn check_analytics(tenant: &Tenant, records: &Records) -> Result<(), AccessError> {
    let others = records.tenants.iter().filter(|one| one.id != tenant.id);
    let others = others.filter(|one| one.has_analytics()).count();
    if tenant.has_analytics() && others >= ANALYTICS_MAX {
        let fault = format!(
            "{ANALYTICS_MAX} tenants have it, and no more may: first take it from another (evp-aggregator \
             access tenant count ID --analytics false, or PATCH /admin/tenants/ID)"
        );
        let field = "analytics";
        return Err(AccessError::Invalid { field, fault });
    }
    Ok(())
}
