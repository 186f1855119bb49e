//! What the binary `evp-devstack` does, one function per subcommand.

mod demo;
mod demo_data;
mod observe;
mod ports;
mod run;
mod signals;
mod test;
mod tools;

pub use demo::demo;
pub use demo_data::{demo_data, flights};
pub use observe::observe;
pub use ports::Ports;
pub use run::run;
pub use test::test;
pub use tools::{fetch, k6};
