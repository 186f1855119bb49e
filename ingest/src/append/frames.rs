//! How frames are formed and held.

use std::time::Duration;

/// How large a frame, and what is appended in one call, may become.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// Events of one frame.
    pub events: usize,
    /// Bytes of its documents; one document alone may be larger.
    pub bytes: usize,
    /// Bytes of all frames of one call; one request alone may be larger.
    pub call_bytes: usize,
}

/// How much is held for replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    /// Age; zero holds nothing.
    pub age: Duration,
    /// Bytes as appended.
    pub bytes: usize,
}
