//! One scenario for each promise of the README, against real servers and the real binaries.

mod attacks;
mod canary;
mod everything_arrives_once;
mod faults;
mod flights;
mod least_privilege;
mod opened;
mod quiet;
