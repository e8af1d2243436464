//! Certificates as files: whether a server's certificate and key belong together, and whom a client trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::server;

/// Where Linux distributions keep the certificate authorities that the system trusts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What is wrong with a certificate or a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Pair(#[from] server::TlsError),
    #[error("{path} is no PEM file of certificates: {reason}")]
    Certificate { path: String, reason: String },
    #[error("{path} has expired; renew it")]
    Expired { path: String },
    #[error("{path} is not valid yet; is the clock right?")]
    NotYet { path: String },
    #[error(
        "no certificate authorities found on this system (looked for {0}); name them with --ca FILE"
    )]
    NoRoots(String),
    #[error("the cryptographic library refused: {0}")]
    Library(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads every certificate in a PEM file; there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Certificate {
        path: path.display().to_string(),
        reason,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there is none in it".into()));
    }
    Ok(certificates)
}

/// Checks that a server could serve with this certificate and this key, now.
///
/// # Errors
/// When one cannot be read, they do not belong together, or the certificate is not valid now.
pub(super) fn check_pair(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    server::check_tls(certificate, key)?;
    let chain = certificates(certificate)?;
    check_validity(certificate, &chain)
}

/// Whether the first certificate's time has come and is not over.
fn check_validity(path: &Path, chain: &[CertificateDer<'static>]) -> Result<(), TlsError> {
    let Some((first, rest)) = chain.split_first() else {
        return Ok(());
    };
    // Any anchor will do: of all that the verifier may find fault with, only the dates are asked about here.
    let mut roots = RootCertStore::empty();
    if roots.add(rest.last().unwrap_or(first).clone()).is_err() {
        return Ok(());
    }
    let Ok(verifier) =
        WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build()
    else {
        return Ok(());
    };
    let Ok(name) = ServerName::try_from("rollcall.invalid") else {
        return Ok(());
    };
    let path = path.display().to_string();
    match verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now()) {
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Err(TlsError::Expired { path }),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err(TlsError::NotYet { path }),
        _ => Ok(()),
    }
}

/// Whom a client trusts: the certificates in a file, or else the system's authorities.
///
/// # Errors
/// When the file, or any on this system, cannot be read.
pub(super) fn client(trusted: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let path = match trusted {
        Some(path) => path.to_owned(),
        None => system_roots()?,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(&path)?);
    if added == 0 {
        return Err(TlsError::Certificate {
            path: path.display().to_string(),
            reason: "none in it can be trusted".into(),
        });
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Library(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn system_roots() -> Result<PathBuf, TlsError> {
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        return Ok(file.into());
    }
    SYSTEM_ROOTS
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .ok_or_else(|| TlsError::NoRoots(SYSTEM_ROOTS.join(", ")))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::certificate::{SelfSigned, self_signed};
    use super::*;

    fn write(dir: &TempDir, pair: &SelfSigned) -> (PathBuf, PathBuf) {
        let paths = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&paths.0, &pair.certificate).unwrap();
        std::fs::write(&paths.1, &pair.private_key).unwrap();
        paths
    }

    #[test]
    fn a_pair_that_belongs_together_passes() {
        let dir = TempDir::new().unwrap();
        let (certificate, key) = write(&dir, &self_signed(&["a.example".into()], 2).unwrap());
        check_pair(&certificate, &key).unwrap();
        client(Some(&certificate)).unwrap();
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let dir = TempDir::new().unwrap();
        let one = self_signed(&["a.example".into()], 2).unwrap();
        let two = self_signed(&["a.example".into()], 2).unwrap();
        let (certificate, key) = write(
            &dir,
            &SelfSigned {
                certificate: one.certificate,
                private_key: two.private_key,
            },
        );
        let mismatch = check_pair(&certificate, &key).unwrap_err().to_string();
        assert!(mismatch.contains("cannot be used together"), "{mismatch}");
        // Valid from yesterday to today, 00:00.
        let (certificate, key) = write(&dir, &self_signed(&["a.example".into()], 0).unwrap());
        assert!(matches!(
            check_pair(&certificate, &key),
            Err(TlsError::Expired { .. })
        ));
        for (certificate, key) in [
            (&key, &key),
            (&certificate, &certificate),
            (&dir.path().join("absent"), &key),
        ] {
            assert!(matches!(
                check_pair(certificate, key),
                Err(TlsError::Pair(_))
            ));
        }
        assert!(matches!(
            client(Some(&key)),
            Err(TlsError::Certificate { .. })
        ));
    }
}
