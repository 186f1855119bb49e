//! How people come in: with a key or a link, and from then on by a session.
//!
//! A session is a random text in a cookie, of which MongoDB keeps the hash; every request looks it up
//! there, so that it ends for all instances at once ([ADR 0010](../../../docs/adr/0010-sessions.md)).
//!
//! # Shape
//! | collection | `_id` | holds |
//! |---|---|---|
//! | `sessions` | hash of its text | a [`Session`](sessions::Session) |
//! | `links` | hash of its text | a [`Link`](links::Link), until it is used |
//! | `members` | address of mail | a [`Member`](members::Member) |

pub mod cookie;
pub mod links;
pub mod members;
mod moment;
pub mod role;
pub mod sessions;
pub mod tries;

use std::time::Duration;

use bson::{Document, doc};
use evp_shared::access::reader::Access;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::clock::Clock;
use evp_shared::store::access;
use mongodb::Database;
use mongodb::error::Error as MongoError;

use self::cookie::Cookies;
use self::links::Links;
use self::sessions::{NewSession, Session, Sessions};
use self::tries::Tries;
use crate::error::QueryError;
use crate::metrics::SignInMetrics;

/// Sign-ins that one client may fail, within a minute.
const FAILED_MAX: u32 = 30;
/// Sessions that are none which one client may show, within a minute: each is a read of MongoDB.
const UNKNOWN_MAX: u32 = 300;

/// What signing in takes.
#[derive(Debug)]
pub struct SignIn {
    /// Who is in.
    pub sessions: Sessions,
    /// What signs in once.
    pub links: Links,
    /// How sessions travel.
    pub cookies: Cookies,
    /// Who fails to sign in.
    pub failed: Tries,
    /// Who shows sessions that are none.
    pub unknown: Tries,
    /// What is counted.
    pub metrics: SignInMetrics,
    audit: Audit,
}

impl SignIn {
    /// Over `database`, with what is `held` of keys and tenants. MongoDB may take `limit` for an
    /// answer; `is_secure` says whether browsers come by https.
    pub fn new(
        database: &Database,
        held: Access,
        clock: &Clock,
        limit: Duration,
        is_secure: bool,
    ) -> Self {
        Self {
            sessions: Sessions::new(database, held, clock.clone(), limit),
            links: Links::new(database, clock.clone(), limit),
            cookies: Cookies::new(is_secure),
            failed: Tries::new("sign-in", FAILED_MAX),
            unknown: Tries::new("session", UNKNOWN_MAX),
            metrics: SignInMetrics::resolve(),
            audit: Audit::new(database),
        }
    }

    /// Begins a session, which is written down; hands out its text with it.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn begin(
        &self,
        actor: &Actor,
        new: NewSession,
    ) -> Result<(String, Session), QueryError> {
        let action = action(
            "session.begin",
            &new.tenant,
            doc! { "via": new.who.via().as_str() },
        );
        let begun = self.sessions.begin(new);
        let begun = self.audit.around(actor, action, begun, nothing).await?;
        self.metrics.accepted.increment(1);
        Ok(begun)
    }

    /// Ends `session`, which is written down.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn end(&self, actor: &Actor, session: &Session) -> Result<(), QueryError> {
        let action = action("session.end", &session.tenant, doc! {});
        let ended = self.sessions.end(&session.hash);
        self.audit.around(actor, action, ended, nothing).await
    }
}

/// Makes the indexes that are missing: they let what is over end, and find a person's sessions.
///
/// # Errors
/// MongoDB's; repeating is harmless.
pub async fn prepare(database: &Database) -> Result<(), MongoError> {
    let over = || doc! { "name": "ends", "key": { "ends": 1 }, "expireAfterSeconds": 0 };
    let of_person = doc! { "name": "person", "key": { "person": 1, "createdMs": -1 } };
    let wanted = [
        (sessions::SESSIONS, vec![over(), of_person]),
        (links::LINKS, vec![over()]),
    ];
    for (collection, indexes) in wanted {
        let create = doc! { "createIndexes": collection, "indexes": indexes };
        access(database).run_command(create).await?;
    }
    Ok(())
}

fn action(
    what: &'static str,
    tenant: &evp_shared::access::record::TenantId,
    detail: Document,
) -> Action {
    Action {
        what,
        tenant: Some(tenant.to_string()),
        detail,
    }
}

fn nothing<T>(_: &T) -> Outcome {
    Outcome::done(doc! {})
}
