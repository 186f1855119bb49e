//! A member: an invited person, by the address of mail, and as what that may come in. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use evp_shared::access::record::TenantId;
use serde::{Deserialize, Serialize};

use super::role::Role;

/// Longest address of mail (RFC 5321, with what it leaves of a path).
const EMAIL_BYTES_MAX: usize = 254;

/// An address of mail, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// No address of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("send an address such as jane@example.org, of at most {EMAIL_BYTES_MAX} bytes of ASCII")]
pub struct NoEmail;

impl Email {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NoEmail;

    fn from_str(text: &str) -> Result<Self, NoEmail> {
        let is_local =
            |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let (local, host) = text.split_once('@').ok_or(NoEmail)?;
        let is_email = text.len() <= EMAIL_BYTES_MAX
            && !local.is_empty()
            && local.bytes().all(is_local)
            && host.split('.').all(|label| !label.is_empty())
            && host.bytes().all(is_host);
        is_email
            .then(|| Self(text.to_ascii_lowercase()))
            .ok_or(NoEmail)
    }
}

impl TryFrom<String> for Email {
    type Error = NoEmail;

    fn try_from(text: String) -> Result<Self, NoEmail> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As what somebody may come in, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// As what.
    pub role: Role,
    /// When that was said, Unix ms.
    pub created_ms: u64,
    /// When the person, by a code, came to see it last, Unix ms. Of a membership: no tenant learns
    /// when its members see another.
    #[serde(default)]
    pub signed_in_ms: Option<u64>,
}

/// Somebody who was invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    #[serde(rename = "_id")]
    pub email: Email,
    /// To which tenants.
    #[serde(default)]
    pub tenants: BTreeMap<TenantId, Membership>,
    /// To all of them.
    #[serde(default)]
    pub operator: Option<Membership>,
}

impl Member {
    /// As what the person sees `tenant`.
    pub fn role_in(&self, tenant: &TenantId) -> Option<Role> {
        let own = self.tenants.get(tenant);
        self.operator
            .as_ref()
            .or(own)
            .map(|membership| membership.role)
    }

    /// Whose data the person sees first.
    pub fn first_tenant(&self) -> TenantId {
        let first = self.tenants.keys().next().cloned();
        first.unwrap_or_else(TenantId::default_tenant)
    }

    /// The tenant that mails to the person are counted with, unless it is an operator: whose invitation
    /// is the oldest, so that no other tenant moves it.
    pub fn home(&self) -> Option<&TenantId> {
        let own = self.operator.is_none().then_some(&self.tenants);
        let oldest = own?.iter().min_by_key(|(_, own)| own.created_ms);
        oldest.map(|(id, _)| id)
    }

    /// To which tenants, and to all of them with `None`.
    pub fn memberships(&self) -> impl Iterator<Item = (Option<&TenantId>, Membership)> {
        let all = self.operator.map(|membership| (None, membership));
        let own = self
            .tenants
            .iter()
            .map(|(id, membership)| (Some(id), *membership));
        all.into_iter().chain(own)
    }
}

#[cfg(test)]
mod tests {
    use bson::Bson;

    use super::*;

    #[test]
    fn addresses_are_one_line_in_lower_case() {
        let good = format!("{}@example.org", "x".repeat(EMAIL_BYTES_MAX - 12));
        for (text, email) in [
            ("Jane@Example.ORG", "jane@example.org"),
            ("jane.o'neil+evp@localhost", "jane.o'neil+evp@localhost"),
            (&good, &good),
        ] {
            assert_eq!(text.parse::<Email>().unwrap().as_str(), email);
        }
        for wrong in [
            "",
            "jane",
            "@example.org",
            "jane@",
            "jane@example..org",
            "jane@a@b",
            "jane@example.org\r\nBcc: x@y",
            "jane\n@example.org",
            "jane @example.org",
            "<jane@example.org>",
            "jäne@example.org",
            "a@b,c@d",
            &format!("x{good}"),
        ] {
            assert_eq!(wrong.parse::<Email>(), Err(NoEmail), "{wrong:?}");
        }
    }

    #[test]
    fn an_operator_is_one_everywhere() {
        let membership = |role| Membership {
            role,
            created_ms: 1,
            signed_in_ms: None,
        };
        let tenant = |id: &str| id.parse::<TenantId>().unwrap();
        let mut member = Member {
            email: "jane@example.org".parse().unwrap(),
            tenants: BTreeMap::from([(tenant("a"), membership(Role::Viewer))]),
            operator: None,
        };
        assert_eq!(member.role_in(&tenant("a")), Some(Role::Viewer));
        assert_eq!(member.role_in(&tenant("b")), None);
        assert_eq!(member.home(), Some(&tenant("a")));
        member.operator = Some(membership(Role::Operator));
        assert_eq!(member.role_in(&tenant("b")), Some(Role::Operator));
        assert_eq!(member.home(), None);
        let stored = bson::serialize_to_document(&member).unwrap();
        let read: Member = bson::deserialize_from_bson(Bson::Document(stored)).unwrap();
        assert_eq!(read, member);
    }
}
