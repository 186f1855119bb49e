//! Binds the listeners, or says how to get them.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::ending::Chain;
use crate::config::ServerConfig;

/// All listeners that could not be bound, one per line.
#[derive(Debug, thiserror::Error)]
pub(super) struct BindErrors(Vec<BindError>);

impl fmt::Display for BindErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service cannot listen:")?;
        let mut errors = self.0.iter();
        errors.try_for_each(|error| write!(f, "\n  {}", Chain(error)))
    }
}

/// A listener could not be bound; displayed with the fix.
#[derive(Debug, thiserror::Error)]
#[error("{key} is {address}, which cannot be bound: {fix}")]
struct BindError {
    key: &'static str,
    address: SocketAddr,
    fix: String,
    #[source]
    source: io::Error,
}

/// Binds the admin port, and the public one where there is one.
pub(super) async fn bind_all(
    admin: SocketAddr,
    server: Option<&ServerConfig>,
) -> Result<(TcpListener, Option<TcpListener>), BindErrors> {
    let admin = bind("admin.listen", admin).await;
    let public = match server {
        Some(server) => bind("server.listen", server.listen).await.map(Some),
        None => Ok(None),
    };
    match (admin, public) {
        (Ok(admin), Ok(public)) => Ok((admin, public)),
        (admin, public) => {
            let errors = admin.err().into_iter().chain(public.err());
            Err(BindErrors(errors.collect()))
        }
    }
}

/// Binds the address that `key` names, and logs what was bound (port 0 takes a free one).
async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let refused = |source| BindError {
        key,
        address,
        fix: fix(key, &source),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    tracing::info!(key, address = %bound, "listening");
    Ok(listener)
}

fn fix(key: &str, error: &io::Error) -> String {
    let variable = format!("EVP__{}", key.replace('.', "__").to_uppercase());
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("stop the process that holds the port, or set {variable} to another one")
        }
        io::ErrorKind::PermissionDenied => {
            format!("set {variable} to a port above 1023, or grant CAP_NET_BIND_SERVICE")
        }
        _ => format!("set {variable} to an address of this machine"),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_says_how_to_get_another() {
        let held = bind("server.listen", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = held.local_addr().unwrap();
        let error = bind("server.listen", address).await.unwrap_err();
        let expected = format!(
            "server.listen is {address}, which cannot be bound: stop the process that holds the \
             port, or set EVP__SERVER__LISTEN to another one"
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let error = bind("admin.listen", "192.0.2.1:0".parse().unwrap())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("set EVP__ADMIN__LISTEN to an address of this machine")
        );
    }
}
