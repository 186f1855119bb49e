//! Certificates of a test's own, and clients that trust them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::Clock;
use crate::tls::TlsFiles;

/// An authority that signs certificates for this machine's names.
#[derive(Debug)]
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct PemPair {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl PemPair {
    /// Writes `cert.pem` and `key.pem`, in place of those that are there.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> io::Result<TlsFiles> {
        let files = TlsFiles {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.cert, &self.cert)?;
        std::fs::write(&files.key, &self.key)?;
        Ok(files)
    }
}

#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// There is no randomness.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate, as PEM, for clients that are other programs.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for `localhost` and 127.0.0.1 that ends in `days`.
    ///
    /// # Panics
    /// There is no randomness.
    pub fn issue(&self, days: u32) -> PemPair {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = date_time_ymd(1970, 1, 1)
            + Duration::from_millis(Clock::system().now_ms())
            + Duration::from_secs(u64::from(days) * 86_400);
        let certificate = params.signed_by(&key, &self.issuer);
        PemPair {
            cert: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client's side of TLS that trusts this authority alone, and offers `alpn`.
    ///
    /// # Panics
    /// There is no such version.
    pub fn connector(
        &self,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsConnector {
        trusting(&self.pem, alpn, versions)
    }

    /// Shakes hands over a connection to 127.0.0.1, with any version.
    ///
    /// # Errors
    /// The handshake failed.
    pub async fn connect(
        &self,
        stream: TcpStream,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = self.connector(alpn, rustls::ALL_VERSIONS);
        connector.connect(name(), stream).await
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A client's side of TLS that trusts the authority of this `pem` alone, and offers `alpn`.
///
/// # Panics
/// It is no certificate, or there is no such version.
#[expect(clippy::expect_used, reason = "a failed set-up is a failed test")]
pub fn trusting(
    pem: &str,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    roots.add(certificate).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("a version of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// The name that is asked for: 127.0.0.1.
pub fn name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into())
}
