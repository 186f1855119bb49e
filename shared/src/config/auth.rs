//! `[auth]`

use std::net::SocketAddr;

use super::{Key, Source};

/// Who may use the service.
pub const AUTH_MODE: Key<AuthMode> = Key::new(
    "auth.mode",
    "open",
    "`open` serves everybody who can connect, and is therefore accepted only while every listener \
     is on a loopback address.",
);

/// Access control.
#[derive(Debug, Clone, Copy)]
pub struct AuthConfig {
    /// See [`AUTH_MODE`].
    pub mode: AuthMode,
}

crate::choices! {
    /// See [`AUTH_MODE`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AuthMode {
        /// No credentials are asked for.
        Open = "open",
    }
}

impl AuthConfig {
    /// Reads the section, and refuses a listener that the mode would lay open to the network.
    ///
    /// `listeners` are all addresses the service will bind, by key name.
    pub fn read(source: &mut Source, listeners: &[(&'static str, SocketAddr)]) -> Self {
        let mode = source.get(&AUTH_MODE);
        match mode {
            AuthMode::Open => {
                for (key, address) in listeners.iter().filter(|(_, a)| !a.ip().is_loopback()) {
                    let port = address.port();
                    source.problem(
                        key,
                        format!(
                            "is {address}, which others can reach, while auth.mode = \"open\" asks \
                             nobody who they are: listen on 127.0.0.1:{port} and put an \
                             authenticating proxy in front"
                        ),
                    );
                }
            }
        }
        Self { mode }
    }
}
