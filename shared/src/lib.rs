//! The contract between EVP's services, and the kit they are built with.

pub mod document;
pub mod event;
pub mod outcome;
