//! A server's certificate and its key, from two files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Validity, WallClock, provider};

/// Why the certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(
        "the {what} {} cannot be read: {detail}. It must be a PEM file that the server's user may read; `rollcall keygen --tls` makes one",
        file.display()
    )]
    File {
        what: &'static str,
        file: PathBuf,
        detail: String,
        /// Whether the system failed, and not the file.
        may_pass: bool,
    },
    #[error(
        "the certificate {} and the private key {} cannot be used together: {error}",
        certificate.display(), private_key.display()
    )]
    Pair {
        certificate: PathBuf,
        private_key: PathBuf,
        error: rustls::Error,
    },
}

impl TlsError {
    /// Whether only a person can mend it. Two files that do not belong together may be in the middle of a renewal, and a
    /// disk may recover.
    pub(crate) fn is_for_a_person(&self) -> bool {
        match self {
            Self::File { may_pass, .. } => !may_pass,
            Self::Pair { .. } => false,
        }
    }
}

/// A certificate and a key that a server can use. The certificate may be expired: some clients do not mind, and the server's
/// own clock may be wrong.
pub(crate) struct Pair {
    pub(crate) config: ServerConfig,
    /// `None` where the certificate states none that we can read.
    pub(crate) validity: Option<Validity>,
}

impl Pair {
    pub(crate) fn read(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let chain = chain(certificate)?;
        let key = PrivateKeyDer::from_pem_file(private_key)
            .map_err(|error| unreadable("private key", private_key, &error))?;
        let validity = chain.first().and_then(Validity::of);
        let pair = |error| TlsError::Pair {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            error,
        };
        let config = ServerConfig::builder_with_details(provider(), Arc::new(WallClock))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)?;
        Ok(Self { config, validity })
    }
}

/// The validity of the certificate in a file. `None` where there is no certificate, or it states none.
pub(crate) fn read_validity(certificate: &Path) -> Option<Validity> {
    chain(certificate).ok()?.first().and_then(Validity::of)
}

/// The certificates in a file, the server's own first.
fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable("certificate", file, &error))?;
    match chain.is_empty() {
        false => Ok(chain),
        true => Err(unreadable("certificate", file, &pem::Error::NoItemsFound)),
    }
}

fn unreadable(what: &'static str, file: &Path, error: &pem::Error) -> TlsError {
    TlsError::File {
        what,
        file: file.to_owned(),
        detail: error.to_string(),
        may_pass: matches!(
            error,
            pem::Error::Io(error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
        ),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::{SelfSigned, self_signed};
    use super::*;

    fn write(dir: &TempDir, pair: &SelfSigned) -> (PathBuf, PathBuf) {
        let paths = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&paths.0, &pair.certificate).unwrap();
        std::fs::write(&paths.1, &pair.private_key).unwrap();
        paths
    }

    fn error(certificate: &Path, key: &Path) -> TlsError {
        Pair::read(certificate, key).err().expect("an error")
    }

    #[test]
    fn a_pair_that_belongs_together_can_be_used_whatever_the_time() {
        let dir = TempDir::new().unwrap();
        // Valid from yesterday to today, 00:00, and for two days more.
        for days in [0, 2] {
            let made = self_signed(&["a.example".into()], days).unwrap();
            let (certificate, key) = write(&dir, &made);
            let read = Pair::read(&certificate, &key).unwrap().validity;
            assert!(read.is_some());
            assert_eq!(read_validity(&certificate), read);
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let dir = TempDir::new().unwrap();
        let one = self_signed(&["a.example".into()], 2).unwrap();
        let two = self_signed(&["a.example".into()], 2).unwrap();
        let mixed = SelfSigned {
            certificate: one.certificate,
            private_key: two.private_key,
        };
        let (certificate, key) = write(&dir, &mixed);
        let mismatch = error(&certificate, &key);
        assert!(matches!(mismatch, TlsError::Pair { .. }), "{mismatch}");
        let absent = dir.path().join("absent");
        assert!(matches!(error(&absent, &key), TlsError::File { .. }));
        assert!(matches!(
            error(&certificate, &certificate),
            TlsError::File { .. }
        ));
        assert!(matches!(error(&key, &key), TlsError::File { .. }));
        // Only of the pair nobody can tell whether it is in the midst of a renewal.
        assert!(!mismatch.is_for_a_person());
        assert!(error(&absent, &key).is_for_a_person());
        assert!(error(&key, &key).is_for_a_person());
    }
}
