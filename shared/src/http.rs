//! HTTP as every service needs it: the connection loop, bounded bodies, problems, the admin port.

pub mod admin;
pub mod body;
pub mod problem;
pub mod server;
