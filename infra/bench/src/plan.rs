//! What is to be measured in one run.

use std::time::Duration;

use crate::beside::Beside;
use crate::load::Load;
use crate::stack::Layout;

/// A run to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is needed.
    pub layout: Layout,
    /// What is sent.
    pub load: Load,
    /// What is done beside it.
    pub beside: Option<Beside>,
    /// Before measuring begins.
    pub warmup: Duration,
    /// How long is measured.
    pub measured: Duration,
    /// Whether what is looked at goes on, after the last request was due, until all but a second of
    /// load is stored.
    pub until_stored: bool,
    /// How long storing and counting everything may take after that, and removing it.
    pub patience: Duration,
}
