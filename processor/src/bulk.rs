//! Bulk: what is done with a bulk of entries, from opening its frames to their commit.

pub mod classify;
pub mod commit;
pub mod open;
pub mod pipeline;
pub mod sketch;
pub mod worker;
