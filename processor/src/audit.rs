//! Audit: whether counters, receipts and events agree, and mending them where they do not.

pub mod auditor;
pub mod buckets;
pub mod compare;
pub mod deep;
pub mod repair;
pub mod verify;
