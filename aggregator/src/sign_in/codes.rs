//! Codes of six digits that sign members in: asked for by a browser, sent by mail.
//!
//! A browser that asks gets a cookie, the attempt, whoever it asks for: whether there is such a member is
//! looked up after it was answered, so neither an answer nor its time says so. The code counts with
//! its attempt alone, and is kept hashed together with it.
//!
//! # Shape
//! Collection `codes`: `{_id: hash of the attempt, email, code: hash of attempt and code, tries,
//! createdMs, mailed, tenant, sent, usedMs, ends}`. What was `mailed` stays for a day, which bounds mails over all
//! instances: each counts itself with the others before it is sent. A code signs in once its mail was
//! within the bounds (`sent`): one that nobody was sent could only be guessed.

use std::convert::Infallible;
use std::time::Duration;

use bson::{Document, doc};
use evp_shared::access::record::TenantId;
use evp_shared::access::token::{self, KeyHash, Ticket, Token};
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use evp_shared::shutdown::Shutdown;
use evp_shared::store::{access, durable};
use mongodb::options::ReturnDocument;
use mongodb::{Collection, Database};
use rand::RngExt as _;
use tokio::sync::mpsc;

use super::mail::Mailer;
use super::member::Email;
use super::members::Members;
use super::moment::{at, ends, ms};
use crate::answer::answer;
use crate::error::QueryError;
use crate::metrics::MailMetrics;

pub(super) const CODES: &str = "codes";
/// How long a code is good.
pub const GOOD: Duration = Duration::from_secs(300);
/// Codes that may be tried for one attempt.
const TRIES_MAX: i32 = 5;
/// Mails within a time, to one address.
const TO_ONE: [(u64, Duration); 2] = [
    (3, Duration::from_secs(15 * 60)),
    (10, Duration::from_secs(24 * 3_600)),
];
/// Mails within a time, to everybody.
const TO_ALL: (u64, Duration) = (100, Duration::from_secs(3_600));
/// Mails within a time, to the members of one tenant: a quarter of those to everybody.
const TO_TENANT: (u64, Duration) = (TO_ALL.0 / 4, TO_ALL.1);
/// What counts no longer is deleted.
const KEPT: Duration = TO_ONE[1].1;
/// Attempts that wait to be looked up.
const WAITING_MAX: usize = 100;
/// Attempts that are kept.
const ATTEMPTS_MAX: u64 = 10_000;

/// A code that somebody asked for.
#[derive(Debug)]
struct Asked {
    attempt: KeyHash,
    email: Email,
    code: String,
}

/// Attempts, in MongoDB.
#[derive(Debug)]
pub struct Codes {
    attempts: Attempts,
    asked: mpsc::Sender<Asked>,
}

/// What both who answers and who sends know.
#[derive(Debug, Clone)]
struct Attempts {
    codes: Collection<Document>,
    clock: Clock,
    limit: Duration,
}

/// Sends what was asked for.
#[derive(Debug)]
pub struct Post {
    attempts: Attempts,
    members: Members,
    mailer: Mailer,
    asked: mpsc::Receiver<Asked>,
    metrics: MailMetrics,
}

impl Codes {
    /// Those of `database`, which may take `limit` for an answer; and who sends them to `members`.
    pub fn new(
        database: &Database,
        (members, mailer): (Members, Mailer),
        clock: Clock,
        limit: Duration,
    ) -> (Self, Post) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let attempts = Attempts {
            codes: durable(&access(database), CODES),
            clock,
            limit,
        };
        let post = Post {
            attempts: attempts.clone(),
            members,
            mailer,
            asked: receiver,
            metrics: MailMetrics::resolve(),
        };
        let asked = sender;
        (Self { attempts, asked }, post)
    }

    /// Has a code sent to `email`, if that is a member; hands out the text of the attempt.
    ///
    /// # Errors
    /// [`QueryError::Busy`], [`QueryError::Store`].
    pub async fn ask(&self, email: Email) -> Result<Token, QueryError> {
        let Attempts {
            codes,
            clock,
            limit,
        } = &self.attempts;
        let room = self.asked.try_reserve().map_err(|_| QueryError::Busy)?;
        if answer(*limit, codes.estimated_document_count()).await? >= ATTEMPTS_MAX {
            return Err(QueryError::Busy);
        }
        let attempt = Token::ticket(Ticket::Attempt);
        let code = format!("{:06}", rand::rng().random_range(0..1_000_000));
        let hash = KeyHash::of(attempt.expose());
        let now_ms = clock.now_ms();
        let document = doc! {
            "_id": hash.to_string(),
            "email": email.as_str(),
            "code": hash_of(attempt.expose(), &code),
            "tries": 0,
            "createdMs": at(now_ms),
            "mailed": false,
            "ends": ends(now_ms, GOOD),
        };
        answer(*limit, codes.insert_one(document)).await?;
        room.send(Asked {
            attempt: hash,
            email,
            code,
        });
        Ok(attempt)
    }

    /// Whom `code` signs in for this attempt; once.
    ///
    /// # Errors
    /// `wrong_code`; `code_expired` when nothing is awaited of it (any more).
    pub async fn confirm(&self, attempt: &str, code: &str) -> Result<Email, QueryError> {
        let Attempts {
            codes,
            clock,
            limit,
        } = &self.attempts;
        if !token::is_ticket(attempt, Ticket::Attempt) {
            return Err(RejectReason::CodeExpired.into());
        }
        let now_ms = clock.now_ms();
        let one = doc! { "_id": KeyHash::of(attempt).to_string(), "usedMs": { "$exists": false } };
        let mut awaited = one.clone();
        awaited.insert("tries", doc! { "$lt": TRIES_MAX });
        awaited.insert("createdMs", doc! { "$gt": at(before(now_ms, GOOD)) });
        let tried = codes
            .find_one_and_update(awaited, doc! { "$inc": { "tries": 1 } })
            .return_document(ReturnDocument::After);
        let tried = answer(*limit, tried).await?;
        let tried = tried.ok_or(RejectReason::CodeExpired)?;
        // Not in the filter: another answer would tell members from others.
        let is_sent = tried.get_bool("sent").unwrap_or(false);
        let hash = hash_of(attempt, code.trim());
        let is_right = tried.get_str("code").ok() == Some(hash.as_str());
        if !(is_sent && is_right) {
            return Err(RejectReason::WrongCode.into());
        }
        let used = doc! { "$set": { "usedMs": at(now_ms) } };
        let used = answer(*limit, codes.update_one(one, used)).await?;
        let email = tried
            .get_str("email")
            .ok()
            .and_then(|email| email.parse().ok());
        match email {
            Some(email) if used.modified_count == 1 => Ok(email),
            _ => Err(RejectReason::CodeExpired.into()),
        }
    }
}

