//! What is asked for of tenants and keys, and whether it may be. Pure.

use super::AccessError;
use crate::access::rate::{Rate, RateLimits};
use crate::access::record::{
    KEYS_MAX, KEYS_OF_TENANT_MAX, Key, LISTS_BYTES_MAX, NAME_CHARS_MAX, ORIGINS_MAX, Records,
    Scope, TYPES_MAX, TenantId, TenantState,
};
use crate::access::token::KeyKind;
use crate::event::kind::check_event_type;

/// Longest origin of a page.
const ORIGIN_CHARS_MAX: usize = 255;

/// What is asked of a new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// Where it may stand.
    pub kind: KeyKind,
    /// What it may do.
    pub scope: Scope,
    /// Whose it is; nobody's for an operator.
    pub tenant: Option<TenantId>,
    /// Types of events it may send; all where there are none.
    pub types: Vec<String>,
    /// Origins whose pages may use it.
    pub origins: Vec<String>,
    /// What it may send.
    pub limits: RateLimits,
    /// From when on it is refused, Unix ms.
    pub expires_ms: Option<u64>,
}

/// What is changed of a tenant; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// Whether its credentials work.
    pub state: Option<TenantState>,
    /// What its keys together may send in a second.
    pub limits: Option<RateLimits>,
    /// Events they may send in a UTC day; zero is no quota.
    pub events_per_day: Option<u64>,
    /// Types that are counted by name. Those that are named already stay so.
    pub types: Option<u32>,
    /// Whether its unique and top users are sketched.
    pub analytics: Option<bool>,
}

impl NewKey {
    pub(super) fn check(&self, records: &Records) -> Result<(), AccessError> {
        let invalid = |field, fault: &str| {
            let fault = fault.to_owned();
            Err(AccessError::Invalid { field, fault })
        };
        self.check_lists()?;
        check_limits(self.limits)?;
        if self.expires_ms.is_some_and(|ms| i64::try_from(ms).is_err()) {
            return invalid("expires", "lies too far ahead");
        }
        let own = || records.keys.iter().filter(|key| key.tenant == self.tenant);
        at_most(
            "name",
            "keys of a tenant",
            own().count() + 1,
            KEYS_OF_TENANT_MAX,
        )?;
        self.check_bytes(own())?;
        at_most("name", "keys", records.keys.len() + 1, KEYS_MAX)?;
        if self.kind == KeyKind::Public && self.scope != Scope::Write {
            return invalid(
                "public",
                "a public key can be read by others: it only writes",
            );
        }
        if !self.types.is_empty() && self.scope != Scope::Write {
            return invalid("types", "only a key that writes is held to types of events");
        }
        match &self.tenant {
            None if self.scope != Scope::Operator => invalid(
                "tenant",
                "say whose key it is; only an operator's is nobody's",
            ),
            Some(_) if self.scope == Scope::Operator => {
                invalid("tenant", "an operator's key is of no tenant: leave it out")
            }
            Some(id) if records.tenants.iter().all(|tenant| tenant.id != *id) => {
                Err(AccessError::NoTenant { id: id.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_lists(&self) -> Result<(), AccessError> {
        at_most("types", "types", self.types.len(), TYPES_MAX)?;
        at_most("origins", "origins", self.origins.len(), ORIGINS_MAX)?;
        for name in &self.types {
            check_event_type(name).map_err(|rejection| AccessError::Invalid {
                field: "types",
                fault: format!("{name:?}: {}", rejection.message),
            })?;
        }
        let odd = self.origins.iter().find(|origin| !is_origin(origin));
        odd.map_or(Ok(()), |odd| {
            Err(AccessError::Invalid {
                field: "origins",
                fault: format!("{odd:?}: write scheme, host and port, as https://app.example"),
            })
        })
    }

    /// Judges whether its lists have room beside those of its tenant's `own` keys.
    fn check_bytes<'k>(&self, own: impl Iterator<Item = &'k Key>) -> Result<(), AccessError> {
        let bytes = |list: &[String]| list.iter().map(String::len).sum::<usize>();
        let (types, origins) = (bytes(&self.types), bytes(&self.origins));
        let taken: usize = own.map(|key| bytes(&key.types) + bytes(&key.origins)).sum();
        let left = LISTS_BYTES_MAX.saturating_sub(taken);
        if types + origins <= left {
            return Ok(());
        }
        let field = if types < origins { "origins" } else { "types" };
        let fault = format!(
            "all keys of a tenant together, ended ones for 90 days too, may name {LISTS_BYTES_MAX} bytes of \
             types and origins, of which {left} are left: name fewer"
        );
        Err(AccessError::Invalid { field, fault })
    }
}

/// Whether browsers may send it as an `Origin`.
fn is_origin(text: &str) -> bool {
    let has_scheme = text.starts_with("http://") || text.starts_with("https://");
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    has_scheme && is_printable && !text.ends_with('/') && text.len() <= ORIGIN_CHARS_MAX
}

pub(super) fn check_limits(limits: RateLimits) -> Result<(), AccessError> {
    let is_held = |number: u64| i64::try_from(number).is_ok();
    let is_odd = |rate: Option<Rate>| {
        rate.is_some_and(|rate| {
            rate.per_second == 0 || !is_held(rate.per_second) || !is_held(rate.burst)
        })
    };
    if is_odd(limits.events) || is_odd(limits.bytes) {
        let fault = "a rate is 1 a second at least, and fits 63 bits".to_owned();
        let field = "limits";
        return Err(AccessError::Invalid { field, fault });
    }
    Ok(())
}

pub(super) fn checked_name(name: &str) -> Result<String, AccessError> {
    let name = name.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(AccessError::Invalid {
            field: "name",
            fault: format!("takes 1 to {NAME_CHARS_MAX} printable characters"),
        });
    }
    Ok(name.to_owned())
}

pub(super) fn at_most(
    field: &'static str,
    what: &str,
    there: usize,
    most: usize,
) -> Result<(), AccessError> {
    if there > most {
        let fault = format!("there may be {most} {what}");
        return Err(AccessError::Invalid { field, fault });
    }
    Ok(())
}
