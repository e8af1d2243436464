//! TLS: the certificate, and its replacement while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why the certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error(
        "the {what} {} cannot be read: {detail}. It must be a PEM file that the server's user may read; `rollcall keygen --tls` makes one",
        file.display()
    )]
    File {
        /// Which of the two.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What was wrong.
        detail: String,
    },
    /// The two do not work together.
    #[error(
        "the certificate {} and the private key {} cannot be used together: {error}",
        certificate.display(), private_key.display()
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// What rustls said.
        error: rustls::Error,
    },
}

/// The files, and what was last made of them.
#[derive(Debug)]
pub(super) struct Tls {
    certificate: PathBuf,
    private_key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// Keeps tickets valid across reloads.
    ticketer: Arc<dyn rustls::server::ProducesTickets>,
}

impl Tls {
    pub(super) fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let ticketer = aws_lc_rs::Ticketer::new().map_err(|error| TlsError::Pair {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            error,
        })?;
        Ok(Self {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            current: ArcSwap::from(read(certificate, private_key, &ticketer)?),
            ticketer,
        })
    }

    /// The configuration for the next handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads the files again. Connections that there are keep what they have; if the files are no good, so does
    /// everybody.
    pub(super) fn reload(&self) {
        match read(&self.certificate, &self.private_key, &self.ticketer) {
            Ok(config) => {
                self.current.store(config);
                info!(certificate = %self.certificate.display(), "certificate reloaded");
            }
            Err(error) => warn!(%error, "the certificate was not reloaded; the one before stays"),
        }
    }

    /// Reloads whenever the files have changed.
    pub(super) async fn watch(self: Arc<Self>) {
        let look = || (stamp(&self.certificate), stamp(&self.private_key));
        let mut known = look();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = look();
            if now != known {
                known = now;
                self.reload();
            }
        }
    }
}

/// Checks that the two files can be used, as a start would.
///
/// # Errors
/// See [`TlsError`].
pub fn check(certificate: &Path, private_key: &Path) -> Result<(), TlsError> {
    Tls::load(certificate, private_key).map(drop)
}

/// What changes when a file does; a file behind a link too.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(
    certificate: &Path,
    private_key: &Path,
    ticketer: &Arc<dyn rustls::server::ProducesTickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |what, file: &Path| {
        let file = file.to_owned();
        move |error: rustls::pki_types::pem::Error| TlsError::File {
            what,
            file,
            detail: error.to_string(),
        }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable("certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_file(private_key)
        .map_err(unreadable("private key", private_key))?;
    let pair = |error| TlsError::Pair {
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
        error,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets carry the session, so the server keeps none; one ticket is enough for one reconnection.
    config.ticketer = Arc::clone(ticketer);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
