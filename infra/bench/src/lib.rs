//! Measures EVP: every figure in docs/BENCHMARKS.md comes from here.
//!
//! Reading order: [`row`] (what is measured), [`run`] (one run of it, as a [`plan`] says), [`load`]
//! (the load generator), [`measure`] (what is looked at meanwhile), [`figures`] and [`reconcile`]
//! (what follows from it), [`ceiling`] (what the servers can do without EVP), [`session`] (all rows,
//! in order, resumable), [`results`] (what came of them), [`table`] (what is printed). By themselves:
//! [`compare`] (two builds in turn), [`reading`] (queries and live streams), [`refusal`] (what refusing
//! costs).
//!
//! Deliberately absent: any knowledge of how EVP works inside. It speaks HTTP to ingest and reads
//! what Redis, MongoDB and the operating system tell; the exceptions are the list of kept entries,
//! see [`measure::latency`], and the [`spans`] that events lie in.

pub mod beside;
pub mod ceiling;
pub mod cli;
pub mod compare;
pub mod console;
pub mod figures;
pub mod header;
pub mod load;
pub mod measure;
pub mod plan;
pub mod reading;
pub mod reconcile;
pub mod refusal;
pub mod results;
pub mod row;
pub mod run;
pub mod saturate;
pub mod session;
pub mod spans;
pub mod stack;
pub mod table;
pub mod without;
