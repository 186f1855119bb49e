//! Tenants and keys, as they are stored and handed to the services. Pure.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rate::RateLimits;
use super::token::{KeyHash, KeyKind};
use crate::counters::types_unless_said;

/// Tenants there may be.
pub const TENANTS_MAX: usize = 1_000;
/// Tenants whose users are sketched. Source: a processor holds 50 KB for the minute and for the hour of
/// each.
pub const ANALYTICS_MAX: usize = 32;
/// Keys there may be, ended ones included until they are forgotten.
pub const KEYS_MAX: usize = 10_000;
/// Keys one tenant may have, or the operators.
pub const KEYS_OF_TENANT_MAX: usize = 1_000;
/// Event types a key may be held to.
pub const TYPES_MAX: usize = 100;
/// Origins a key may be held to.
pub const ORIGINS_MAX: usize = 20;
/// Bytes of types and origins that all keys of a tenant may be held to together, or the operators':
/// every service holds all of them, and they are compared every second.
pub const LISTS_BYTES_MAX: usize = 256 * 1024;
/// Characters of a name that people give.
pub const NAME_CHARS_MAX: usize = 100;

const TENANT_CHARS_MAX: usize = 32;

/// The id of a tenant: `[a-z0-9][a-z0-9-]{0,31}`. It is hashed into every `_id`, so it never changes,
/// and never becomes another tenant's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// No id of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no tenant's id: it takes 1 to {TENANT_CHARS_MAX} of a-z, 0-9 and \"-\", and begins with a letter \
     or digit"
)]
pub struct NoTenantId;

impl TenantId {
    /// The tenant of everything that open mode stored.
    pub fn default_tenant() -> Self {
        Self("default".into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl std::str::FromStr for TenantId {
    type Err = NoTenantId;

    fn from_str(text: &str) -> Result<Self, NoTenantId> {
        let is_taken =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_id = (1..=TENANT_CHARS_MAX).contains(&text.len())
            && text.bytes().all(is_taken)
            && !text.starts_with('-');
        is_id.then(|| Self(text.into())).ok_or(NoTenantId)
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = NoTenantId;

    fn try_from(text: String) -> Result<Self, NoTenantId> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::choices! {
    /// Whether a tenant's credentials work.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum TenantState {
        /// They do.
        Active = "active",
        /// They are refused; what is stored stays.
        Disabled = "disabled",
    }
}

crate::choices! {
    /// What a key may do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Scope {
        /// Send events of its tenant.
        Write = "write",
        /// See what its tenant sent.
        Read = "read",
        /// See it, and act on its dead letters and keys.
        Admin = "admin",
        /// See and mend the whole system, of all tenants.
        Operator = "operator",
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Whether its credentials work.
    pub state: TenantState,
    /// When it was made, Unix ms.
    pub created_ms: u64,
    /// What all its keys together may send.
    #[serde(default)]
    pub limits: RateLimits,
    /// Events they may send in a UTC day, over all instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_per_day: Option<u64>,
    /// Types that are counted by name, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<u32>,
    /// Whether its unique and top users are sketched, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analytics: Option<bool>,
}

impl Tenant {
    /// An active one without limits.
    pub fn new(id: TenantId, name: String, created_ms: u64) -> Self {
        Self {
            id,
            name,
            state: TenantState::Active,
            created_ms,
            limits: RateLimits::default(),
            events_per_day: None,
            types: None,
            analytics: None,
        }
    }

    /// How many of its types are counted by name on each partition.
    pub fn types_max(&self) -> u32 {
        let said = self.types;
        said.unwrap_or_else(|| types_unless_said(self.id.as_str()))
    }

    /// Whether its unique and top users are sketched: those of `default` are unless its record says
    /// otherwise.
    pub fn has_analytics(&self) -> bool {
        let is_default = self.id == TenantId::default_tenant();
        self.analytics.unwrap_or(is_default)
    }
}

/// A key, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// What it is called in lists, logs and audits.
    #[serde(rename = "_id")]
    pub id: String,
    /// What is kept of its text.
    pub hash: KeyHash,
    /// What people call it.
    pub name: String,
    /// Where it may stand.
    pub kind: KeyKind,
    /// What it may do.
    pub scope: Scope,
    /// Whose it is; nobody's for an operator.
    pub tenant: Option<TenantId>,
    /// Types of events it may send; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Origins whose pages may use it; those of `ingest.cors.origins` where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// What it may send.
    #[serde(default)]
    pub limits: RateLimits,
    /// When it was made, Unix ms.
    pub created_ms: u64,
    /// From when on it is refused, Unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// From when on it is refused, Unix ms: it was revoked, or another one follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// All there is, in the order of ids: what services hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The tenants.
    pub tenants: Vec<Tenant>,
    /// The keys.
    pub keys: Vec<Key>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_tenants_are_names_of_hosts_in_lower_case() {
        for id in ["a", "0", "default", "a-b-", &"x".repeat(32)] {
            assert_eq!(id.parse::<TenantId>().unwrap().as_str(), id);
        }
        for id in [
            "",
            "-a",
            "A",
            "a_b",
            "a.b",
            "ä",
            "a{",
            "a\x1fb",
            &"x".repeat(33),
        ] {
            assert_eq!(id.parse::<TenantId>(), Err(NoTenantId), "{id:?}");
            let json = serde_json::to_string(id).unwrap();
            assert!(serde_json::from_str::<TenantId>(&json).is_err(), "{id:?}");
        }
    }
}
