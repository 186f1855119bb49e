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

/// What a public port needs, beside keys.
pub(super) const PUBLIC: &str = "keys would cross the network in plain text: set \
    server.tls.cert_file and server.tls.key_file, or server.plaintext = \"behind_proxy\" where a \
    proxy in front speaks TLS";
/// What an admin port needs, beside keys.
pub(super) const ADMIN: &str = "it asks nobody who they are: set admin.token, or admin.token_file \
    to a file that holds it";
const OPEN: &str = "auth.mode = \"open\" asks nobody who they are: set auth.mode = \"keys\"";

/// Refuses an address that others can reach without being asked who they are, or while it is not
/// protected as it `needs` to be.
pub(super) fn check(
    source: &mut Source,
    key: &str,
    address: SocketAddr,
    auth: AuthMode,
    (is_protected, needs): (bool, &str),
) {
    let why = match auth {
        AuthMode::Open => OPEN,
        AuthMode::Keys if is_protected => return,
        AuthMode::Keys => needs,
    };
    if !address.ip().is_loopback() {
        let port = address.port();
        source.problem(
            key,
            format!(
                "is {address}, which others can reach, while {why}, or listen on 127.0.0.1:{port}"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProcessConfig, ServerConfig};

    const KEYS: &str = "auth.mode = \"keys\"";
    const PLAIN: &str = "server.plaintext = \"behind_proxy\"";
    const TOKEN: &str = "admin.token";

    /// Parts of a configuration, and what is said: of which key, with which fix.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

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
        let (open, keys) = ("[auth]\nmode = \"open\"\n", "[auth]\nmode = \"keys\"\n");
        let wide = "[server]\nlisten = \"0.0.0.0:80\"\n";
        let proxied = "plaintext = \"behind_proxy\"\n";
        let named = "trusted_proxies = [\"10.0.0.0/8\"]\n";
        let admin = "[admin]\nlisten = \"[::]:81\"\n";
        let token = "token = \"0123456789abcdef\"\n";
        let tls = "[server.tls]\ncert_file = \"/nowhere\"\n";
        let key = "key_file = \"/none\"\n";
        let (listen, cert) = ("server.listen", "server.tls.cert_file");
        let (admin_listen, proxies) = ("admin.listen", "server.trusted_proxies");
        let table: [Case<'_>; 13] = [
            (&[open], &[]),
            (&[open, wide], &[(listen, KEYS)]),
            (&[open, wide, proxied, named], &[(listen, KEYS)]),
            (&[open, admin, token], &[(admin_listen, KEYS)]),
            (&[keys, wide], &[(listen, PLAIN)]),
            (&[keys, wide, proxied], &[(proxies, "address or network")]),
            (&[keys, wide, proxied, named], &[]),
            (&[keys, admin], &[(admin_listen, TOKEN)]),
            (&[keys, admin, token], &[]),
            (
                &[keys, wide, admin],
                &[(admin_listen, TOKEN), (listen, PLAIN)],
            ),
            (&[keys, tls], &[(cert, "server.tls.key_file")]),
            (&[keys, wide, tls, key], &[(cert, "cannot be read")]),
            (&["[admin]\ntoken = \"tiny\""], &[("admin.token", "16")]),
        ];
        for (parts, expected) in table {
            let text = parts.concat();
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
