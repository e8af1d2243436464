//! The certificate authorities that a client trusts: those in a file, or else the system's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{WallClock, provider};

/// Why a client has no authorities to trust.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("the certificate authorities in {} cannot be read: {detail}", file.display())]
    File { file: PathBuf, detail: String },
    #[error(
        "this system has no certificate authorities to trust ({0}). Install them (Debian: apt-get install ca-certificates), or name a file of them"
    )]
    System(String),
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// A client that trusts the authorities in a PEM file, or the system's where none is named.
///
/// Bundles hold certificates that not every program can read. Such a certificate is skipped, unless none remains. Truncated
/// PEM is an error: somebody may still be writing the file.
pub(crate) fn client(file: Option<&Path>) -> Result<ClientConfig, RootsError> {
    let roots = match file {
        Some(file) => named(file).map_err(|detail| RootsError::File {
            file: file.to_owned(),
            detail,
        })?,
        None => system().map_err(RootsError::System)?,
    };
    trusting(roots)
}

/// A client that trusts no authority, for plain HTTP.
pub(crate) fn client_without_roots() -> Result<ClientConfig, RootsError> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, RootsError> {
    Ok(
        ClientConfig::builder_with_details(provider(), Arc::new(WallClock))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn named(file: &Path) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    usable(certificates)
}

fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    usable(found.certs).map_err(|detail| match found.errors.first() {
        Some(error) => error.to_string(),
        None => detail,
    })
}

fn usable(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err("no certificate in it can be used".to_owned()),
        _ => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::super::self_signed;
    use super::*;

    #[test]
    fn a_file_must_hold_somebody_to_trust() {
        let made = self_signed(&["a.example".to_owned()], 2).unwrap();
        let file = NamedTempFile::new().unwrap();
        let detail = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            client(Some(file.path()))
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(detail(&made.certificate), None);
        for text in ["", "nonsense", &made.private_key] {
            assert!(detail(text).unwrap().contains("no certificate in it"));
        }
        let broken = &made.certificate[..made.certificate.len() - 40];
        assert!(detail(broken).unwrap().contains("cannot be read"));
        let absent = client(Some(Path::new("/absent"))).unwrap_err();
        assert!(absent.to_string().contains("/absent"), "{absent}");
    }
}
