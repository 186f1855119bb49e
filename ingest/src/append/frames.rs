//! How frames are formed, made and held.

use std::time::Duration;

use evp_shared::config::Durability;
use evp_shared::frame::Codec;

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

/// How frames are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppenderConfig {
    pub(crate) codec: Codec,
    pub(crate) fingerprint: u32,
    pub(crate) held: HeldLimits,
    pub(crate) durability: Durability,
}

/// How much is held for replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    /// Age; zero holds nothing.
    pub age: Duration,
    /// Bytes as appended.
    pub bytes: usize,
}
