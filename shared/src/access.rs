//! Who may come in: tenants, their keys, and how the services learn of them.
//!
//! The truth lies in MongoDB (`store`). One task of the aggregator, the [`projector`], writes all of
//! it into one hash of Redis whenever the two differ; one task of every service, the [`reader`], takes
//! it from there. A request is judged by what its service holds ([`map`]) and asks nobody.

#[cfg(feature = "mongo")]
pub mod changes;
pub mod credential;
pub mod map;
#[cfg(feature = "mongo")]
pub mod projector;
pub mod quota;
pub mod rate;
pub mod reader;
pub mod record;
pub mod share;
#[cfg(feature = "mongo")]
pub mod store;
pub mod teller;
pub mod tenants;
pub mod token;
pub mod usage;
