//! HTTP: from a request to its answer.

pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod door;
pub(crate) mod head;
pub(crate) mod metered;
pub(crate) mod response;
pub(crate) mod route;
