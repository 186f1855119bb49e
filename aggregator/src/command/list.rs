//! Tenants and keys as lines of a table.

use evp_shared::access::rate::Rate;
use evp_shared::access::record::{Key, Tenant, TenantId};
use evp_shared::command::{show_time, table};

pub(super) fn list_tenants(tenants: &[Tenant]) -> String {
    let head = [
        "id",
        "name",
        "state",
        "events/s",
        "bytes/s",
        "events/day",
        "types",
        "analytics",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let rate = |rate: Option<Rate>| shown(rate.map(|rate| rate.per_second));
    rows.extend(tenants.iter().map(|tenant| {
        vec![
            tenant.id.to_string(),
            tenant.name.clone(),
            tenant.state.to_string(),
            rate(tenant.limits.events),
            rate(tenant.limits.bytes),
            shown(tenant.events_per_day),
            tenant.types_max().to_string(),
            tenant.has_analytics().to_string(),
        ]
    }));
    table(&rows)
}

pub(super) fn list_keys<'k>(keys: impl Iterator<Item = &'k Key>) -> String {
    let head = [
        "id", "name", "tenant", "scope", "kind", "made", "ends", "revoked",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), show_time);
    rows.extend(keys.map(|key| {
        vec![
            key.id.clone(),
            key.name.clone(),
            key.tenant.as_ref().map_or("-", TenantId::as_str).to_owned(),
            key.scope.to_string(),
            key.kind.to_string(),
            show_time(key.created_ms),
            time(key.expires_ms),
            time(key.revoked_ms),
        ]
    }));
    table(&rows)
}
