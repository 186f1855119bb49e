//! Who the scenarios are, and somebody who tells the services of them.

use std::time::Duration;

use anyhow::Result;
use evp_shared::access::projector::Projector;
use evp_shared::access::rate::RateLimits;
use evp_shared::access::record::{Scope, TenantId};
use evp_shared::access::store::{AccessStore, NewKey, NewTenant};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::health::Health;
use evp_shared::shutdown::Shutdown;
use evp_shared::testing::{TestMongo, TestRedis};
use tokio::task::JoinSet;

/// A key for each thing that is done.
#[derive(Debug)]
pub struct Keys {
    /// Sends events.
    pub write: Token,
    /// Asks the aggregator, as the tenant's admin.
    pub admin: Token,
    /// Acts for all tenants.
    pub operator: Token,
}

impl Keys {
    /// Makes them for `tenant`, which is made too where it is not there, as `evp-aggregator access` does.
    ///
    /// # Errors
    /// `MongoDB` does not answer.
    pub async fn make(mongo: &TestMongo, tenant: &str) -> Result<Self> {
        let store = AccessStore::new(&mongo.database());
        let id: TenantId = tenant.parse()?;
        let there = store.records().await?.tenants;
        if there.iter().all(|tenant| tenant.id != id) {
            let now_ms = Clock::system().now_ms();
            let new = NewTenant::named(id.clone(), tenant);
            store.add_tenant(new, now_ms).await?;
        }
        Ok(Self {
            write: key(&store, Some(&id), Scope::Write).await?,
            admin: key(&store, Some(&id), Scope::Admin).await?,
            operator: key(&store, None, Scope::Operator).await?,
        })
    }
}

async fn key(store: &AccessStore, tenant: Option<&TenantId>, scope: Scope) -> Result<Token> {
    let tenant = tenant.cloned();
    let new = NewKey {
        name: "scenario".to_owned(),
        kind: KeyKind::Secret,
        scope,
        tenant,
        types: Vec::new(),
        origins: Vec::new(),
        limits: RateLimits::default(),
        expires_ms: None,
    };
    Ok(store.add_key(new, Clock::system().now_ms()).await?.1)
}

/// Tells the services of one scenario who may come in, as the aggregator does, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Teller {
    _tasks: JoinSet<()>,
}

impl Teller {
    /// Tells it once, and from then on whenever Redis has forgotten it.
    pub(crate) async fn start(redis: &TestRedis, mongo: &TestMongo) -> Result<Self> {
        const OVERDUE: Duration = Duration::from_secs(3_600);
        let store = AccessStore::new(&mongo.database());
        let projector = Projector::new(store, redis.stream(1));
        projector.project().await?;
        let beat = Health::new(Clock::system()).loop_beat("access-projector", OVERDUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            projector.keep(beat, Shutdown::new()).await.ok();
        });
        Ok(Self { _tasks: tasks })
    }
}
