//! Tests of `evp-shared` against real sockets and servers, in one binary.
#![expect(
    clippy::unwrap_used,
    reason = "in a test, what cannot go on is a failure"
)]

mod access;
mod admin;
mod follow;
mod http_errors;
mod http_server;
mod members;
mod notify;
mod peers;
mod spans;
mod storage;
mod stream;
mod tls;
mod tls_exchange;
mod uncommitted;
