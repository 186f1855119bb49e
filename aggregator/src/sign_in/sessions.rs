//! Sessions: who is in, kept in MongoDB.

use std::time::Duration;

use bson::{Bson, Document, doc};
use evp_shared::access::reader::Access;
use evp_shared::access::record::TenantId;
use evp_shared::access::token::{self, KeyHash, Ticket, Token};
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use evp_shared::store::{access, durable};
use futures::TryStreamExt as _;
use moka::future::Cache;
use mongodb::{Collection, Database};

use super::SESSIONS;
use super::member::Member;
use super::members::Members;
use super::moment::{at, ends, ms};
use super::role::Role;
use super::session::{LONGEST, NewSession, Person, Session, Standing};
use crate::answer::answer;
use crate::error::QueryError;

/// Sessions of one person; one more ends the oldest.
const OF_PERSON_MAX: u64 = 20;
/// Sessions that are remembered to have been good.
const GOOD_MAX: u64 = 10_000;
/// For how long what open streams and exports read is good: with the half second in which they look,
/// a session that ended is out within two.
const RECENT: Duration = Duration::from_secs(1);
/// How exactly the last use of a session is known: it is written no more often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

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