impl Post {
    /// Sends until the shutdown.
    ///
    /// # Errors
    /// Never.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let sending = async {
            while let Some(asked) = self.asked.recv().await {
                self.send(&asked).await;
            }
        };
        tokio::select! {
            () = sending => Ok(()),
            () = shutdown.triggered() => Ok(()),
        }
    }

    async fn send(&self, asked: &Asked) {
        let metrics = &self.metrics;
        let counter = match self.may_send(asked).await {
            Ok(true) => match self.mailer.send(&asked.email, &asked.code).await {
                Ok(()) => &metrics.sent,
                Err(fault) => {
                    tracing::warn!(fault, "a code was not sent");
                    &metrics.failed
                }
            },
            Ok(false) => &metrics.withheld,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a code was not sent"
                );
                &metrics.failed
            }
        };
        counter.increment(1);
    }

    /// Whether it is a member's, and not one mail too many.
    async fn may_send(&self, Asked { attempt, email, .. }: &Asked) -> Result<bool, QueryError> {
        let Some(member) = self.members.find(email).await? else {
            return Ok(false);
        };
        let now_ms = self.attempts.clock.now_ms();
        // It counts itself before it counts: of two at once none is overlooked by both.
        let tenant = member.home().map(TenantId::as_str);
        let counted = doc! { "mailed": true, "tenant": tenant, "ends": ends(now_ms, KEPT) };
        self.attempts.mark(attempt, counted).await?;
        let mut bounds = vec![(TO_ALL, doc! {})];
        bounds.extend(tenant.map(|id| (TO_TENANT, doc! { "tenant": id })));
        bounds.extend(TO_ONE.map(|bound| (bound, doc! { "email": email.as_str() })));
        for ((most, within), of) in bounds {
            if self.attempts.mailed(of, before(now_ms, within)).await? > most {
                tracing::warn!(
                    most,
                    within_s = within.as_secs(),
                    "too many mails: one is not sent"
                );
                let withheld = doc! { "mailed": false, "ends": ends(now_ms, GOOD) };
                self.attempts.mark(attempt, withheld).await?;
                return Ok(false);
            }
        }
        self.attempts.mark(attempt, doc! { "sent": true }).await?;
        Ok(true)
    }
}

impl Attempts {
    async fn mark(&self, attempt: &KeyHash, said: Document) -> Result<(), QueryError> {
        let one = doc! { "_id": attempt.to_string() };
        let change = doc! { "$set": said };
        answer(self.limit, self.codes.update_one(one, change)).await?;
        Ok(())
    }

    /// How many of those were mailed since `since_ms`.
    async fn mailed(&self, of: Document, since_ms: u64) -> Result<u64, QueryError> {
        let mut filter = doc! { "mailed": true, "createdMs": { "$gt": at(since_ms) } };
        filter.extend(of);
        answer(self.limit, self.codes.count_documents(filter)).await
    }
}

/// 20 bits alone would be found at once; nobody but the browser has the attempt.
fn hash_of(attempt: &str, code: &str) -> String {
    KeyHash::of(&format!("{attempt}:{code}")).to_string()
}

fn before(now_ms: u64, time: Duration) -> u64 {
    now_ms.saturating_sub(ms(time))
}
