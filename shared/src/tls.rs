//! The certificate that a listener shows: read, judged, and shown.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Key of the configuration that names the file of the certificate.
pub const CERT_FILE: &str = "server.tls.cert_file";
/// Key of the configuration that names the file of its private key.
pub const KEY_FILE: &str = "server.tls.key_file";

/// Far more than any chain takes: a file that is something else is not read whole.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a certificate and its private key lie, both as PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those that lead from it to an authority.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate and the private key that belongs to it.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    /// The earliest end in the chain, in Unix milliseconds.
    pub(crate) ends_ms: u64,
    /// Of what the files held: the key itself is kept by rustls alone.
    pub(crate) digest: blake3::Hash,
}

/// What is wrong with a pair: the rest of a sentence that begins with [`key`](Self::key). It tells
/// nothing that stands in the files.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// One of the files cannot be read.
    #[error("names {path:?}, which cannot be read: {error}")]
    Read {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no certificate.
    #[error("names a file without a certificate: write PEM, the service's own certificate first")]
    NoCertificate,
    /// A certificate is damaged.
    #[error("names a file with a damaged certificate: write PEM, the service's own one first")]
    BadCertificate,
    /// There is no private key, or none that can be used.
    #[error(
        "names a file without a usable private key: write PEM without a password, of RSA (2048 bits \
         or more), ECDSA (P-256, P-384) or Ed25519"
    )]
    BadKey,
    /// The two do not belong together.
    #[error("names the key of another certificate: name the one that {CERT_FILE} was made with")]
    Mismatch,
    /// It has ended, and what is shown has not.
    #[error("names a certificate that has ended: name a renewed one")]
    Ended,
}

impl PairError {
    /// The key of the configuration that names what is wrong.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Read { key, .. } => key,
            Self::NoCertificate | Self::BadCertificate | Self::Ended => CERT_FILE,
            Self::BadKey | Self::Mismatch => KEY_FILE,
        }
    }
}

/// What the files hold.
pub(crate) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    /// Reads the pair.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn load(&self) -> Result<Pair, PairError> {
        self.read()?.pair()
    }

    pub(crate) fn read(&self) -> Result<Contents, PairError> {
        Ok(Contents {
            cert: read(CERT_FILE, &self.cert)?,
            key: read(KEY_FILE, &self.key)?,
        })
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, PairError> {
    let read = || {
        let mut bytes = Vec::new();
        let mut file = File::open(path)?.take(FILE_BYTES_MAX + 1);
        if file.read_to_end(&mut bytes)? as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        Ok(bytes)
    };
    let path = path.to_owned();
    read().map_err(|error| PairError::Read { key, path, error })
}

impl Contents {
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.cert).update(&self.key).finalize()
    }

    pub(crate) fn pair(&self) -> Result<Pair, PairError> {
        let chain = CertificateDer::pem_slice_iter(&self.cert);
        let chain: Vec<_> = chain
            .collect::<Result<_, _>>()
            .map_err(|_| PairError::BadCertificate)?;
        let ends = chain.iter().map(ends_ms).collect::<Result<Vec<_>, _>>()?;
        let ends_ms = ends.into_iter().min().ok_or(PairError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| PairError::BadKey)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => PairError::Mismatch,
            Error::InvalidCertificate(_) => PairError::BadCertificate,
            _ => PairError::BadKey,
        })?;
        Ok(Pair {
            certified: Arc::new(certified),
            ends_ms,
            digest: self.digest(),
        })
    }
}

fn ends_ms(certificate: &CertificateDer<'_>) -> Result<u64, PairError> {
    let parsed = Certificate::from_der(certificate).map_err(|_| PairError::BadCertificate)?;
    let ends = parsed.tbs_certificate().validity().not_after;
    Ok(u64::try_from(ends.to_unix_duration().as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Pair");
        shown
            .field("ends_ms", &self.ends_ms)
            .finish_non_exhaustive()
    }
}

/// How a listener speaks TLS, and with which certificate; clones share both.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
}

/// What is shown from the next handshake on. Connections that are open keep theirs.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The name of HTTP/2 in a handshake.
pub const ALPN_HTTP2: &[u8] = b"h2";

impl Tls {
    /// Speaks TLS 1.2 and 1.3 with this pair; HTTP/2 where the client can.
    #[expect(
        clippy::expect_used,
        reason = "both depend on nothing but the provider"
    )]
    pub fn new(pair: &Pair) -> Self {
        let shown = Arc::new(Shown(ArcSwap::new(Arc::clone(&pair.certified))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("invariant: ring has suites for TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), b"http/1.1".to_vec()];
        // Who comes back is spared the costly half of a handshake, however many they are: nothing is
        // kept for them here.
        config.ticketer = ring::Ticketer::new().expect("invariant: there is randomness");
        Self {
            config: Arc::new(config),
            shown,
        }
    }

    /// Shows another pair from the next handshake on.
    pub fn show(&self, pair: &Pair) {
        self.shown.0.store(Arc::clone(&pair.certified));
    }

    /// What makes connections of it.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}
