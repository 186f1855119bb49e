//! HTTP as every service needs it: the connection loop, bounded bodies, who asks, problems, the admin port.

pub mod admin;
pub mod body;
pub mod client;
pub mod problem;
pub mod server;
