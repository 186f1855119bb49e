//! Redis, told of who may come in as the aggregator tells it.

use evp_shared::access::rate::RateLimits;
use evp_shared::access::record::{Key, Records, Scope, Tenant, TenantId, TenantState};
use evp_shared::access::token::{KeyHash, KeyKind, Token};
use evp_shared::stream::{AccessHead, Said};
use evp_shared::testing::TestRedis;

/// What Redis is told of who may come in.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) records: Records,
    pub(crate) version: u64,
}

impl Told {
    pub(crate) fn tenant(&mut self, id: &str, state: TenantState) {
        let tenant = Tenant::new(id.parse().unwrap(), id.to_owned(), 1);
        self.records.tenants.push(Tenant { state, ..tenant });
    }

    pub(crate) fn key(&mut self, tenant: &str, change: impl FnOnce(&mut Key)) -> String {
        let mut key = Key {
            id: format!("key_{}", self.records.keys.len()),
            hash: KeyHash::of(""),
            name: "a key".to_owned(),
            kind: KeyKind::Secret,
            scope: Scope::Write,
            tenant: Some(tenant.parse::<TenantId>().unwrap()),
            types: Vec::new(),
            origins: Vec::new(),
            limits: RateLimits::default(),
            created_ms: 1,
            expires_ms: None,
            revoked_ms: None,
        };
        change(&mut key);
        let token = Token::generate(key.kind);
        key.hash = KeyHash::of(token.expose());
        self.records.keys.push(key);
        token.expose().to_owned()
    }

    pub(crate) async fn say(&mut self, redis: &TestRedis) {
        let stream = redis.stream(1);
        let seen = stream
            .said_head(Said::Access)
            .await
            .unwrap()
            .map(|head| head.version);
        self.version += 1;
        let head = AccessHead {
            version: self.version,
            digest: "any".to_owned(),
        };
        let content = serde_json::to_vec(&self.records).unwrap();
        assert!(
            stream
                .say(Said::Access, seen, &head, content)
                .await
                .unwrap()
        );
    }
}
