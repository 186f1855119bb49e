//! The processor: stores the events of the stream exactly once and counts them exactly.
//!
//! # The path of one frame
//! [`reader`] is given an entry, or [`claimer`] takes it over from a consumer that is gone;
//! [`worker`] joins it with others to a [`bulk`]; [`pipeline`] opens it ([`open`]), inserts its
//! documents ([`insert`], and [`isolate`] where one of them is at fault), decides what became of each ([`classify`], [`lookup`]), keeps what can
//! never be stored ([`dead_letter`]), writes down the outcome ([`receipt`]) and acknowledges and
//! counts it in one step ([`commit`]).
//!
//! # When it is delivered twice
//! Whenever a processor dies, a reply is lost, Redis comes back without its newest part, or the
//! frame was appended twice. Nothing then needs to be undone: the documents are found stored by
//! this same frame, its receipt is read back instead of written, and its settled bit is set
//! already. [`reconcile`] finds the receipts whose counts Redis forgot; [`verify`] compares all of
//! them, by the same decision ([`compare`]).
//!
//! Beside all that, [`sketch`] gathers what need not be exact.
//!
//! Deliberately absent: locks between processors, and any trust in delivery counts.

pub mod breaker;
pub mod bulk;
pub mod claimer;
pub mod classify;
pub mod command;
pub mod commit;
pub mod compare;
pub mod config;
pub mod context;
pub mod dead_letter;
pub mod delivery;
pub mod doctor;
pub mod in_flight;
pub mod insert;
pub mod isolate;
pub mod lives;
pub mod lookup;
pub mod member;
pub mod metrics;
pub mod open;
pub mod pipeline;
pub mod reader;
pub mod receipt;
pub mod reconcile;
pub mod sketch;
pub mod start;
pub mod ticker;
pub mod verify;
pub mod worker;

pub use start::{RunError, run};
