//! Who may reach a listener, and what has to be set for it.

use std::net::SocketAddr;

use super::Source;

crate::choices! {
    /// Who may use the service.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AuthMode {
        /// No credentials are asked for.
        Open = "open",
        /// A key is asked for.
        Keys = "keys",
    }
}

crate::choices! {
    /// Where plain HTTP may be spoken.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Plaintext {
        /// On this machine.
        Loopback = "loopback",
        /// Wherever a proxy speaks TLS in front.
        BehindProxy = "behind_proxy",
    }
}

/// Refuses a public port that others can reach without being asked who they are, or where their keys
/// would cross the network in plain text.
pub(super) fn public(
    source: &mut Source,
    key: &str,
    address: SocketAddr,
    (auth, is_protected): (AuthMode, bool),
) {
    if !is_refused_in_open_mode(source, key, address, auth) && !is_protected {
        refuse(
            source,
            key,
            address,
            "keys would cross the network in plain text: set server.tls.cert_file and \
             server.tls.key_file, or server.plaintext = \"behind_proxy\" where a proxy in front \
             speaks TLS",
        );
    }
}

/// Refuses an admin port whose metrics anybody could read.
pub(super) fn admin(
    source: &mut Source,
    key: &str,
    address: SocketAddr,
    (auth, has_token): (AuthMode, bool),
) {
    if !is_refused_in_open_mode(source, key, address, auth) && !has_token {
        refuse(
            source,
            key,
            address,
            "it asks nobody who they are: set admin.token, or admin.token_file to a file that holds it",
        );
    }
}

fn is_refused_in_open_mode(
    source: &mut Source,
    key: &str,
    address: SocketAddr,
    auth: AuthMode,
) -> bool {
    let is_open = auth == AuthMode::Open && !address.ip().is_loopback();
    if is_open {
        let why = "auth.mode = \"open\" asks nobody who they are: set auth.mode = \"keys\"";
        refuse(source, key, address, why);
    }
    is_open
}

fn refuse(source: &mut Source, key: &str, address: SocketAddr, why: &str) {
    if address.ip().is_loopback() {
        return;
    }
    let port = address.port();
    source.problem(
        key,
        format!("is {address}, which others can reach, while {why}, or listen on 127.0.0.1:{port}"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProcessConfig, ServerConfig};

    const OPEN: &str = "auth.mode = \"keys\"";
    const PLAIN: &str = "server.plaintext = \"behind_proxy\"";
    const TOKEN: &str = "admin.token";

    /// What is said of a configuration, with the key it is said of.
    fn said(text: &str) -> Vec<(String, String)> {
        let mut source = Source::from_text(text, &[]).unwrap();
        let process = ProcessConfig::read(&mut source, "127.0.0.1:9180");
        ServerConfig::read(&mut source, "127.0.0.1:8080", process.auth);
        let problems = source.finish(()).err();
        let problems = problems.iter().flat_map(|problems| problems.problems());
        let said = problems.map(|one| (one.key.clone(), one.fault.clone()));
        said.collect()
    }

    #[test]
    fn what_others_can_reach_is_refused_until_it_is_protected() {
        let wide = "[server]\nlisten = \"0.0.0.0:80\"\n";
        let admin = "listen = \"[::]:81\"\n";
        let keys = "[auth]\nmode = \"keys\"\n";
        let table = [
            ("[auth]\nmode = \"open\"\n".to_owned(), vec![]),
            (
                format!("[auth]\nmode = \"open\"\n{wide}"),
                vec![("server.listen", OPEN)],
            ),
            (
                format!("[auth]\nmode = \"open\"\n{wide}plaintext = \"behind_proxy\"\n"),
                vec![("server.listen", OPEN)],
            ),
            (
                format!("[auth]\nmode = \"open\"\n[admin]\ntoken = \"0123456789abcdef\"\n{admin}"),
                vec![("admin.listen", OPEN)],
            ),
            (format!("{keys}{wide}"), vec![("server.listen", PLAIN)]),
            (
                format!("{keys}{wide}plaintext = \"behind_proxy\"\n"),
                vec![],
            ),
            (
                format!("{keys}[admin]\n{admin}"),
                vec![("admin.listen", TOKEN)],
            ),
            (
                format!("{keys}[admin]\n{admin}token = \"0123456789abcdef\""),
                vec![],
            ),
            (
                format!("{keys}{wide}[admin]\n{admin}"),
                vec![("admin.listen", TOKEN), ("server.listen", PLAIN)],
            ),
            (
                format!("{keys}[server.tls]\ncert_file = \"/nowhere\""),
                vec![("server.tls.cert_file", "server.tls.key_file")],
            ),
            (
                format!("{keys}{wide}[server.tls]\ncert_file = \"/nowhere\"\nkey_file = \"/none\""),
                vec![("server.tls.cert_file", "cannot be read")],
            ),
            (
                "[admin]\ntoken = \"tiny\"".to_owned(),
                vec![("admin.token", "16")],
            ),
        ];
        for (text, expected) in table {
            let said = said(&text);
            let keys: Vec<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
            let wanted: Vec<&str> = expected.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, wanted, "{text}: {said:?}");
            for ((_, fault), (_, fix)) in said.iter().zip(expected) {
                assert!(
                    fault.contains(fix) && !fault.contains("tiny"),
                    "{text}: {fault}"
                );
            }
        }
    }
}
