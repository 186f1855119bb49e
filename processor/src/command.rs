//! The tools for those who run EVP.

pub mod inspect;
