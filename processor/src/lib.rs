//! The processor: stores the events of the stream exactly once and counts them exactly.
//!
//! # The path of one frame
//! [`deliver::reader`] is given an entry, or [`deliver::claimer`] takes it over from a consumer that
//! is gone; until it is committed it is the [`deliver::consumer`]'s. [`bulk::worker`] takes bulks
//! from the [`deliver::queue`], and [`bulk::pipeline`] brings each on its way: it opens the frames
//! ([`bulk::open`]), inserts their documents ([`store::insert`], and [`store::isolate`] where one of
//! them is at fault), decides what became of each ([`bulk::classify`], [`store::lookup`]), notes what
//! is new ([`bulk::sketch`]), keeps what can never be stored ([`store::dead_letter`]), writes down the
//! outcome ([`store::receipt`]), and acknowledges and counts it in one step ([`bulk::commit`]).
//!
//! # When it is delivered twice
//! Whenever a processor dies, a reply is lost, Redis comes back without its newest part, or the
//! frame was appended twice. Nothing then needs to be undone: the documents are found stored by
//! this same frame, its receipt is read back instead of written, and its settled bit is set
//! already. [`upkeep::reconcile`] finds the receipts whose counts Redis forgot;
//! [`verify::differences`] compares all of them, by the same decision ([`verify::compare`]).
//!
//! # Which room imports which
//! [`command`] imports [`verify`], [`doctor`], the housekeeper of upkeep, the lease of store, [`backup`],
//! which imports no room, and [`erase`], which imports store; doctor the housekeeper; [`upkeep`] verify, bulk, deliver and store;
//! [`verify`] the committer of bulk, the lives of deliver, and store; [`bulk`] deliver and store;
//! [`deliver`] store. Below all of them lie the words they share ([`entry`], [`written`]), [`config`]
//! and [`metrics`], which import no room; above them [`start`] puts everything together.
//!
//! Deliberately absent: locks between processors, and any trust in delivery counts.

pub mod backup;
pub mod bulk;
pub mod command;
pub mod config;
pub mod deliver;
pub mod doctor;
pub mod entry;
pub mod erase;
pub mod metrics;
pub mod start;
pub mod store;
pub mod upkeep;
pub mod verify;
pub mod written;

pub use start::{RunError, run};
