//! What is measured from outside: processes, the machine, the stream.

pub mod host;
pub mod latency;
pub mod process;
pub mod prometheus;
pub mod watch;
