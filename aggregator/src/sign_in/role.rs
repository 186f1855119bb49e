//! What people may do. Pure.

use evp_shared::access::record::{Scope, TenantId};
use evp_shared::access::token::KeyKind;
use evp_shared::outcome::RejectReason;
use serde::{Deserialize, Serialize};

evp_shared::choices! {
    /// What somebody may do.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Role {
        /// See what a tenant sent.
        Viewer = "viewer",
        /// See it, and act on its dead letters, keys and members.
        Admin = "admin",
        /// See and mend everything, of all tenants.
        Operator = "operator",
    }
}

impl Role {
    /// `tenant`, unless this is an operator, who belongs to none.
    pub fn within(self, tenant: &TenantId) -> Option<&TenantId> {
        (self != Self::Operator).then_some(tenant)
    }

    /// What the holder of a key is.
    ///
    /// # Errors
    /// `scope_missing`: the key only writes.
    pub fn of_key(scope: Scope, kind: KeyKind) -> Result<Self, RejectReason> {
        match (kind, scope) {
            (KeyKind::Public, _) | (_, Scope::Write) => Err(RejectReason::ScopeMissing),
            (KeyKind::Secret, Scope::Read) => Ok(Self::Viewer),
            (KeyKind::Secret, Scope::Admin) => Ok(Self::Admin),
            (KeyKind::Secret, Scope::Operator) => Ok(Self::Operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_key_that_sees_something_signs_in() {
        for (kind, scope, expected) in [
            (KeyKind::Secret, Scope::Read, Ok(Role::Viewer)),
            (KeyKind::Secret, Scope::Admin, Ok(Role::Admin)),
            (KeyKind::Secret, Scope::Operator, Ok(Role::Operator)),
            (
                KeyKind::Secret,
                Scope::Write,
                Err(RejectReason::ScopeMissing),
            ),
            (
                KeyKind::Public,
                Scope::Write,
                Err(RejectReason::ScopeMissing),
            ),
            (
                KeyKind::Public,
                Scope::Read,
                Err(RejectReason::ScopeMissing),
            ),
        ] {
            assert_eq!(Role::of_key(scope, kind), expected, "{kind} {scope}");
        }
    }
}
