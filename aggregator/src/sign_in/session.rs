//! A session: who somebody is, for how long, and what that lets them do at this moment. Pure.

use std::time::Duration;

use bson::DateTime;
use evp_shared::access::record::TenantId;
use evp_shared::access::token::KeyHash;
use evp_shared::outcome::RejectReason;
use serde::{Deserialize, Serialize};

use super::member::Email;
use super::moment::ms;
use super::role::Role;

/// A session nobody uses for so long is over.
pub const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// A session is over after this time, however it is used.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

evp_shared::choices! {
    /// What a session began with.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Via {
        /// A key, with which it ends.
        Key = "key",
        /// A link.
        Link = "link",
        /// A code by mail.
        Code = "code",
    }
}

/// Who somebody is who signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "lowercase")]
pub enum Person {
    /// The holder of a key.
    Key {
        /// What is kept of it.
        key: KeyHash,
    },
    /// Whoever used a link.
    Link {
        /// What the link gave.
        role: Role,
    },
    /// A member.
    Code {
        /// Whose roles are looked up.
        email: Email,
    },
}

impl Person {
    /// What the session began with.
    pub const fn via(&self) -> Via {
        match self {
            Self::Key { .. } => Via::Key,
            Self::Link { .. } => Via::Link,
            Self::Code { .. } => Via::Code,
        }
    }
}

/// A session to be begun.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Who it is.
    pub who: Person,
    /// What audits and bounds know that person by.
    pub name: String,
    /// Whose data is seen first.
    pub tenant: TenantId,
    /// As what.
    pub role: Role,
}

/// A session, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// What is kept of its text.
    #[serde(rename = "_id")]
    pub hash: KeyHash,
    /// What audits and bounds know the person by.
    pub person: String,
    /// Who it is.
    #[serde(flatten)]
    pub who: Person,
    /// Whose data is seen.
    pub tenant: TenantId,
    pub(super) created_ms: u64,
    pub(super) seen_ms: u64,
    /// When MongoDB may delete it.
    pub(super) ends: DateTime,
}

impl Session {
    /// When it is over if nobody uses it, Unix ms.
    pub fn idle_ends_ms(&self) -> u64 {
        self.ends_ms().min(self.seen_ms.saturating_add(ms(IDLE)))
    }

    /// When it is over however it is used, Unix ms.
    pub fn ends_ms(&self) -> u64 {
        self.created_ms.saturating_add(ms(LONGEST))
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.idle_ends_ms()
    }
}

/// What a session lets somebody do at this moment.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The session.
    pub session: Session,
    /// As what.
    pub role: Role,
    /// Whose data may be seen, and as what; nobody's for an operator, who may see everybody's.
    pub tenants: Vec<(TenantId, Role)>,
    /// Whether the tenant's credentials work.
    pub(super) is_active: bool,
}

impl Standing {
    /// Whose data is seen.
    ///
    /// # Errors
    /// `tenant_disabled`.
    pub fn reads(&self) -> Result<&TenantId, RejectReason> {
        if self.is_active || self.role == Role::Operator {
            Ok(&self.session.tenant)
        } else {
            Err(RejectReason::TenantDisabled)
        }
    }

    /// Whose keys, dead letters and members may be acted on; `None` is everybody's.
    ///
    /// # Errors
    /// `scope_missing` and `tenant_disabled`.
    pub fn administers(&self) -> Result<Option<&TenantId>, RejectReason> {
        match self.role {
            Role::Viewer => Err(RejectReason::ScopeMissing),
            Role::Admin => self.reads().map(Some),
            Role::Operator => Ok(None),
        }
    }

    /// Whether it may change to `tenant`.
    pub fn may_see(&self, tenant: &TenantId) -> bool {
        self.role == Role::Operator || self.tenants.iter().any(|(own, _)| own == tenant)
    }
}

#[cfg(test)]
mod tests {
    use bson::Bson;

    use super::*;

    #[test]
    fn a_session_ends_when_it_is_idle_and_after_its_longest_life() {
        let session = |seen_ms| Session {
            hash: KeyHash::of("a"),
            person: "key_a".to_owned(),
            who: Person::Link { role: Role::Viewer },
            tenant: TenantId::default_tenant(),
            created_ms: 1_000,
            seen_ms,
            ends: DateTime::from_millis(0),
        };
        let idle_ms = 12 * 3_600 * 1_000;
        assert!(!session(5_000).is_over(5_000 + idle_ms - 1));
        assert!(session(5_000).is_over(5_000 + idle_ms));
        let longest_ms = 7 * 24 * 3_600 * 1_000;
        let last = 1_000 + longest_ms;
        assert!(!session(last - 1).is_over(last - 1));
        assert!(session(last - 1).is_over(last));
    }

    #[test]
    fn a_session_is_stored_as_it_is_read() {
        for who in [
            Person::Key {
                key: KeyHash::of("k"),
            },
            Person::Link { role: Role::Admin },
            Person::Code {
                email: "jane@example.org".parse().unwrap(),
            },
        ] {
            let session = Session {
                hash: KeyHash::of("a"),
                person: "p".to_owned(),
                who,
                tenant: TenantId::default_tenant(),
                created_ms: 1,
                seen_ms: 2,
                ends: DateTime::from_millis(3),
            };
            let stored = bson::serialize_to_document(&session).unwrap();
            assert_eq!(stored.get_str("via").unwrap(), session.who.via().as_str());
            assert!(
                stored.get_datetime("ends").is_ok(),
                "MongoDB ends dates only"
            );
            let read: Session = bson::deserialize_from_bson(Bson::Document(stored)).unwrap();
            assert_eq!((read.who, read.seen_ms), (session.who, 2));
        }
    }
}
