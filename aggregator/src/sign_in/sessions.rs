//! Sessions: who is in, for how long, and what that lets them do at this moment.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use evp_shared::access::reader::Access;
use evp_shared::access::record::TenantId;
use evp_shared::access::token::{self, KeyHash, Ticket, Token};
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use evp_shared::store::{access, durable};
use futures::TryStreamExt as _;
use moka::future::Cache;
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};

use super::SESSIONS;
use super::members::{Email, Member, Members};
use super::moment::{at, ends, ms};
use super::role::Role;
use crate::answer::answer;
use crate::error::QueryError;

/// A session nobody uses for so long is over.
pub const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// A session is over after this time, however it is used.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Sessions of one person; one more ends the oldest.
const OF_PERSON_MAX: u64 = 20;
/// Sessions that are remembered to have been good.
const GOOD_MAX: u64 = 10_000;
/// For how long what open streams and exports read is good: with the half second in which they look,
/// a session that ended is out within two.
const RECENT: Duration = Duration::from_secs(1);
/// How exactly the last use of a session is known: it is written no more often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

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
    created_ms: u64,
    seen_ms: u64,
    /// When MongoDB may delete it.
    ends: DateTime,
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

    fn is_over(&self, now_ms: u64) -> bool {
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
    is_active: bool,
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

/// The sessions of all instances, in MongoDB.
#[derive(Debug)]
pub struct Sessions {
    sessions: Collection<Document>,
    access: Access,
    members: Members,
    clock: Clock,
    limit: Duration,
    /// Those that were good when they were looked up last.
    good: Cache<KeyHash, ()>,
    /// What open streams and exports read of theirs.
    recent: Cache<KeyHash, Kept>,
}

/// A session as it is stored, with the member whose it is.
type Kept = (Session, Option<Member>);

/// What the session of a cookie is looked up by.
///
/// # Errors
/// `session_ended`: that text is none of a session.
pub fn hash_of(text: &str) -> Result<KeyHash, RejectReason> {
    let is_one = token::is_ticket(text, Ticket::Session);
    is_one
        .then(|| KeyHash::of(text))
        .ok_or(RejectReason::SessionEnded)
}

impl Sessions {
    /// Those of `database`, which may take `limit` for an answer; `held` says what keys and tenants
    /// there are, `members` who is invited.
    pub fn new(
        database: &Database,
        (held, members): (Access, Members),
        clock: Clock,
        limit: Duration,
    ) -> Self {
        let recent = Cache::builder().max_capacity(GOOD_MAX);
        Self {
            sessions: durable(&access(database), SESSIONS),
            access: held,
            members,
            clock,
            limit,
            good: Cache::new(GOOD_MAX),
            recent: recent.time_to_live(RECENT).build(),
        }
    }

    /// Begins one, and ends the oldest of a person who has too many. Hands out its text, which is kept
    /// nowhere.
    ///
    /// # Errors
    /// [`QueryError`].
    pub(super) async fn begin(&self, new: NewSession) -> Result<(String, Session), QueryError> {
        let (token, now_ms) = (Token::ticket(Ticket::Session), self.clock.now_ms());
        let session = Session {
            hash: KeyHash::of(token.expose()),
            person: new.name,
            who: new.who,
            tenant: new.tenant,
            created_ms: now_ms,
            seen_ms: now_ms,
            ends: ends(now_ms, LONGEST),
        };
        let document = bson::serialize_to_document(&session).map_err(|_| damaged())?;
        answer(self.limit, self.sessions.insert_one(document)).await?;
        let of_person = self.sessions.find(doc! { "person": &session.person });
        let oldest = of_person.sort(doc! { "createdMs": -1 }).skip(OF_PERSON_MAX);
        let oldest = oldest.projection(doc! { "_id": 1 });
        let oldest = async { oldest.await?.try_collect::<Vec<_>>().await };
        let oldest = answer(self.limit, oldest).await?;
        let oldest: Vec<_> = oldest
            .iter()
            .filter_map(|session| session.get("_id"))
            .collect();
        if !oldest.is_empty() {
            let gone = doc! { "_id": { "$in": oldest } };
            answer(self.limit, self.sessions.delete_many(gone)).await?;
        }
        Ok((token.expose().to_owned(), session))
    }

    /// Whether it was good when it was looked up last, as far as is remembered.
    pub fn was_good(&self, hash: &KeyHash) -> bool {
        self.good.contains_key(hash)
    }

    /// What a session lets somebody do at this moment; it is used by that.
    ///
    /// # Errors
    /// `session_ended`, or what is wrong with the key it began with; [`QueryError::Store`].
    pub async fn find(&self, hash: &KeyHash) -> Result<Standing, QueryError> {
        let standing = self.standing(hash).await?;
        let (session, now_ms) = (&standing.session, self.clock.now_ms());
        if now_ms >= session.seen_ms.saturating_add(ms(SEEN_EVERY)) {
            let one = doc! { "_id": session.hash.to_string() };
            let seen = doc! { "$max": { "seenMs": at(now_ms) } };
            answer(self.limit, self.sessions.update_one(one, seen)).await?;
        }
        Ok(standing)
    }

    /// As [`find`](Self::find), without being a use of it.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn standing(&self, hash: &KeyHash) -> Result<Standing, QueryError> {
        let kept = self.read(hash).await;
        let standing = kept.and_then(|kept| self.judge(kept));
        match &standing {
            Ok(_) => self.good.insert(*hash, ()).await,
            Err(QueryError::Refused(_)) => self.good.invalidate(hash).await,
            Err(_) => {}
        }
        standing
    }

    /// As [`standing`](Self::standing), by what was read up to a second ago: thousands of open streams
    /// look, and take no reads from queries.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn lasting(&self, hash: &KeyHash) -> Result<Standing, QueryError> {
        let kept = self.recent.try_get_with(*hash, self.read(hash)).await;
        self.judge(kept.map_err(|error| QueryError::clone(&error))?)
    }

    async fn read(&self, hash: &KeyHash) -> Result<Kept, QueryError> {
        let one = doc! { "_id": hash.to_string() };
        let found = answer(self.limit, self.sessions.find_one(one)).await?;
        let found = found.ok_or(RejectReason::SessionEnded)?;
        let session = bson::deserialize_from_bson::<Session>(Bson::Document(found));
        let session = session.map_err(|_| damaged())?;
        let member = match &session.who {
            Person::Code { email } => self.members.find(email).await?,
            Person::Key { .. } | Person::Link { .. } => None,
        };
        Ok((session, member))
    }

    fn judge(&self, (session, member): Kept) -> Result<Standing, QueryError> {
        let now_ms = self.clock.now_ms();
        if session.is_over(now_ms) {
            return Err(RejectReason::SessionEnded.into());
        }
        let map = self.access.map();
        let map = map.as_ref().ok_or(RejectReason::AccessUnknown)?;
        let role = match &session.who {
            Person::Key { key } => {
                let principal = map.of_hash(key)?;
                principal.admit(now_ms)?;
                Role::of_key(principal.key.scope, principal.key.kind)?
            }
            Person::Link { role } => *role,
            Person::Code { .. } => {
                let role = member
                    .as_ref()
                    .and_then(|member| member.role_in(&session.tenant));
                role.ok_or(RejectReason::SessionEnded)?
            }
        };
        let tenants = match role {
            Role::Operator => Vec::new(),
            Role::Viewer | Role::Admin => match member {
                Some(member) => {
                    let own = member.tenants.into_iter();
                    own.map(|(id, membership)| (id, membership.role)).collect()
                }
                None => vec![(session.tenant.clone(), role)],
            },
        };
        Ok(Standing {
            is_active: map.is_active(&session.tenant),
            role,
            tenants,
            session,
        })
    }

    /// Has a session see another tenant; whether it may is for the caller to say.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn change_tenant(&self, hash: &KeyHash, to: &TenantId) -> Result<(), QueryError> {
        let one = doc! { "_id": hash.to_string() };
        let change = doc! { "$set": { "tenant": to.as_str() } };
        let changed = answer(self.limit, self.sessions.update_one(one, change)).await?;
        if changed.matched_count == 0 {
            return Err(RejectReason::SessionEnded.into());
        }
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`QueryError`]; repeating is harmless.
    pub(super) async fn end(&self, hash: &KeyHash) -> Result<(), QueryError> {
        let one = doc! { "_id": hash.to_string() };
        answer(self.limit, self.sessions.delete_one(one)).await?;
        Ok(())
    }
}

fn damaged() -> QueryError {
    tracing::error!("a session cannot be read or written");
    QueryError::Store { source: None }
}

#[cfg(test)]
mod tests {
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
