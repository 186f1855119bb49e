//! Verify: whether counters, receipts and events agree, and mending them where they do not.

pub mod buckets;
pub mod compare;
pub mod deep;
pub mod differences;
pub mod repair;
pub mod verifier;
