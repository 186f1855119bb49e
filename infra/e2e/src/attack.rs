//! The attacks of SECURITY.md: each a thing that must not be had, tried against services that ask
//! for keys.
//!
//! [`ALL`] is the table of them. Each starts what it attacks (`Gate`: two ingests, two aggregators and
//! a processor over a Redis and a MongoDB of its own), and says what it saw. None asserts a time but
//! where the promise is one; such are held to in the large size alone.

mod doors;
mod fort;
mod gate;
mod keys;
mod limits;
mod mail;
mod outages;
mod rest;
mod rights;
mod routes;
mod secrets;
mod sessions;
mod table;
mod tenants;
mod unknown;
mod usage;
mod wire;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::heavy;
use crate::scenario::Size;
use gate::Gate;
pub(crate) use mail::MailServer;
pub use table::ALL;

/// Something that must not be had.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// Row of SECURITY.md.
    pub row: u8,
    /// What is tried, in a few words.
    pub tried: &'static str,
    run: fn(Size) -> LocalBoxFuture<'static, Result<String>>,
}

impl Attack {
    /// Tries it once; what was seen.
    ///
    /// # Errors
    /// It could be had, or the attack could not be made.
    pub async fn run(&self, size: Size) -> Result<String> {
        let _turn = heavy().await;
        (self.run)(size).await
    }
}
