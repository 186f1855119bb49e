//! The tenants of a run, each with a key.

use evp_shared::access::projector::Projector;
use evp_shared::access::rate::RateLimits;
use evp_shared::access::record::{Key, Scope, TenantId};
use evp_shared::access::store::{AccessStore, Change, NewKey, NewTenant};
use evp_shared::access::token::{KeyHash, KeyKind};
use evp_shared::clock::Clock;

use super::{Layout, Servers};

/// Makes tenants and their keys, and tells Redis, as an aggregator does; one key of each.
pub(super) async fn keys(servers: &Servers, layout: Layout) -> anyhow::Result<Vec<String>> {
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    if layout.tenants == 0 {
        return Ok(keys);
    }
    let database = servers.database().await?;
    let store = AccessStore::new(&database);
    let now_ms = Clock::system().now_ms();
    // As many types as the load has: all tenants together may have 20,000.
    let types = Some(20);
    let change = Change {
        types,
        ..Change::default()
    };
    let default = TenantId::default_tenant();
    store.change(&default, &change).await?;
    for number in 0..layout.tenants {
        let id = TenantId::try_from(format!("tenant-{number}"))?;
        let new = NewTenant {
            types,
            ..NewTenant::named(id.clone(), id.as_str())
        };
        store.add_tenant(new, now_ms).await?;
        let new = NewKey {
            name: "bench".to_owned(),
            kind: KeyKind::Secret,
            scope: Scope::Write,
            tenant: Some(id),
            types: Vec::new(),
            origins: Vec::new(),
            limits: RateLimits::default(),
            expires_ms: None,
        };
        let (key, token) = store.add_key(new, now_ms).await?;
        keys.push(token.expose().to_owned());
        others.extend((1..layout.tenant_keys).map(|number| Key {
            id: format!("{}_{number}", key.id),
            hash: KeyHash::of(&format!("{} {number}", key.id)),
            ..key.clone()
        }));
    }
    if !others.is_empty() {
        // The store reads all keys before it makes one.
        let database = evp_shared::store::access(&database);
        database.collection("keys").insert_many(others).await?;
    }
    Projector::new(store, servers.stream().await?)
        .project()
        .await?;
    Ok(keys)
}
