//! How people come in: with a key, a link or a code by mail, and from then on by a session.
//!
//! A session is a random text in a cookie, of which MongoDB keeps the hash; every request looks it up
//! there, so that it ends for all instances at once ([ADR 0010](../../docs/adr/0010-sessions.md)).
//!
//! # Shape
//! | collection | `_id` | holds |
//! |---|---|---|
//! | `sessions` | hash of its text | a [`Session`] |
//! | `links` | hash of its text | a [`Link`](links::Link), until it is used |
//! | `codes` | hash of the attempt | who asked for a code ([`codes`]) |
//! | `members` | address of mail | a [`Member`](member::Member) |

pub mod codes;
pub mod cookie;
pub mod links;
pub mod mail;
pub mod member;
pub mod members;
mod moment;
pub mod role;
pub mod session;
pub mod sessions;

use std::time::Duration;

use bson::doc;
use evp_shared::access::reader::Access;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::clock::Clock;
use evp_shared::store::access;
use mongodb::Database;
use mongodb::error::Error as MongoError;

use self::codes::{Codes, Post};
use self::cookie::Cookies;
use self::links::Links;
use self::mail::Mailer;
use self::members::Members;
use self::session::{NewSession, Session, Standing};
use self::sessions::Sessions;
use crate::answer::answer;
use crate::config::AggregatorConfig;
use crate::error::QueryError;
use crate::metrics::SignInMetrics;
use crate::tries::Tries;

const SESSIONS: &str = "sessions";
/// Sign-ins that one client may fail, within a minute.
const FAILED_MAX: u32 = 30;
/// Codes that one client may ask for, within a minute.
const ASKED_MAX: u32 = 30;
/// Sessions that are none which one client may show, within a minute: each is a read of MongoDB.
const UNKNOWN_MAX: u32 = 300;

/// What signing in takes.
#[derive(Debug)]
pub struct SignIn {
    /// Who is in.
    pub sessions: Sessions,
    /// What signs in once.
    pub links: Links,
    /// What is sent by mail, where that is configured.
    pub codes: Option<Codes>,
    /// How sessions travel.
    pub cookies: Cookies,
    /// Who fails to sign in.
    pub failed: Tries,
    /// Who asks for codes.
    pub asked: Tries,
    /// Who shows sessions that are none.
    pub unknown: Tries,
    /// What is counted.
    pub metrics: SignInMetrics,
    audit: Audit,
    limit: Duration,
}

impl SignIn {
    /// As configured, over `database`, with what is `held` of keys and tenants; and who sends
    /// codes, where mail is configured.
    pub fn new(
        config: &AggregatorConfig,
        database: &Database,
        held: Access,
        clock: &Clock,
    ) -> (Self, Option<Post>) {
        let limit = config.query.time_limit;
        let members = Members::new(database, clock.clone(), limit);
        let mailer = Mailer::new(&config.mail, config.base_url());
        let mail = mailer.map(|mailer| {
            let members = members.clone();
            Codes::new(database, (members, mailer), clock.clone(), limit)
        });
        let (codes, post) = mail.unzip();
        let sign_in = Self {
            sessions: Sessions::new(database, (held, members), clock.clone(), limit),
            links: Links::new(database, clock.clone(), limit),
            codes,
            cookies: Cookies::new(config.is_https()),
            failed: Tries::new("sign-in", FAILED_MAX),
            asked: Tries::new("code", ASKED_MAX),
            unknown: Tries::new("session", UNKNOWN_MAX),
            metrics: SignInMetrics::resolve(),
            audit: Audit::new(database),
            limit,
        };
        (sign_in, post)
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
        let said = doc! { "via": new.who.via().as_str() };
        let action = Action::of("session.begin", new.role.within(&new.tenant), said);
        let begun = self.sessions.begin(new);
        let begun = self.audit.around(actor, action, begun, Outcome::plain);
        // On the heap: it holds five commands of MongoDB.
        let begun = answer(self.limit, Box::pin(begun)).await?;
        self.metrics.accepted.increment(1);
        Ok(begun)
    }

    /// Ends the session that somebody stands by, which is written down.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn end(&self, actor: &Actor, standing: &Standing) -> Result<(), QueryError> {
        let session = &standing.session;
        let tenant = standing.role.within(&session.tenant);
        let action = Action::of("session.end", tenant, doc! {});
        let ended = self.sessions.end(&session.hash);
        let ended = self.audit.around(actor, action, ended, Outcome::plain);
        answer(self.limit, ended).await
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
        (SESSIONS, vec![over(), of_person]),
        (links::LINKS, vec![over()]),
        (codes::CODES, vec![over()]),
    ];
    for (collection, indexes) in wanted {
        let create = doc! { "createIndexes": collection, "indexes": indexes };
        access(database).run_command(create).await?;
    }
    Ok(())
}
