//! Whole-system tests: real servers, the real binaries, and a checker that trusts neither.
//!
//! Reading order: [`System`] (the services as processes that can be killed, paused and drained),
//! [`Events`] (events with known ids), [`Producer`] (clients that send them until they are
//! acknowledged) and its [`Journal`] (what those clients may rely on), [`Ledger`] (what `MongoDB`
//! and Redis hold), [`Verdict`] (whether the two agree), [`scenario`] (the faults, each with its
//! load), [`attack`] (what must not be had), `watch` (alerts and dashboards). `tests/it` runs the smallest size of them, the binary
//! `evp-faults` any.
//!
//! Faults are driven by what has been acknowledged, never by time, at moments drawn from a seed
//! that every scenario prints; `EVP_E2E_SEED` repeats one.
//!
//! Deliberately absent: mocks, and any knowledge of how the services are built. [`sim`] is the
//! other half: the protocol over small models, under faults no real server can be made to show.

pub mod attack;
mod chance;
pub mod cli;
mod events;
pub mod guard;
mod journal;
mod keys;
mod ledger;
mod node;
mod outcome;
mod patience;
mod producer;
mod proxy;
mod receiver;
pub mod scenario;
mod servers;
pub mod sim;
mod system;
mod turn;
mod verdict;
mod watch;

pub use chance::Chance;
pub use events::{Events, Times};
pub use journal::{Journal, Sent};
pub use keys::Keys;
pub use ledger::{Books, Ledger};
pub use node::{Node, Readiness};
pub use outcome::Outcome;
pub use patience::{PATIENCE, until};
pub use producer::{Attempt, Load, Post, Producer, Progress, client, client_with};
pub use proxy::{Marker, Proxy};
pub use system::{Builder, Link, System};
pub use turn::heavy;
pub use verdict::{Expected, Verdict};
